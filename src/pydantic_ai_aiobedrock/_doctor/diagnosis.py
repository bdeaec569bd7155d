"""Meaning of a failed call, and its mend, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    EventStreamError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)

from pydantic_ai_aiobedrock._config.redaction import redact_urls
from pydantic_ai_aiobedrock._upstream.error_mapping import NO_CREDENTIALS

SKEW_SECONDS = 240
"""AWS refuses signatures that are five minutes old; a clock this far off is on its way there."""

_REGIONS_OF_PROFILE = {
    'us': ('us-east', 'us-west', 'ca-'),
    'us-gov': ('us-gov-',),
    'eu': ('eu-', 'il-'),
    'apac': ('ap-', 'me-'),
    'jp': ('ap-northeast-',),
    'au': ('ap-southeast-',),
    'ca': ('ca-',),
}
"""The regions, by their beginnings, from which inference profiles of a geography are called."""

_TEXT_LIMIT = 300
_NO_PROXY_THERE = 'no connection to it came about'


@dataclass(frozen=True)
class Problem:
    """A problem, and its remedy.

    Attributes:
        code: A name for scripts; it does not change between releases.
        meaning: The problem and the remedy, in plain words.
        detail: The words of the service or library that refused.
    """

    code: str
    meaning: str
    detail: str = ''


@dataclass(frozen=True)
class Circumstances:
    """Circumstances of a call.

    Attributes:
        region: The region that it was signed for.
        model: The model id that it was for.
        endpoint: The URL that it was sent to.
        source: Where the credentials came from.
        proxy: The proxy that it went through, without its password, if it did.
        known_region: Whether botocore knows the region.
    """

    region: str
    model: str
    endpoint: str
    source: str
    proxy: str | None = None
    known_region: bool = True


def diagnose(error: Exception, under: Circumstances) -> Problem:
    """Diagnose an error of a call.

    Args:
        error: The exception of `BedrockRuntime`.
        under: The circumstances of the call.
    """
    if isinstance(error, ClientError) and not isinstance(error, EventStreamError):
        code, meaning = _refused(error, under)
        message: str = error.response.get('Error', {}).get('Message', '')
        return Problem(code, meaning, _first_line(message))
    code, meaning = _failed(error, under)
    # That nothing was found has been said, and that parameters are wrong is only a heading.
    told = isinstance(error, NoCredentialsError | ParamValidationError)
    return Problem(code, meaning, '' if told else _first_line(str(error)))


def clock_skew(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return by how many seconds this machine's clock is ahead of the server's, where the server said its time."""
    try:
        return (now - parsedate_to_datetime(headers['date'])).total_seconds()
    except (KeyError, OverflowError, TypeError, ValueError):
        return None


def is_of_another_geography(model: str, region: str) -> bool:
    """Return True if the id of an inference profile names a geography that the region is not in."""
    regions = _REGIONS_OF_PROFILE.get(model.partition('.')[0])
    return regions is not None and not region.startswith(regions)


def _refused(error: ClientError, under: Circumstances) -> tuple[str, str]:
    response: Any = error.response
    code: str = response.get('Error', {}).get('Code', '')
    message: str = response.get('Error', {}).get('Message', '')
    metadata: dict[str, Any] = response.get('ResponseMetadata', {})
    if under.proxy and not metadata.get('RequestId'):
        return _proxy(under, 'an answer came that is not from AWS')
    if 'Signature expired' in message or 'not yet current' in message or code == 'RequestTimeTooSkewed':
        direction = ' slow' if 'expired' in message else ' fast' if 'not yet current' in message else ' off'
        return (
            'clock_skew',
            f'The clock of this machine is{direction} by more than five minutes, so AWS takes the signature for one of '
            'another time. Set the clock, and keep it right by NTP (chrony, systemd-timesyncd).',
        )
    for codes, problem in _BY_CODE:
        if code in codes:
            return problem(message, under)
    status: int = metadata.get('HTTPStatusCode', 0)
    if status >= 500:
        return (
            'service_unavailable',
            f'Bedrock in {under.region} answered with {code or status}. Nothing is wrong here: try again, or another '
            'region; https://health.aws.amazon.com/health/status says what goes on.',
        )
    return 'refused', f'Bedrock refused the call with {code or status}.'


def _expired(_: str, under: Circumstances) -> tuple[str, str]:
    return (
        'credentials_expired',
        f'The credentials, which came from {under.source}, have expired. Sign in again (`aws sso login`), or have '
        'whatever writes them write new ones; no restart is needed then.',
    )


def _unknown_key(_: str, under: Circumstances) -> tuple[str, str]:
    return (
        'credentials_unknown',
        f'AWS does not know the access key, which came from {under.source}: it was deleted, belongs to another '
        'partition (China, GovCloud), or its session token is missing.',
    )


def _bad_signature(message: str, under: Circumstances) -> tuple[str, str]:
    if 'valid region' in message:
        if not under.known_region:
            return (
                'unknown_region',
                f'Requests are signed for {under.region}, which is none of the regions that botocore knows. Look for a '
                'typo.',
            )
        return (
            'wrong_region_for_endpoint',
            f'Requests are signed for {under.region}, but the endpoint {under.endpoint} is that of another region. '
            'Make `region_name` and `base_url` (or `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`) agree.',
        )
    return (
        'wrong_secret',
        f'The secret access key is not that of the access key; both came from {under.source}. Copy it again.',
    )


def _denied(message: str, under: Circumstances) -> tuple[str, str]:
    if 'not authorized to perform' in message:
        return (
            'no_permission',
            'The role or user may not call the model. Its policy must allow `bedrock:InvokeModel` and '
            '`bedrock:InvokeModelWithResponseStream` on the model and, for an inference profile, on the profile and on '
            'the model in every region that it leads to. A service control policy may forbid it, too.',
        )
    if 'API Key' in message or 'bearer' in message.lower():
        return 'api_key_refused', f'The API key, which came from {under.source}, is not valid, or has expired.'
    return (
        'no_model_access',
        f'The account has no access to {under.model} in {under.region}. Ask for it on the page "Model access" of the '
        'Bedrock console, in that region; some vendors want a form filled in.',
    )


def _invalid(message: str, under: Circumstances) -> tuple[str, str]:
    if 'on-demand throughput' in message:
        return (
            'needs_inference_profile',
            f'{under.model} cannot be called by its bare id. Call it by an inference profile: put the geography in '
            f'front (`us.{under.model}`, `eu.{under.model}`), or `global`, where there is one.',
        )
    if 'model identifier is invalid' not in message:
        return 'invalid_request', f'{under.model} does not accept the request that was made to try it.'
    if is_of_another_geography(under.model, under.region):
        return (
            'wrong_region_for_profile',
            f'{under.model} is an inference profile of another geography than {under.region}. Call a profile of this '
            "region's geography, a `global.` one, or change the region.",
        )
    return 'unknown_model', f'There is no model {under.model} in {under.region}. Look for a typo in the id.'


def _not_found(_: str, under: Circumstances) -> tuple[str, str]:
    return (
        'unknown_model',
        f'{under.model} is not available in {under.region} by this account: it does not exist there, has reached its '
        'end of life, or is a resource of another account.',
    )


def _no_operation(_: str, under: Circumstances) -> tuple[str, str]:
    return (
        'wrong_endpoint',
        f'{under.endpoint} does not know the operation: it is that of another service (Bedrock Runtime is '
        '`bedrock-runtime`, not `bedrock`), or has a path too many. Correct `base_url`, or '
        '`AWS_ENDPOINT_URL_BEDROCK_RUNTIME`.',
    )


def _throttled(_: str, under: Circumstances) -> tuple[str, str]:
    return (
        'throttled',
        f'The quota of this account for {under.model} in {under.region} is exhausted for the moment. Region, '
        'credentials and model are right. Service Quotas shows the requests and tokens per minute that you have.',
    )


_BY_CODE = (
    (('ExpiredTokenException', 'ExpiredToken'), _expired),
    (('UnrecognizedClientException', 'InvalidClientTokenId'), _unknown_key),
    (('InvalidSignatureException', 'SignatureDoesNotMatch', 'IncompleteSignatureException'), _bad_signature),
    (('AccessDeniedException',), _denied),
    (('ValidationException',), _invalid),
    (('ResourceNotFoundException',), _not_found),
    (('UnknownOperationException',), _no_operation),
    (('ThrottlingException', 'TooManyRequestsException', 'ServiceQuotaExceededException'), _throttled),
)


def _failed(error: Exception, under: Circumstances) -> tuple[str, str]:
    match error:
        case NoCredentialsError():
            return 'no_credentials', NO_CREDENTIALS
        case ProfileNotFound():
            return 'no_profile', 'Name a profile of the AWS configuration files in `AWS_PROFILE`, or none.'
        case CredentialRetrievalError() | PartialCredentialsError() | SSOError() | TokenRetrievalError():
            return _no_source(error)
        case ProxyConnectionError():
            return _proxy(under, _of_proxy(getattr(error.__cause__, 'status', None)))
        case SSLError():
            return 'tls', _handshake(error, under)
        case EndpointConnectionError() | ConnectTimeoutError():
            return _unreachable(under)
        case ReadTimeoutError():
            return 'no_answer', 'Connected, but no response arrived: a proxy or firewall may be dropping it.'
        case EventStreamError():
            return 'stream_refused', 'Bedrock ended the stream with an error.'
        case ConnectionClosedError() | HTTPClientError():
            return (
                'connection_broken',
                'The connection was cut before the answer was whole. A proxy or firewall that inspects or buffers what '
                'passes does that.',
            )
        case ParamValidationError():
            return 'invalid_request', f'{under.model!r} cannot be the id of a model.'
        case BotoCoreError():
            return 'configuration', 'The AWS configuration is not usable as it is.'
        case _:
            return 'unexpected', f'{type(error).__name__} is an unexpected error. Please report it.'


def _no_source(error: Exception) -> tuple[str, str]:
    if isinstance(error, SSOError | TokenRetrievalError):
        return (
            'credentials_unusable',
            'There is no sign-on of SSO, or it has ended. Sign in: `aws sso login`, with the `--profile` that is used '
            'here.',
        )
    return 'credentials_unusable', 'A source of credentials is configured, but provides none. The reason is below.'


def _handshake(error: SSLError, under: Circumstances) -> str:
    if 'CERTIFICATE_VERIFY_FAILED' in str(error):
        return (
            'The certificate of the endpoint is not trusted. Behind a proxy that opens TLS, name the CA of the proxy '
            'in `AWS_CA_BUNDLE`.'
        )
    return (
        f'The TLS handshake with {under.proxy or under.endpoint} failed before there was a certificate to verify. If '
        'that port speaks plain HTTP, as that of most proxies does, its URL begins with `http://`.'
    )


def _unreachable(under: Circumstances) -> tuple[str, str]:
    if under.proxy:  # then it is the proxy that a connection is opened to
        return _proxy(under, _NO_PROXY_THERE)
    if not under.known_region:
        return (
            'unknown_region',
            f'{under.endpoint} cannot be reached, and {under.region} is none of the regions that botocore knows. Look '
            'for a typo.',
        )
    return (
        'unreachable',
        f'{under.endpoint} cannot be reached. Look at the name (DNS), the route, the security group and, in a VPC '
        'without internet, at the interface endpoint for bedrock-runtime. If there is a proxy, `HTTPS_PROXY` must name '
        'it.',
    )


def _of_proxy(status: int | None) -> str:
    match status:
        case None:
            return _NO_PROXY_THERE
        case 407:
            return (
                'it asks for a user and a password (407), which go before its host: `http://user:password@proxy:3128`'
            )
        case _:
            return f'it refuses to let the connection through ({status})'


def _proxy(under: Circumstances, what: str) -> tuple[str, str]:
    advice = 'Correct its address' if what == _NO_PROXY_THERE else f'Have it let {under.endpoint} through'
    return (
        'blocked_by_proxy',
        f'The proxy {under.proxy or ""} stands in the way: {what}. {advice}, or leave it out of the way by naming the '
        'host of the endpoint in `NO_PROXY`.',
    )


def _first_line(text: str) -> str:
    # When a signature does not match, AWS goes on to quote the request, with its session token. The meaning says why
    # the credentials were requested again.
    text = text.partition(' (The credentials came from ')[0]
    lines: Iterable[str] = filter(None, (line.strip() for line in text.splitlines()))
    line = redact_urls(next(iter(lines), ''))
    return line if len(line) <= _TEXT_LIMIT else f'{line[:_TEXT_LIMIT]}...'
