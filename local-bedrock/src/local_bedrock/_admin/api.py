"""The paths of the admin API: each method of each path, and the JSON that it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, get_args

from aiohttp import web
from pydantic_core import from_json, to_json

from local_bedrock._admin import quotas, views
from local_bedrock._admin.access import refusal
from local_bedrock._admin.faults import read_faults
from local_bedrock._admin.forms import InputError
from local_bedrock._admin.replies import read_replies
from local_bedrock._http.handler import Handler
from local_bedrock.routing import OPERATIONS, Service
from local_bedrock.scripted import Scripted

HEALTH = '/health'
PREFIX = '/_local/'
BODY_BYTES = 16 * 1024 * 1024
"""A body beyond this size is refused."""


class _RefusedInputError(Exception):
    """Raised for a request that is refused, with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Admin:
    """The admin API of an endpoint.

    Args:
        bedrock: The endpoint, as tests in Python script and observe it.
        handler: Its handler of requests.
        base_url: Returns the URL of the endpoint.
        start_over: Returns the endpoint to its start, and leaves connections open.
    """

    def __init__(
        self, bedrock: Scripted, handler: Handler, base_url: Callable[[], str], start_over: Callable[[], None]
    ) -> None:
        self._bedrock, self._handler = bedrock, handler
        self._base_url, self._start_over = base_url, start_over
        self._routes: dict[str, dict[str, Callable[[web.BaseRequest, Any], Any]]] = {
            'replies': {'GET': self._replies, 'POST': self._add_replies, 'DELETE': self._clear_replies},
            'faults': {'GET': self._faults, 'POST': self._add_faults, 'DELETE': self._clear_faults},
            'quotas': {'GET': self._quotas, 'PUT': self._set_quotas, 'DELETE': self._lift_quotas},
            'requests': {'GET': self._requests, 'DELETE': self._forget_requests},
            'stats': {'GET': self._stats},
            'reset': {'POST': self._reset},
        }

    @staticmethod
    def concerns(http: web.BaseRequest) -> bool:
        """Return True if a request is for the admin API, and not for a service of AWS."""
        if http.raw_path == HEALTH:
            return 'Authorization' not in http.headers
        return http.raw_path.startswith(PREFIX)

    async def handle(self, http: web.BaseRequest) -> web.Response:
        """Answer a request; a refused request is answered with `{"error": "a sentence"}`."""
        try:
            return _json(200, await self._answer(http))
        except InputError as error:
            return _json(400, {'error': str(error)})
        except _RefusedInputError as refused:
            return _json(refused.status, {'error': str(refused)})

    async def _answer(self, http: web.BaseRequest) -> Any:
        if http.raw_path == HEALTH:
            return {'status': 'ok', 'version': version('local-bedrock')}
        reason = refusal(http, self._base_url(), self._handler.keyring)
        if reason is not None:
            raise _RefusedInputError(403, reason)
        methods = self._routes.get(http.path.removeprefix(PREFIX))
        if methods is None:
            paths = ', '.join(f'{PREFIX}{name}' for name in self._routes)
            raise _RefusedInputError(404, f'There is no {http.path}; the paths are {paths} and {HEALTH}.')
        act = methods.get(http.method)
        if act is None:
            raise _RefusedInputError(405, f'{http.path} takes {" and ".join(methods)}, not {http.method}.')
        if http.method not in ('POST', 'PUT'):
            return act(http, None)
        return act(http, await _body(http, self._handler.receive_timeout))

    def _replies(self, http: web.BaseRequest, body: object) -> dict[str, int]:
        return {'pending': self._handler.runtime.script.pending}

    def _add_replies(self, http: web.BaseRequest, body: object) -> dict[str, int]:
        # Nothing is scripted unless all of it can be read.
        for reply in read_replies(body):
            reply.put(self._bedrock)
        return self._replies(http, None)

    def _clear_replies(self, http: web.BaseRequest, body: object) -> dict[str, int]:
        self._handler.runtime.script.clear()
        return self._replies(http, None)

    def _faults(self, http: web.BaseRequest, body: object) -> dict[str, int]:
        return {'pending': self._handler.faults.pending + self._handler.connection_faults.pending}

    def _add_faults(self, http: web.BaseRequest, body: object) -> dict[str, int]:
        for fault in read_faults(body):
            fault.put(self._bedrock)
        return self._faults(http, None)

    def _clear_faults(self, http: web.BaseRequest, body: object) -> dict[str, int]:
        self._handler.faults.clear()
        self._handler.connection_faults.clear()
        return self._faults(http, None)

    def _quotas(self, http: web.BaseRequest, body: object) -> dict[str, Any]:
        return quotas.shown(self._handler.runtime.quotas)

    def _set_quotas(self, http: web.BaseRequest, body: object) -> dict[str, Any]:
        read = quotas.read_quotas(body)
        try:
            self._handler.runtime.quotas.set(read)
        except ValueError as error:
            raise InputError(f'quotas: {error}') from None
        return self._quotas(http, None)

    def _lift_quotas(self, http: web.BaseRequest, body: object) -> dict[str, Any]:
        self._handler.runtime.quotas.set(())
        return self._quotas(http, None)

    def _requests(self, http: web.BaseRequest, body: object) -> bytes:
        """Return the latest requests that the parameters name, in order of arrival."""
        asked = dict(http.query)
        limit = _limit(asked.pop('limit', str(views.LIMIT)))
        model, operation = asked.pop('model', None), asked.pop('operation', None)
        service = asked.pop('service', None)
        _check('operation', operation, OPERATIONS)
        _check('service', service, get_args(Service))
        if asked:
            raise InputError(
                f'{min(asked)}: there is no such parameter; the parameters are limit, model, operation, service.'
            )
        found = [
            request
            for request in self._bedrock.requests
            if model in (None, request.model_id)
            and operation in (None, request.operation)
            and service in (None, request.service)
        ]
        return views.shown(found[-limit:])

    def _forget_requests(self, http: web.BaseRequest, body: object) -> dict[str, Any]:
        self._handler.requests.clear()
        return self._stats(http, None)

    def _stats(self, http: web.BaseRequest, body: object) -> dict[str, Any]:
        return {
            **asdict(self._bedrock.stats()),
            'failures': [f'{type(error).__name__}: {error}' for error in self._bedrock.failures],
        }

    def _reset(self, http: web.BaseRequest, body: object) -> dict[str, Any]:
        self._start_over()
        return self._stats(http, None)


async def _body(http: web.BaseRequest, seconds: float) -> object:
    """Return the decoded body of a request; nothing stands for an empty list.

    Raises:
        InputError: It is not JSON.
    """
    if http.headers.get('Expect', '').lower() == '100-continue':
        await http.writer.write(b'HTTP/1.1 100 Continue\r\n\r\n')
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in http.content.iter_any():
                body += piece
                if len(body) > BODY_BYTES:
                    raise _RefusedInputError(413, f'The body has more than {BODY_BYTES:,} bytes.')
    except TimeoutError:
        raise _RefusedInputError(408, f'The body did not arrive within {seconds:g} s.') from None
    try:
        return from_json(bytes(body) or b'[]', allow_inf_nan=False)
    except ValueError as error:
        raise InputError(f'body: not JSON, {error}.') from None


def _limit(text: str) -> int:
    limit = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= limit <= views.MOST:
        raise InputError(f'limit: must be a number from 1 to {views.MOST}, not {text!r}.')
    return limit


def _check(name: str, value: str | None, values: tuple[str, ...]) -> None:
    if value is not None and value not in values:
        raise InputError(f'{name}: {value!r} is none of {", ".join(values)}.')


def _json(status: int, value: Any) -> web.Response:
    body = value if isinstance(value, bytes) else to_json(value, inf_nan_mode='constants')
    return web.Response(status=status, body=body + b'\n', content_type='application/json')
