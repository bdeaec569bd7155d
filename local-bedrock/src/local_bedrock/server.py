"""LocalBedrock: the settings of an endpoint, and its life on an event loop or on a thread of its own."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from local_bedrock._admin.api import Admin
from local_bedrock._batch.job_control import JobControl
from local_bedrock._batch.jobs import Jobs
from local_bedrock._batch.other_s3 import OtherS3
from local_bedrock._http.arrival import DEFAULT_BODY_BYTES, DEFAULT_RECEIVE_SECONDS
from local_bedrock._http.handler import Handler
from local_bedrock._http.lifetime import Lifetime, LoopThread
from local_bedrock._http.listener import Refusal
from local_bedrock._http.remembered import DEFAULT_KEEP_BYTES, RememberedRequests
from local_bedrock._http.signatures import utc_now
from local_bedrock._model.default_model import respond
from local_bedrock._model.render import Manner
from local_bedrock._model.runtime import Runtime
from local_bedrock._recording.exchanges import ExchangeFile
from local_bedrock._recording.replaying import Replay
from local_bedrock._s3.objects import ObjectStore
from local_bedrock._settings import SET_QUOTAS, SETTINGS
from local_bedrock.accepted_keys import AcceptsKeys
from local_bedrock.environment import ALL_SERVICES, MODEL_SERVICES, client_environment, redirected
from local_bedrock.keys import AccessKey, Keyring
from local_bedrock.quotas import Quota, Quotas
from local_bedrock.replies import ReplyFunction
from local_bedrock.scripted import Scripted

if TYPE_CHECKING:
    from botocore.session import Session


class LocalBedrock(AcceptsKeys, Scripted):
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
        s3_endpoint_url: str | None = None,
        minimum_batch_records: int = 1,
        tls: ssl.SSLContext | None = None,
        responder: ReplyFunction = respond,
        latency: float = 0.0,
        tokens_per_second: float | None = None,
        clock: Callable[[], datetime] = utc_now,
        seed: int = 0,
        keep_requests: int = 10_000,
        keep_bytes: int = DEFAULT_KEEP_BYTES,
        max_body_bytes: int = DEFAULT_BODY_BYTES,
        receive_timeout: float = DEFAULT_RECEIVE_SECONDS,
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
            s3_endpoint_url: Another S3, such as moto's or MinIO, that batch inference jobs use, with the latest access
                key of this endpoint: pass that of the other S3 as `credentials`. `environment` and `redirect_clients`
                point S3 clients at it, too (default: the endpoint's own S3).
            minimum_batch_records: How many records a batch inference job must have; AWS wants 100.
            tls: Serves HTTPS with this context.
            responder: What answers Converse and ConverseStream where no scripted reply does.
            latency: Seconds before a response starts, for replies that don't say.
            tokens_per_second: Speed of generation, for replies that don't say.
            clock: The time by which signatures are judged.
            seed: Seed of the padding of events, of the chance of faults, and of the order of the output of batches.
            keep_requests: The number of the latest requests that are remembered.
            keep_bytes: The memory in bytes that their bodies may take, decoded ones included; beyond it the oldest are
                dropped, but never the latest of all (default: 256 MiB).
            max_body_bytes: Size in bytes of the largest body that is read (default: 128 MiB, above what AWS's limits
                allow in one request of Converse). Bodies are never unpacked.
            receive_timeout: Seconds in which the head of a request, and then its body, must arrive; a slower client is
                refused, or disconnected if not even the head has arrived (default: 60).
            quotas: Requests and tokens that models may take; beyond them, requests are throttled (default: no limit).
            strict_models: Refuses what a model of its family does not support, such as tools of Titan Text; off, only
                the rules that all models share apply.

        Raises:
            ValueError: An argument is wrong.
        """
        SETTINGS.check(locals())
        manner = Manner(latency, tokens_per_second, seed)
        runtime = Runtime(models, responder, manner, strict_models, quotas=Quotas(quotas))
        objects = ObjectStore(buckets)
        self._s3_endpoint_url = s3_endpoint_url
        other_s3 = None if s3_endpoint_url is None else OtherS3(s3_endpoint_url, region_name, lambda: self._key)
        self._handler = Handler(
            region_name=region_name,
            keyring=Keyring.of(credentials, api_keys),
            runtime=runtime,
            jobs=Jobs(region_name, runtime, objects, clock, minimum_batch_records, other_s3),
            objects=objects,
            clock=clock,
            requests=RememberedRequests(keep_requests, keep_bytes),
            max_body_bytes=max_body_bytes,
            receive_timeout=receive_timeout,
        )
        start_over = partial(self.start_over, keep_connections=True)
        self._handler.own_api = Admin(self, self._handler, lambda: self.base_url, start_over)
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
        mask_account_ids: bool = False,
        host: str = '127.0.0.1',
        port: int = 0,
    ) -> LocalBedrock:
        """Make an endpoint that passes requests on to AWS, and writes each exchange to a file, for `replay`.

        Clients sign with a key of the endpoint, or with the credentials that the requests are passed on with. An
        exchange is in the file when its response has ended, but without cookies, and with stars instead of credentials,
        in streams too; one that does not come to its end is not recorded.

        Args:
            to: The file, which is overwritten, and which its owner alone may read.
            region_name: The AWS region (default: the session's, which may be read from a file here and now).
            endpoint_url: The endpoint that requests are passed on to (default: the region's own).
            session: Has the credentials (default: `AWS_BEARER_TOKEN_BEDROCK`, or else a new botocore session).
            mask_account_ids: Writes 123456789012 instead of the account ids that stand in ARNs, wherever they occur;
                `replay` takes any account id for another.
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.

        Raises:
            botocore.exceptions.NoRegionError: There is no region.
        """
        # It takes half of botocore to find credentials, and few record.
        from local_bedrock._recording.forwarding import Forwarder

        forwarder = Forwarder(ExchangeFile(to, mask_account_ids=mask_account_ids), region_name, endpoint_url, session)
        bedrock = cls(region_name=forwarder.region_name, host=host, port=port)
        bedrock._handler.runtime.source = forwarder
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
        bedrock._handler.runtime.source = Replay([Path(file) for file in files])
        return bedrock

    def __repr__(self) -> str:
        if self._serving is None:
            return '<LocalBedrock: not serving>'
        return f'<LocalBedrock: {self.base_url} | {self.stats().requests} requests, {self.stats().in_flight} in flight>'

    # Address and accepted keys

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
        return self._handler.region_name

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point an AWS client at the endpoint."""
        services = MODEL_SERVICES if self._handler.runtime.source is not None else ALL_SERVICES
        environment = client_environment(self.base_url, self.region_name, self._key, services)
        if self._s3_endpoint_url is not None:
            environment['AWS_ENDPOINT_URL_S3'] = self._s3_endpoint_url
        return environment

    def redirect_clients(self) -> AbstractContextManager[None]:
        """Point the AWS clients that this process makes at the endpoint, by its environment, for the time of a block.

        What would lead them elsewhere, such as `AWS_PROFILE`, is out of the environment for that time.
        """
        return redirected(self.environment)

    @property
    def jobs(self) -> JobControl:
        """Control of the progress of batch inference jobs."""
        return JobControl(self._handler.jobs, self._act)

    def set_quotas(self, *quotas: Quota) -> None:
        """Replace the quotas, from now on; none lifts them.

        A limit that was there before, of the same models, keeps the level of its buckets, up to the new burst.

        Args:
            quotas: All that apply from now on.

        Raises:
            ValueError: One is no Quota, or two of them set the same limit for the same models.
        """
        SET_QUOTAS.check({'quotas': quotas})
        self._act(partial(self._handler.runtime.quotas.set, quotas))

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
        self._handler.forget()

    def start_over(self, *, keep_connections: bool = False) -> None:
        """Return to the state at the start of serving: the keys, quotas and replies of then; nothing seen or stored.

        Args:
            keep_connections: Leave connections open.
        """
        self._now_serving.start_over(keep_connections=keep_connections)

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
        serving = Lifetime(self._handler, self._tls)
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
