"""Reports what was resolved, and tries a call and a stream: `python -m pydantic_ai_aiobedrock doctor`."""

from __future__ import annotations

import asyncio
import platform
import re
import textwrap
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any, cast

import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ProfileNotFound,
)
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies
from pydantic_ai.exceptions import UserError

from pydantic_ai_aiobedrock._config.call_options import on_own_behalf
from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._config.engine import check_engine
from pydantic_ai_aiobedrock._config.failed_source import failed_source
from pydantic_ai_aiobedrock._config.login_session import check_login_session
from pydantic_ai_aiobedrock._config.redaction import redact_url
from pydantic_ai_aiobedrock._core.in_thread import start_in_thread
from pydantic_ai_aiobedrock._doctor.diagnosis import SKEW_SECONDS, Circumstances, Problem, clock_skew, diagnose
from pydantic_ai_aiobedrock._pool.session_pool import SessionPool
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime
from pydantic_ai_aiobedrock._upstream import seam
from pydantic_ai_aiobedrock.errors import EngineMismatchError
from pydantic_ai_aiobedrock.providers import BedrockProvider, check_model_name

MODEL = 'us.amazon.nova-lite-v1:0'
"""The model that is called unless another is named: it needs no form to be filled in."""

CONNECT_SECONDS = 10
READ_SECONDS = 60
MAX_TOKENS = 20

SOURCES = {
    'env': 'the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    'shared-credentials-file': 'the shared credentials file',
    'config-file': 'the AWS configuration file',
    'login': 'a sign-in with `aws login`',
    'custom-process': 'a credential_process',
    'sso': 'SSO',
    'assume-role': 'a role that a profile assumes',
    'assume-role-with-web-identity': 'a role that is assumed by a web identity token',
    'container-role': 'the role of the container',
    'iam-role': 'the role of the instance',
}
"""Plain words for botocore's names of sources of credentials."""

_ENGINE = ('aioboto3', 'aiobotocore', 'botocore', 'aiohttp')
_PROMPT: list[dict[str, Any]] = [{'role': 'user', 'content': [{'text': 'Say hello in three words.'}]}]


_DENIED = ('no_permission', 'no_model_access')
"""Problems of a caller that AWS knows."""

_LABELS = {
    'python': 'Python',
    'tested_range': 'tested range',
    'ca_bundle': 'CA bundle',
    'clock_skew_seconds': 'clock',
    'reserved_tokens': 'reserves',
    'call': 'one call',
    'stream': 'one stream',
}
"""Names of the report, for people."""


@dataclass
class Report:
    """Findings of the doctor.

    Attributes:
        versions: Versions of the installed packages, by name.
        resolved: Model, region, endpoint, credentials, caller, proxy, CA bundle and clock of a call, by name.
        tried: Outcomes of the trials, by name: `ok`, and times in seconds.
        problems: The problems that were found.
    """

    versions: dict[str, str] = field(default_factory=dict[str, str])
    resolved: dict[str, Any] = field(default_factory=dict[str, Any])
    tried: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    problems: list[Problem] = field(default_factory=list[Problem])

    @property
    def healthy(self) -> bool:
        """True if nothing is wrong."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a dict for JSON."""
        return {'healthy': self.healthy, **asdict(self)}

    def as_text(self) -> str:
        """Return the report for people."""
        lines: list[str] = []
        for title, facts in (('Installed', self.versions), ('Resolved', self.resolved), ('Tried', self.tried)):
            if facts:
                lines += [title, *(f'  {_LABELS.get(name, name):<17} {_said(name, facts[name])}' for name in facts), '']
        for problem in self.problems:
            lines += [f'Problem: {problem.code}', *_wrapped(problem.meaning)]
            if problem.detail:
                lines += _wrapped(f'Details: {problem.detail}')
            lines.append('')
        return '\n'.join([*lines, 'All is well.']) if self.healthy else '\n'.join(lines).rstrip()


def _said(name: str, value: Any) -> str:
    """Return a value of the report in words."""
    match name, value:
        case 'credentials', {'source': source, 'expires': expires}:
            return f'from {source}; ' + (f'they expire at {expires}' if expires else 'they do not say when they expire')
        case 'reserved_tokens', _:
            return f'{value} of the tokens per minute, by `maxTokens`, at the start of each of these calls'
        case 'clock_skew_seconds', _:
            return f'{value:+.0f} s from that of AWS'
        case _, {'ok': False}:
            return 'failed'
        case 'call', _:
            return f'came through: {value["seconds"]:.2f} s'
        case 'stream', _:
            return (
                f'came through: {value["events"]} events, the first after {value["first_seconds"]:.2f} s, the last '
                f'after {value["seconds"]:.2f} s'
            )
        case _, None:
            return 'none'
        case _:
            return str(value)


def _wrapped(text: str) -> list[str]:
    # Not within a URL or an ARN: they are copied from here.
    return textwrap.wrap(
        text, 100, initial_indent='  ', subsequent_indent='  ', break_on_hyphens=False, break_long_words=False
    )


def examine(region: str | None = None, model: str = MODEL, profile: str | None = None) -> Report:
    """Resolve the parts of a call, make a call and a stream, and report problems. No event loop may be running.

    Args:
        region: The region, or None for that of the environment or the AWS configuration.
        model: The model id to call. It costs a few tokens, twice.
        profile: The profile of the AWS configuration files, or None for the default profile.
    """
    report = Report(versions=_versions())
    if not _is_tested(report.versions['pydantic-ai-slim']):
        meaning = f'This release is tested with pydantic-ai-slim {seam.SUPPORTED}: install one of these.'
        report.problems.append(Problem('untested_pydantic_ai', meaning))
    try:
        check_engine()
    except EngineMismatchError as error:
        report.problems.append(Problem('engine_mismatch', str(error)))
        return report
    # Not at the top: some releases of botocore that aiobotocore does not allow keep it from being imported.
    from aiobotocore.config import AioConfig

    try:
        check_model_name(model)
        provider = BedrockProvider(
            region_name=region,
            profile_name=profile,
            aws_connect_timeout=CONNECT_SECONDS,
            aws_read_timeout=READ_SECONDS,
            # A problem shall be seen at once, and unchanged.
            config=AioConfig(retries={'total_max_attempts': 1}),
            throttling='raise',
            pool=SessionPool(),
        )
    except UserError as error:
        if 'provide a region' in str(error):
            meaning = str(error).replace(
                'pass `region_name` to BedrockProvider', 'pass `--region` (in code, `region_name`)'
            )
            report.problems.append(Problem('no_region', meaning))
        else:
            code = 'no_profile' if isinstance(error.__cause__, ProfileNotFound) else 'configuration'
            report.problems.append(Problem(code, str(error)))
        return report
    runtime = provider.client
    assert isinstance(runtime, BedrockRuntime)
    under = _resolve(report, runtime, model)
    if under is not None:
        asyncio.run(_try(report, runtime, under))
    return report


def _versions() -> dict[str, str]:
    return {
        'package': _version('pydantic-ai-aiobedrock'),
        'python': platform.python_version(),
        'pydantic-ai-slim': version('pydantic-ai-slim'),
        'tested_range': seam.SUPPORTED,
        **{name: _version(name) for name in _ENGINE},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return 'not installed'


def _is_tested(release: str) -> bool:
    oldest, limit, installed = (
        [int(number) for number in re.findall(r'\d+', text)][:3] for text in (*seam.SUPPORTED.split(','), release)
    )
    return oldest <= installed < limit


def _resolve(report: Report, runtime: BedrockRuntime, model: str) -> Circumstances | None:
    """Add the circumstances of a call to the report; return them if a call can be made."""
    spec, endpoint = runtime.spec, runtime.meta.endpoint_url
    session: Any = botocore.session.Session(profile=spec.profile_name)
    proxies: dict[str, str] = cast(Any, get_environ_proxies)(endpoint)
    proxy_url = proxies.get(endpoint.partition(':')[0])
    proxy = None if proxy_url is None else redact_url(proxy_url)
    bundle = session.get_config_variable('ca_bundle')
    report.resolved |= {
        'model': model,
        'region': spec.region_name,
        'endpoint': redact_url(endpoint),
        'proxy': proxy,
        'ca_bundle': str(bundle or get_cert_path(True)),
        'profile': str(spec.profile_name or session.get_config_variable('profile') or 'default'),
    }
    known = spec.region_name in {
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions('ec2', partition)
    }
    under = Circumstances(spec.region_name, model, redact_url(endpoint), '', proxy, known)
    try:
        source, expiry = _credentials(session) if spec.api_key is None else ('AWS_BEARER_TOKEN_BEDROCK', None)
    except BotoCoreError as error:
        report.problems.append(diagnose(error, under))
        return None
    if source is None:
        report.resolved['credentials'] = None
        report.problems.append(diagnose(NoCredentialsError(), under))
        return None
    report.resolved['credentials'] = {
        'source': source,
        'expires': expiry and f'{expiry.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}',
    }
    return replace(under, source=source)


def _credentials(session: Any) -> tuple[str | None, datetime | None]:
    # A service that issues credentials may be out of reach: botocore would try for minutes.
    once = Config(connect_timeout=CONNECT_SECONDS, retries={'total_max_attempts': 1})
    session.set_default_client_config(once)
    credentials: Any = None
    try:
        credentials = session.get_credentials()
        check_login_session(session, getattr(credentials, 'method', None))
        if credentials is None:
            return None, None
        credentials.get_frozen_credentials()
    except Exception as error:
        # Errors of the network name that service, and are not errors of Bedrock.
        if isinstance(error, BotoCoreError) and not isinstance(error, ConnectionError | HTTPClientError):
            raise
        raise failed_source(session, credentials, error) from error
    # Of those that can be refreshed; botocore itself reports only whether it is less than some seconds ahead.
    return SOURCES.get(credentials.method, credentials.method), getattr(credentials, '_expiry_time', None)


async def _caller(spec: ClientSpec) -> str:
    """Return the ARN that STS knows the credentials by: no permission is needed to ask for it."""
    from aiobotocore.config import AioConfig
    from aiobotocore.session import AioSession

    from pydantic_ai_aiobedrock._client.credential_requests import verify_requests

    session: Any = AioSession(profile=spec.profile_name)
    verify_requests(session)
    token = on_own_behalf.set(True)
    try:
        once = AioConfig(retries={'total_max_attempts': 1})
        client = session.create_client('sts', region_name=spec.region_name, config=once)
        async with asyncio.timeout(CONNECT_SECONDS), client as sts:
            return (await sts.get_caller_identity())['Arn']
    finally:
        on_own_behalf.reset(token)


async def _try(report: Report, runtime: BedrockRuntime, under: Circumstances) -> None:
    request = {'modelId': under.model, 'messages': _PROMPT, 'inferenceConfig': {'maxTokens': MAX_TOKENS}}
    report.resolved['reserved_tokens'] = MAX_TOKENS

    async def call() -> dict[str, Any]:
        start = perf_counter()
        response = await runtime.converse(**request)
        skew = clock_skew(response['ResponseMetadata']['HTTPHeaders'], datetime.now(UTC))
        report.resolved['clock_skew_seconds'] = skew
        if skew is not None and abs(skew) > SKEW_SECONDS:
            meaning = f"This machine's clock is off by {skew:+.0f} s: AWS will soon refuse its signatures. Set it."
            report.problems.append(Problem('clock_skew', meaning))
        return {'seconds': perf_counter() - start}

    async def stream() -> dict[str, Any]:
        start = perf_counter()
        response = await runtime.converse_stream(**request)
        events, first = 0, 0.0
        async with response['stream'] as received:
            async for _ in received:
                events += 1
                first = first or perf_counter() - start
        return {'seconds': perf_counter() - start, 'first_seconds': first, 'events': events}

    try:
        # A stream fails where a call fails.
        if await _attempt(report, 'call', call, under):
            await _attempt(report, 'stream', stream, under)
        if runtime.spec.api_key is None and (report.healthy or report.problems[-1].code in _DENIED):
            try:
                report.resolved['caller'] = await start_in_thread(lambda: asyncio.run(_caller(runtime.spec)))
            except (BotoCoreError, ClientError, TimeoutError) as error:
                # STS may be out of reach where Bedrock is not: then the caller is unknown, which is no problem.
                report.resolved['caller'] = f'unknown ({type(error).__name__})'
    finally:
        await runtime.pool.aclose()


async def _attempt(
    report: Report, name: str, attempt: Callable[[], Awaitable[dict[str, Any]]], under: Circumstances
) -> bool:
    try:
        report.tried[name] = {'ok': True, **await attempt()}
    except Exception as error:
        report.tried[name] = {'ok': False}
        report.problems.append(diagnose(error, under))
        return False
    return True
