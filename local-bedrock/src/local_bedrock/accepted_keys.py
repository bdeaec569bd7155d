"""The keys that an endpoint accepts: their names and secrets, and the changes that tests make to them."""

from __future__ import annotations

from collections.abc import Sequence

from local_bedrock._http.handler import Handler
from local_bedrock.keys import AccessKey

_SHOWN = 20
"""The length of an access key id."""


class AcceptsKeys:
    """An endpoint as the owner of the keys that it accepts."""

    _handler: Handler

    @property
    def aws_access_key_id(self) -> str:
        """Id of the latest access key that is accepted."""
        return self._key.access_key_id

    @property
    def aws_secret_access_key(self) -> str:
        """Secret of the latest access key that is accepted."""
        return self._key.secret_access_key

    @property
    def aws_session_token(self) -> str | None:
        """Session token of the latest access key that is accepted, if it is temporary."""
        return self._key.session_token

    @property
    def api_key(self) -> str:
        """The latest bearer token that is accepted.

        Raises:
            RuntimeError: None is accepted.
        """
        if self._handler.keyring.latest_api_key is None:
            raise RuntimeError('LocalBedrock accepts no API key: none was given.')
        return self._handler.keyring.latest_api_key

    @property
    def _key(self) -> AccessKey:
        if self._handler.keyring.latest_access_key is None:
            raise RuntimeError('LocalBedrock accepts no access key: none was given.')
        return self._handler.keyring.latest_access_key

    def accept(self, access_key_id: str, secret_access_key: str, session_token: str | None = None) -> AccessKey:
        """Accept another access key, or a new secret of a known key."""
        key = AccessKey(access_key_id, secret_access_key, session_token)
        self._handler.keyring.accept(key)
        return key

    def expire(self, *names: str) -> None:
        """Treat these access key ids and API keys as expired from now on.

        Raises:
            ValueError: There is no name, or it is none that is accepted.
        """
        self._check_accepted('expire', names)
        self._handler.keyring.expire(*names)

    def revoke(self, *names: str) -> None:
        """Treat these access key ids and API keys as unknown from now on.

        Raises:
            ValueError: There is no name, or it is none that is accepted.
        """
        self._check_accepted('revoke', names)
        self._handler.keyring.revoke(*names)

    def rotate_credentials(self, *, temporary: bool = False) -> AccessKey:
        """Make a new access key and let all others expire."""
        return self._handler.keyring.rotate_access_key(temporary=temporary)

    def rotate_api_key(self) -> str:
        """Make a new API key and let all others expire."""
        return self._handler.keyring.rotate_api_key()

    def _check_accepted(self, method: str, names: Sequence[object]) -> None:
        keyring = self._handler.keyring
        if not names:
            raise ValueError(f'LocalBedrock.{method}(): name the API keys, or the ids of the access keys.')
        for name in names:
            if not isinstance(name, str) or (name not in keyring.access_keys and name not in keyring.api_keys):
                # It may be a secret by mistake.
                shown = f'{str(name)[:_SHOWN]}...' if len(str(name)) > _SHOWN else str(name)
                raise ValueError(
                    f'LocalBedrock.{method}({shown!r}): must be an API key that is accepted, or the id of such an '
                    f'access key; those are {", ".join(keyring.access_keys) or "none"}.'
                )
