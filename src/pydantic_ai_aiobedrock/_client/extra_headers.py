"""Extra headers of a call: added before a request is signed, or after it if something on the way may change them."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

from pydantic_ai_aiobedrock._config.call_options import call_options

_UNSIGNED: Final = frozenset(
    {
        # Of one connection only: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
        'connection',
        'expect',
        'keep-alive',
        'proxy-authenticate',
        'proxy-authorization',
        'proxy-connection',
        'te',
        'trailer',
        'upgrade',
        # Of the trace, which each hop goes on with.
        'b3',
        'baggage',
        'sentry-trace',
        'traceparent',
        'tracestate',
        'uber-trace-id',
        'x-amzn-trace-id',
        'x-cloud-trace-context',
        # Of the hops themselves, and of the encodings and caches that they negotiate.
        'accept-encoding',
        'cache-control',
        'forwarded',
        'max-forwards',
        'pragma',
        'via',
    }
)

_UNSIGNED_PREFIXES: Final = ('x-b3-', 'x-datadog-', 'x-forwarded-')


def install(client: Any) -> None:
    """Add the extra headers of each call to this client's requests; a second installation changes nothing."""
    for event, handler in (('before-call', _add_signed), ('before-send', _add_unsigned)):
        client.meta.events.register_last(
            f'{event}.bedrock-runtime', handler, unique_id=f'pydantic-ai-aiobedrock.extra-headers.{event}'
        )


def _add_signed(params: MutableMapping[str, Any], **_: object) -> None:
    _add(params['headers'], signed=True)


def _add_unsigned(request: Any, **_: object) -> None:
    _add(request.headers, signed=False)


def _add(headers: MutableMapping[str, Any], *, signed: bool) -> None:
    for name, value in (call_options.get().extra_headers or {}).items():
        lowered = name.lower()
        if signed is not (lowered in _UNSIGNED or lowered.startswith(_UNSIGNED_PREFIXES)):
            for existing in [key for key in headers if key.lower() == lowered]:
                del headers[existing]
            headers[name] = value
