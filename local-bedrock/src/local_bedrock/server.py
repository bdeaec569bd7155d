"""LocalBedrock: the endpoint's life on an event loop, or on a thread of its own, and what tests ask of it."""

from __future__ import annotations

import os
import random
import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from local_bedrock._batch.job_control import JobControl
from local_bedrock._batch.jobs import Jobs
from local_bedrock._http.handler import Handler
from local_bedrock._http.lifetime import Lifetime, LoopThread
from local_bedrock._http.listener import Refusal
from local_bedrock._http.signatures import utc_now
from local_bedrock._model.default_model import respond
from local_bedrock._model.render import Manner
from local_bedrock._model.runtime import Runtime
from local_bedrock._recording.exchanges import ExchangeFile
from local_bedrock._recording.replaying import Replay
from local_bedrock._s3.objects import ObjectStore
from local_bedrock.environment import ALL_SERVICES, MODEL_SERVICES, client_environment, redirected
from local_bedrock.faults import FailConnection, Fault
from local_bedrock.keys import AccessKey, Keyring
from local_bedrock.quotas import Quota, Quotas, Throttle
from local_bedrock.replies import AnyReply, ReplyFunction, generates_text
from local_bedrock.requests import LocalBedrockStats, Operation, RecordedRequest
from local_bedrock.routing import RuntimeOperation
from local_bedrock.rules import Rule, Script

if TYPE_CHECKING:
    from botocore.session import Session

F = TypeVar('F', bound=Fault)


class LocalBedrock:
    """An endpoint of Bedrock Runtime on loopback, wire for wire, with the batch inference jobs of Bedrock and their S3.

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
        buckets: Collection[str] | None = None,
        minimum_batch_records: int = 1,
        tls: ssl.SSLContext | None = None,
        responder: ReplyFunction = respond,
        latency: float = 0.0,
        tokens_per_second: float | None = None,
        clock: Callable[[], datetime] = utc_now,
        seed: int = 0,
        keep_requests: int = 10_000,
        quotas: Sequence[Quota] = (),
        strict_models: bool = True,
    ) -> None:
        """Configure an endpoint.

        Args:
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
            region_name: Region that signatures must be scoped to.
            credentials: Secrets by access key id; a key made for the occasion where not given.
            api_keys: Bearer tokens that are accepted; one made for the occasion where not given.
            models: Model ids that exist; every well-formed id of a known family where not given.
            buckets: S3 buckets that exist; every bucket, until it is deleted, where not given.
            minimum_batch_records: How many records a batch inference job must have; AWS wants 100.
            tls: Serves HTTPS with this context.
            responder: What answers Converse and ConverseStream where no scripted reply does.
            latency: Seconds before a response starts, for replies that don't say.
            tokens_per_second: Speed of generation, for replies that don't say.
            clock: The time by which signatures are judged.
            seed: Seed of the padding of events, of the chance of faults, and of the order of the output of batches.
            keep_requests: How many of the latest requests are remembered.
            quotas: Requests and tokens that models may take; beyond them, requests are throttled (default: no limit).
            strict_models: Refuses what a model of its family does not support, such as tools of Titan Text; off, only
                the rules that all models share apply.
        """
        manner = Manner(latency, tokens_per_second, seed)
        runtime = Runtime(models, responder, manner, strict_models, quotas=Quotas(quotas))
        objects = ObjectStore(buckets)
        self._endpoint = Handler(
            region_name=region_name,
            keyring=Keyring.of(credentials, api_keys),
            runtime=runtime,
            jobs=Jobs(region_name, runtime, objects, clock, minimum_batch_records),
            objects=objects,
            clock=clock,
            keep_requests=keep_requests,
        )
        self._host, self._port, self._tls = host, port, tls
        self._serving: Lifetime | None = None
        self._thread: LoopThread | None = None

    @classmethod
    def record(
        cls,
        to: str | os.PathLike[str],
        *,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        session: Session | None = None,
        host: str = '127.0.0.1',
        port: int = 0,
    ) -> LocalBedrock:
        """Make an endpoint that passes requests on to AWS, and writes each exchange to a file, for `replay`.

        Whoever asks signs with a key of the endpoint, or with the credentials that the requests are passed on with. An
        exchange is in the file when its response has ended, but without credentials and cookies; one that does not come
        to its end is not recorded.

        Args:
            to: The file, which is begun anew.
            region_name: The AWS region; the session's where not given, which may be read from a file here and now.
            endpoint_url: Where requests are passed on to; the region's own endpoint where not given.
            session: Has the credentials; `AWS_BEARER_TOKEN_BEDROCK`, or else a new botocore session, where not given.
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.

        Raises:
            botocore.exceptions.NoRegionError: There is no region.
        """
        # It takes half of botocore to find credentials, and few record.
        from local_bedrock._recording.forwarding import Forwarder

        forwarder = Forwarder(ExchangeFile(to), region_name, endpoint_url, session)
        bedrock = cls(region_name=forwarder.region_name, host=host, port=port)
        bedrock._endpoint.runtime.source = forwarder
        return bedrock

    @classmethod
    def replay(
        cls,
        *files: str | os.PathLike[str],
        region_name: str = 'us-east-1',
        host: str = '127.0.0.1',
        port: int = 0,
    ) -> LocalBedrock:
        """Make an endpoint that answers with recorded exchanges, and needs no network.

        A request is answered by what is recorded for the same path and body: by each response in turn if there are
        several, and then by the last one again. Any other is refused with an `UnrecordedRequestException`, which says
        what differs from the nearest that is recorded, and is among the `failures`.

        Args:
            files: Files of exchanges, as `record` writes them.
            region_name: Region that signatures must be scoped to.
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
        """
        bedrock = cls(region_name=region_name, host=host, port=port)
        bedrock._endpoint.runtime.source = Replay([Path(file) for file in files])
        return bedrock

    def __repr__(self) -> str:
        if self._serving is None:
            return '<LocalBedrock: not serving>'
        return f'<LocalBedrock: {self.base_url} | {self.stats().requests} requests, {self.stats().in_flight} in flight>'

    # Where it is and what it accepts

    @property
    def base_url(self) -> str:
        """URL of the endpoint.

        Raises:
            RuntimeError: The endpoint is not serving.
        """
        return self._now_serving.base_url

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
        if self._endpoint.keyring.latest_api_key is None:
            raise RuntimeError('LocalBedrock accepts no API key: none was given.')
        return self._endpoint.keyring.latest_api_key

    @property
    def _key(self) -> AccessKey:
        if self._endpoint.keyring.latest_access_key is None:
            raise RuntimeError('LocalBedrock accepts no access key: none was given.')
        return self._endpoint.keyring.latest_access_key

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point an AWS client at the endpoint."""
        services = MODEL_SERVICES if self._endpoint.runtime.source is not None else ALL_SERVICES
        return client_environment(self.base_url, self.region_name, self._key, services)

    def redirect_clients(self) -> AbstractContextManager[None]:
        """Point the AWS clients that this process makes at the endpoint, by its environment, for the time of a block.

        What would lead them elsewhere, such as `AWS_PROFILE`, is out of the environment for that time.
        """
        return redirected(self.environment)

    def accept(self, access_key_id: str, secret_access_key: str, session_token: str | None = None) -> AccessKey:
        """Accept one more access key, or a new secret of one."""
        key = AccessKey(access_key_id, secret_access_key, session_token)
        self._endpoint.keyring.accept(key)
        return key

    def expire(self, *names: str) -> None:
        """Answer what is signed with these access key ids, or bears these API keys, as expired from now on."""
        self._endpoint.keyring.expire(*names)

    def revoke(self, *names: str) -> None:
        """Answer what is signed with these access key ids, or bears these API keys, as unknown from now on."""
        self._endpoint.keyring.revoke(*names)

    def rotate_credentials(self, *, temporary: bool = False) -> AccessKey:
        """Make a new access key and let all others expire."""
        return self._endpoint.keyring.rotate_access_key(temporary=temporary)

    def rotate_api_key(self) -> str:
        """Make a new API key and let all others expire."""
        return self._endpoint.keyring.rotate_api_key()

    # What it has seen

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in order of arrival."""
        return self._endpoint.requests

    @property
    def failures(self) -> list[Exception]:
        """Exceptions that reply functions have raised."""
        return self._endpoint.runtime.failures

    @property
    def throttles(self) -> list[Throttle]:
        """The requests that quotas have refused, in order: the latest 100,000."""
        return list(self._endpoint.runtime.quotas.throttles)

    def stats(self) -> LocalBedrockStats:
        """Return the counts of this moment."""
        return self._endpoint.stats()

    @property
    def objects(self) -> ObjectStore:
        """Objects stored in S3."""
        return self._endpoint.objects

    @property
    def jobs(self) -> JobControl:
        """Control of the progress of batch inference jobs."""
        return JobControl(self._endpoint.jobs, self._act)

    # What it says

    def reply(
        self,
        *replies: AnyReply | ReplyFunction,
        model: str | Callable[[str], bool] | None = None,
        operation: RuntimeOperation | None = None,
        when: Callable[[RecordedRequest], bool] | None = None,
        times: int | None = 1,
    ) -> list[Rule[AnyReply | ReplyFunction]]:
        """Script replies: each request is answered by the first that is for it, in the order in which they were given.

        Args:
            replies: What to answer. A function is called with the request and returns the reply, or yields the events
                of a stream if it is an async generator.
            model: Only for requests to this model id, or to one of which the function says so.
            operation: Only for requests of this operation. Errors and raw replies are for any where not given, all
                others for each operation that generates text: Converse and InvokeModel, streamed or not.
            when: Only for requests of which the function says so.
            times: How many requests each reply answers; `None` is any number.

        Returns:
            The rules, which count their uses and can be removed.
        """
        script = self._endpoint.runtime.script
        return [
            script.add(
                Rule(
                    action=reply,
                    model=model,
                    operations=None if operation is None else (operation,),
                    text_only=operation is None and generates_text(reply),
                    when=when,
                    times=times,
                )
            )
            for reply in replies
        ]

    def fault(
        self,
        fault: F,
        *,
        nth: int | Collection[int] | None = None,
        model: str | Callable[[str], bool] | None = None,
        operation: Operation | None = None,
        when: Callable[[RecordedRequest], bool] | None = None,
        probability: float = 1.0,
        seed: int | None = None,
        times: int | None = None,
    ) -> Rule[F]:
        """Let a fault happen to some requests; scripted replies answer the others.

        An error and no response at all use no reply up; what changes an answer changes the reply that is next.

        Args:
            fault: An error that is answered instead of a reply, a change of the answer, or the failure of a connection.
            nth: The requests to which it happens, counted from 1 among those that the other conditions name; the
                connections, if it is the failure of one.
            model: Only to requests to this model id, or to one of which the function says so.
            operation: Only to requests of this operation.
            when: Only to requests of which the function says so.
            probability: The chance that it happens.
            seed: Seed of that chance; the endpoint's own where not given.
            times: How often it happens at most.

        Returns:
            The rule, which counts its uses and can be removed.

        Raises:
            ValueError: The failure of a connection is made to depend on a request.
        """
        rule = Rule(
            action=fault,
            nth={nth} if isinstance(nth, int) else nth,
            model=model,
            operations=None if operation is None else (operation,),
            when=when,
            probability=probability,
            chance=random.Random(self._endpoint.runtime.manner.seed if seed is None else seed),
            times=times,
        )
        if not isinstance(fault, FailConnection):
            return cast('Script[F]', self._endpoint.faults).add(rule)
        if not model is operation is when is None:
            raise ValueError('A connection fails before it has a request: leave out model, operation and when.')
        return cast('Script[F]', self._endpoint.connection_faults).add(rule)

    def set_quotas(self, *quotas: Quota) -> None:
        """Replace the quotas, from now on; none lifts them.

        A limit that was there before, of the same models, keeps the level of its buckets, up to the new burst.

        Args:
            quotas: All that apply from now on.

        Raises:
            ValueError: Two of them set the same limit for the same models.
        """
        self._act(partial(self._endpoint.runtime.quotas.set, quotas))

    def stop_accepting(self, how: Refusal = 'refuse') -> None:
        """Accept no more connections until `start_accepting`; those that are open stay.

        Args:
            how: Whether connections are refused at once, or their packets ignored, so that clients wait for an answer.
        """
        self._now_serving.stop_accepting(how)

    def start_accepting(self) -> None:
        """Accept connections again."""
        self._now_serving.start_accepting()

    def drop_connections(self) -> None:
        """Close all connections, idle or not, without a word."""
        self._now_serving.drop_connections()

    def reset(self) -> None:
        """Forget scripted replies, faults, requests and failures; connections, keys, jobs and objects stay."""
        self._endpoint.forget()

    def start_over(self) -> None:
        """Return to the state at the start: nothing open, scripted, seen, stored or counted, the keys of then."""
        self._now_serving.start_over()

    def _act(self, act: Callable[[], None]) -> None:
        if self._serving is None:
            act()
        else:
            self._serving.act(act)

    @property
    def _now_serving(self) -> Lifetime:
        if self._serving is None:
            raise RuntimeError('LocalBedrock is not serving: enter it first, with "async with" or "with".')
        return self._serving

    async def __aenter__(self) -> LocalBedrock:
        if self._serving is not None:
            raise RuntimeError('LocalBedrock is serving already.')
        serving = Lifetime(self._endpoint, self._tls)
        await serving.start(self._host, self._port)
        self._serving = serving
        return self

    async def __aexit__(self, *_: object) -> None:
        serving, self._serving = self._serving, None
        if serving is not None:
            await serving.close()

    def __enter__(self) -> LocalBedrock:
        self._thread = LoopThread(self)
        self._thread.start_serving()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.stop_serving()
            self._thread = None
