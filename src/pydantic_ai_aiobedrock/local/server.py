"""LocalBedrock: the endpoint's life on an event loop, or on a thread of its own, and what tests ask of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from .endpoint import Endpoint
from .errors import ErrorReply
from .faults import Fault
from .records import LocalBedrockStats, Operation, RecordedRequest
from .replies import AnyReply, RawReply, ReplyFunction
from .responder import respond
from .responses import Manner
from .scripts import Rule
from .signatures import AccessKey, Keyring, utc_now
from .threads import ServingThread
from .validation import ServiceModel

# Clients may come by the thousand at once; the system's own limit applies above this.
_BACKLOG = 4096
_CLOSE_SECONDS = 5.0


class _Server(web.Server):
    """aiohttp's server, its connections counted and closed for certain."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint.handle, handler_cancellation=True, access_log=None)
        self._endpoint = endpoint
        self._transports: dict[RequestHandler, asyncio.Transport] = {}
        self._none_left = asyncio.Event()
        self.opened = 0

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        self.opened += 1
        self._endpoint.connections[id(handler)] = self.opened
        self._transports[handler] = transport
        super().connection_made(handler, transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self._endpoint.connections.pop(id(handler), None)
        self._transports.pop(handler, None)
        if not self._transports:
            self._none_left.set()
        super().connection_lost(handler, exc)

    async def close(self) -> None:
        """Cancel what is under way, and return when no connection is left."""
        self.pre_shutdown()
        handling: list[asyncio.Task[Any]] = list(self._endpoint.handling)
        for task in handling:
            task.cancel()
        if handling:
            await asyncio.wait(handling, timeout=_CLOSE_SECONDS)
        await self.shutdown(_CLOSE_SECONDS)
        # A TLS connection waits for the client's goodbye before it closes; this one does not.
        for transport in list(self._transports.values()):
            transport.abort()
        if self._transports:
            self._none_left.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_left.wait(), _CLOSE_SECONDS)


class LocalBedrock:
    """A Bedrock Runtime endpoint on loopback, wire for wire.

    `async with LocalBedrock() as bedrock:` serves on the running loop; `with LocalBedrock() as bedrock:` serves on a
    thread of its own, for code that is not async. All methods work in both, at any time.
    """

    def __init__(
        self,
        *,
        host: str = '127.0.0.1',
        port: int = 0,
        region_name: str = 'us-east-1',
        credentials: Mapping[str, str | AccessKey] | None = None,
        api_keys: Collection[str] | None = None,
        models: Collection[str] | None = None,
        tls: ssl.SSLContext | None = None,
        responder: ReplyFunction = respond,
        latency: float = 0.0,
        tokens_per_second: float | None = None,
        clock: Callable[[], datetime] = utc_now,
        seed: int = 0,
        keep_requests: int = 10_000,
    ) -> None:
        """Configure an endpoint.

        Args:
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
            region_name: Region that signatures must be scoped to.
            credentials: Secrets by access key id; a key made for the occasion where not given.
            api_keys: Bearer tokens that are accepted; one made for the occasion where not given.
            models: Model ids that exist; every well-formed id of a known family where not given.
            tls: Serves HTTPS with this context.
            responder: What answers Converse and ConverseStream where no scripted reply does.
            latency: Seconds before a response starts, for replies that don't say.
            tokens_per_second: Speed of generation, for replies that don't say.
            clock: The time by which signatures are judged.
            seed: Seed of the padding of events and of the chance of faults.
            keep_requests: How many of the latest requests are remembered.
        """
        made = AccessKey.make()
        keys = {made.access_key_id: made} if credentials is None else credentials
        tokens = [f'bedrock-api-key-local-{made.access_key_id.lower()}'] if api_keys is None else list(api_keys)
        keyring = Keyring.of(keys, tokens)
        self._current_key = next(iter(keyring.access_keys.values()), None)
        self._current_api_key = next(iter(tokens), None)
        self._endpoint = Endpoint(
            region_name=region_name,
            keyring=keyring,
            models=models,
            responder=responder,
            clock=clock,
            manner=Manner(latency, tokens_per_second, seed),
            keep_requests=keep_requests,
        )
        self._host, self._port, self._tls = host, port, tls
        self._bound_port: int | None = None
        self._site: asyncio.Server | None = None
        self._server: _Server | None = None
        self._thread: ServingThread | None = None

    def __repr__(self) -> str:
        if self._bound_port is None:
            return '<LocalBedrock: not serving>'
        return f'<LocalBedrock: {self.base_url} | {self.stats().requests} requests, {self.stats().in_flight} in flight>'

    # Where it is and what it accepts

    @property
    def base_url(self) -> str:
        """URL of the endpoint.

        Raises:
            RuntimeError: The endpoint is not serving.
        """
        if self._bound_port is None:
            raise RuntimeError('LocalBedrock is not serving: enter it first, with "async with" or "with".')
        host = f'[{self._host}]' if ':' in self._host else self._host
        return f'{"https" if self._tls else "http"}://{host}:{self._bound_port}'

    @property
    def region_name(self) -> str:
        """Region of the endpoint."""
        return self._endpoint.region_name

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
        """Session token of the latest access key that is accepted, where it is a temporary one."""
        return self._key.session_token

    @property
    def api_key(self) -> str:
        """The latest bearer token that is accepted.

        Raises:
            RuntimeError: None is accepted.
        """
        if self._current_api_key is None:
            raise RuntimeError('LocalBedrock accepts no API key: none was given.')
        return self._current_api_key

    @property
    def _key(self) -> AccessKey:
        if self._current_key is None:
            raise RuntimeError('LocalBedrock accepts no access key: none was given.')
        return self._current_key

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point an AWS client at the endpoint."""
        return {
            'AWS_ENDPOINT_URL_BEDROCK_RUNTIME': self.base_url,
            'AWS_ACCESS_KEY_ID': self.aws_access_key_id,
            'AWS_SECRET_ACCESS_KEY': self.aws_secret_access_key,
            'AWS_DEFAULT_REGION': self.region_name,
        }

    def accept(self, access_key_id: str, secret_access_key: str, session_token: str | None = None) -> AccessKey:
        """Accept one more access key, or a new secret of one."""
        key = AccessKey(access_key_id, secret_access_key, session_token)
        keyring = self._endpoint.keyring
        keyring.access_keys[access_key_id] = key
        keyring.expired_access_keys.discard(access_key_id)
        self._current_key = key
        return key

    def expire(self, *names: str) -> None:
        """Answer what is signed with these access key ids, or bears these API keys, as expired from now on."""
        keyring = self._endpoint.keyring
        keyring.expired_access_keys.update(name for name in names if name in keyring.access_keys)
        keyring.expired_api_keys.update(name for name in names if name in keyring.api_keys)

    def revoke(self, *names: str) -> None:
        """Answer what is signed with these access key ids, or bears these API keys, as unknown from now on."""
        keyring = self._endpoint.keyring
        for name in names:
            keyring.access_keys.pop(name, None)
            keyring.api_keys.discard(name)

    def rotate_credentials(self, *, temporary: bool = False) -> AccessKey:
        """Make a new access key and let all others expire."""
        retired = list(self._endpoint.keyring.access_keys)
        made = AccessKey.make(temporary=temporary)
        self.accept(made.access_key_id, made.secret_access_key, made.session_token)
        self.expire(*(name for name in retired if name != made.access_key_id))
        return made

    def rotate_api_key(self) -> str:
        """Make a new API key and let all others expire."""
        keyring = self._endpoint.keyring
        self.expire(*keyring.api_keys)
        self._current_api_key = f'bedrock-api-key-local-{AccessKey.make().secret_access_key}'
        keyring.api_keys.add(self._current_api_key)
        return self._current_api_key

    # What it has seen

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in order of arrival."""
        return self._endpoint.requests

    @property
    def failures(self) -> list[Exception]:
        """What reply functions have raised."""
        return self._endpoint.failures

    def stats(self) -> LocalBedrockStats:
        """Return the counts of this moment."""
        endpoint = self._endpoint
        return LocalBedrockStats(
            requests=endpoint.arrived,
            in_flight=endpoint.in_flight,
            max_in_flight=endpoint.max_in_flight,
            connections=self._server.opened if self._server is not None else 0,
            open_connections=len(endpoint.connections),
            streams_generating=endpoint.streams_generating,
        )

    # What it says

    def reply(
        self,
        *replies: AnyReply | ReplyFunction,
        model: str | Callable[[str], bool] | None = None,
        operation: Operation | None = None,
        when: Callable[[RecordedRequest], bool] | None = None,
        times: int | None = 1,
    ) -> list[Rule[AnyReply | ReplyFunction]]:
        """Script replies: each request is answered by the first that is for it, in the order in which they were given.

        Args:
            replies: What to answer. A function is called with the request and returns the reply, or yields the events
                of a stream if it is an async generator.
            model: Only for requests to this model id, or to one of which the function says so.
            operation: Only for requests of this operation. Errors and raw replies are for any where not given, all
                others for Converse and ConverseStream.
            when: Only for requests of which the function says so.
            times: How many requests each reply answers; `None` is any number.

        Returns:
            The rules, which count their uses and can be removed.
        """
        script = self._endpoint.script
        return [
            script.add(
                Rule(action=reply, model=model, operations=_operations(reply, operation), when=when, times=times)
            )
            for reply in replies
        ]

    def fault(
        self,
        fault: Fault,
        *,
        nth: int | Collection[int] | None = None,
        model: str | Callable[[str], bool] | None = None,
        operation: Operation | None = None,
        when: Callable[[RecordedRequest], bool] | None = None,
        probability: float = 1.0,
        seed: int | None = None,
        times: int | None = None,
    ) -> Rule[Fault]:
        """Let a fault happen to some requests; scripted replies answer the others.

        Args:
            fault: An error that is answered instead of a reply, or a change of the answer.
            nth: The requests to which it happens, counted from 1 among those that the other conditions name.
            model: Only to requests to this model id, or to one of which the function says so.
            operation: Only to requests of this operation.
            when: Only to requests of which the function says so.
            probability: The chance that it happens.
            seed: Seed of that chance; the endpoint's own where not given.
            times: How often it happens at most.

        Returns:
            The rule, which counts its uses and can be removed.
        """
        return self._endpoint.faults.add(
            Rule(
                action=fault,
                nth={nth} if isinstance(nth, int) else nth,
                model=model,
                operations=None if operation is None else (operation,),
                when=when,
                probability=probability,
                chance=random.Random(self._endpoint.manner.seed if seed is None else seed),
                times=times,
            )
        )

    def reset(self) -> None:
        """Forget scripted replies, faults, requests and failures; connections and keys stay."""
        self._endpoint.script.clear()
        self._endpoint.faults.clear()
        self._endpoint.requests.clear()
        self._endpoint.failures.clear()

    # Its life

    async def __aenter__(self) -> LocalBedrock:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    def __enter__(self) -> LocalBedrock:
        self._thread = ServingThread(self)
        self._thread.start_serving()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.stop_serving()
            self._thread = None

    async def _start(self) -> None:
        if self._site is not None:
            raise RuntimeError('LocalBedrock is serving already.')
        # Reads and decodes megabytes of JSON.
        self._endpoint.service_model = await asyncio.to_thread(ServiceModel.load)
        self._server = _Server(self._endpoint)
        self._site = await asyncio.get_running_loop().create_server(
            self._server, self._host, self._port, ssl=self._tls, backlog=_BACKLOG
        )
        self._bound_port = cast('int', self._site.sockets[0].getsockname()[1])

    async def _stop(self) -> None:
        site, server = self._site, self._server
        if site is None or server is None:
            return
        self._site = self._bound_port = None
        site.close()
        await server.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(site.wait_closed(), _CLOSE_SECONDS)


def _operations(reply: AnyReply | ReplyFunction, operation: Operation | None) -> tuple[Operation, ...] | None:
    if operation is not None:
        return (operation,)
    return None if isinstance(reply, ErrorReply | RawReply) else ('Converse', 'ConverseStream')
