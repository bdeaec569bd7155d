"""Detection of other code that takes part in the calls of a client, or observes them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Final, cast

_DEBUG_LOG: Final = logging.getLogger('botocore.endpoint')

_EVENTS: Final = (
    'provide-client-params',
    'before-parameter-build',
    'before-endpoint-resolution',
    'before-call',
    'request-created',
    'choose-signer',
    'before-sign',
    'before-send',
    'before-parse',
    'response-received',
    'needs-retry',
    'after-call',
    'after-call-error',
)
"""Events that botocore emits during a call."""

_KNOWN: Final = frozenset({'botocore', 'aiobotocore', 'boto3', 'aioboto3', 'pydantic_ai_aiobedrock'})
_LISTENING: Final = frozenset({'stub', 'monitoring'})
"""botocore's own modules that have a hand in calls, or look on, for others: Stubber and client-side monitoring."""


class Listeners:
    """Handlers of a client's events, wrappers of its methods, and a debug log, around its calls."""

    def __init__(self, client: Any) -> None:
        """Look at a client that has just been made.

        Raises:
            LookupError: A method of it is wrapped already, or it is of an unknown make.
        """
        events = client.meta.events
        self._emitter: Any = getattr(events, '_emitter', events)
        if not hasattr(self._emitter, '_lookup_cache'):
            raise LookupError('The handlers of its events cannot be listed.')
        self._steps = list(_steps(client))
        self._looked_at: object = None
        self._handled = True

    def found(self) -> bool:
        """Look again, for changes since the last time."""
        # The emitter replaces this dict whenever a handler is registered or unregistered.
        if self._emitter._lookup_cache is not self._looked_at:
            self._looked_at = self._emitter._lookup_cache
            self._handled = not all(
                _is_known(handler)
                for event in _EVENTS
                for operation in ('Converse', 'ConverseStream')
                for handler in self._emitter._handlers.prefix_search(f'{event}.bedrock-runtime.{operation}')
            )
        if self._handled or _DEBUG_LOG.isEnabledFor(logging.DEBUG):
            return True
        for owner, name, function in self._steps:
            step = getattr(owner, name)
            # A wrapper of wrapt looks like the function it wraps, but for its type.
            if type(step) is not MethodType or step.__func__ is not function:
                return True
        return False


def _steps(client: Any) -> Iterator[tuple[Any, str, FunctionType]]:
    """Yield the steps of a call, which other code has been seen to wrap, as botocore defines them.

    Raises:
        LookupError: They are not, or no longer, botocore's.
    """
    for owner, names in (
        (client, ('converse', 'converse_stream', '_make_api_call', '_make_request')),
        (client._endpoint, ('make_request', 'create_request', '_send_request', '_do_get_response', '_send')),
        (client._request_signer, ('sign',)),
    ):
        for name in names:
            step = getattr(owner, name, None)
            if type(step) is not MethodType or not _is_known(step):
                raise LookupError(f'{name} is wrapped, or not known.')
            yield owner, name, cast(FunctionType, step.__func__)


def _is_known(handler: object) -> bool:
    """Return True if a handler or a step is botocore's or this package's, and does not serve an observer."""
    function: object = handler.func if type(handler) is partial else handler
    function = cast(MethodType, function).__func__ if type(function) is MethodType else function
    if type(function) is not FunctionType:
        return False
    # A wrapper may have taken over the name of the module.
    package, *modules = str(function.__globals__['__name__']).split('.')
    return package in _KNOWN and not _LISTENING & set(modules)
