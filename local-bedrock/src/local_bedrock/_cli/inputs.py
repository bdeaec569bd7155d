"""Values of arguments: access keys, quotas, and files of replies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic_core import from_json

from local_bedrock._admin.forms import InputError
from local_bedrock._admin.quotas import read_quotas
from local_bedrock._admin.replies import ScriptedReply, read_replies
from local_bedrock.keys import AccessKey
from local_bedrock.quotas import Quota

EVERY_MODEL = '*'


def access_keys(given: Sequence[str]) -> dict[str, AccessKey]:
    """Return access keys, by id, from `ACCESS_KEY:SECRET[:TOKEN]` or files of such lines.

    Raises:
        ValueError: A key lacks its secret.
        OSError: A file cannot be read.
    """
    keys: list[AccessKey] = []
    for value in given:
        if ':' in value:
            keys.append(_access_key(value, '--credentials'))
            continue
        lines = Path(value).read_text().splitlines()
        numbered = [(number, line.strip()) for number, line in enumerate(lines, 1)]
        found = [
            _access_key(line, f'--credentials {value}, line {number}')
            for number, line in numbered
            if line and not line.startswith('#')
        ]
        if not found:
            raise ValueError(f'--credentials {value}: there is no access key in the file.')
        keys += found
    return {key.access_key_id: key for key in keys}


def _access_key(text: str, place: str) -> AccessKey:
    access_key_id, _, rest = text.partition(':')
    secret, _, token = rest.partition(':')
    if not access_key_id.isalnum() or not secret:
        # The text may hold a secret: it is not repeated.
        raise ValueError(f'{place}: must be ACCESS_KEY:SECRET or ACCESS_KEY:SECRET:TOKEN.')
    return AccessKey(access_key_id, secret, token or None)


def quota(text: str) -> Quota:
    """Return the quota that `MODEL=LIMIT:NUMBER,...` describes.

    Raises:
        ValueError: It is of another form, or there is no such limit.
    """
    model, _, limits = text.partition('=')
    members: dict[str, object] = {} if model == EVERY_MODEL else {'model': model}
    for limit in limits.split(','):
        name, _, number = limit.partition(':')
        try:
            members[name.strip()] = float(number)
        except ValueError:
            raise ValueError(
                f'--quota {text}: must be MODEL=LIMIT:NUMBER,..., such as "*=requests_per_minute:60".'
            ) from None
    try:
        return read_quotas(members)[0]
    except InputError as error:
        raise ValueError(f'--quota {text}: {error}') from None


def replies(path: str) -> list[ScriptedReply]:
    """Return the replies of a file: JSON as the admin API takes it, or JSON Lines with a reply in each line.

    Raises:
        ValueError: It is neither, or a reply is not of the form.
        OSError: The file cannot be read.
    """
    text = Path(path).read_text()
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > 1 and _is_json(lines[0][1]):
        return [reply for number, line in lines for reply in _read(line, f'{path}, line {number}')]
    return _read(text, path)


def _is_json(text: str) -> bool:
    try:
        from_json(text)
    except ValueError:
        return False
    return True


def _read(text: str, place: str) -> list[ScriptedReply]:
    try:
        return read_replies(from_json(text, allow_inf_nan=False))
    except InputError as error:
        raise ValueError(f'{place}: {error}') from None
    except ValueError as error:
        raise ValueError(f'{place}: not JSON, {error}.') from None
