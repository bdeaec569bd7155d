"""BedrockEmbeddingModel: upstream's mapping of embedding requests, sent over aioboto3 sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import anyio
import anyio.lowlevel
from botocore.exceptions import ClientError
from pydantic_ai.embeddings import EmbeddingResult, EmbeddingSettings
from pydantic_ai.embeddings.bedrock import BedrockEmbeddingModel as UpstreamEmbeddingModel
from pydantic_ai.embeddings.bedrock import BedrockEmbeddingModelName
from pydantic_ai.embeddings.result import EmbedInputType
from pydantic_ai.exceptions import ModelAPIError, UserError
from pydantic_ai.usage import RequestUsage
from pydantic_core import from_json

from pydantic_ai_aiobedrock._config.arguments import shown
from pydantic_ai_aiobedrock._runtime.batch_errors import error_code, say_also
from pydantic_ai_aiobedrock._runtime.batch_jobs import GIVE_UP_SECONDS
from pydantic_ai_aiobedrock._upstream import batch_handles, batch_records, embedding_records, seam
from pydantic_ai_aiobedrock._upstream.batch_inference import BatchInference, check_batch_inference, output_uris
from pydantic_ai_aiobedrock._upstream.error_mapping import map_api_errors, map_other_errors
from pydantic_ai_aiobedrock.batches import RunsBatches
from pydantic_ai_aiobedrock.providers import BedrockProvider, as_provider, check_model_name

if TYPE_CHECKING:
    from pydantic_ai.models.batch import Batch, BatchResult, EncodedBatchRequest

_T = TypeVar('_T')

_INPUTS_PER_TURN = 100
"""Inputs that are encoded before other callbacks of the event loop run."""


class _ToThread:
    """`anyio.to_thread` for calls that are coroutines: they run where they are awaited."""

    @staticmethod
    async def run_sync(call: Callable[[], Awaitable[_T]]) -> _T:
        # When an input fails, the next may begin in the same turn of the loop in which it is to be cancelled.
        await anyio.lowlevel.checkpoint()
        return await call()


class _Anyio:
    """`anyio`, but for `to_thread`."""

    to_thread = _ToThread

    def __getattr__(self, name: str) -> Any:
        return getattr(anyio, name)


if TYPE_CHECKING:
    _Rebuilt = UpstreamEmbeddingModel
else:
    _Rebuilt = seam.rebuilt(UpstreamEmbeddingModel, {'anyio': _Anyio()}, seam.EMBEDDING_WRAPPERS)


class BedrockEmbeddingModel(RunsBatches, _Rebuilt):
    """An embedding model on Amazon Bedrock (Titan, Cohere, Nova) that never leaves the event loop.

    `pydantic_ai.embeddings.bedrock.BedrockEmbeddingModel` over aioboto3 sessions. Inputs that a model takes singly
    are sent concurrently, and when any of them fails the others are cancelled.

    See https://ai.pydantic.dev/embeddings/ and
    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html.
    """

    def __init__(
        self,
        model_name: BedrockEmbeddingModelName,
        *,
        provider: Literal['bedrock'] | BedrockProvider = 'bedrock',
        settings: EmbeddingSettings | None = None,
        batch_inference: BatchInference | None = None,
    ) -> None:
        """Make an embedding model; nothing is opened or sent.

        Args:
            model_name: A model id; see https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html.
            provider: The provider that authenticates and sends: a `BedrockProvider` of this package, or `'bedrock'` to
                make it from the environment.
            settings: Settings that are the defaults of every request.
            batch_inference: The files, the role and the quotas of batch inference, for `embed_batch` and the
                `batch_...` methods; without it, the model has none.

        Raises:
            UserError: The model is not a known embedding model; the provider is not of this package, or has no
                region; the installed Pydantic AI has no batches yet, or the provider cannot open their files.
        """
        check_model_name(model_name)
        check_batch_inference(batch_inference)
        self._batch_inference = batch_inference
        super().__init__(model_name, provider=as_provider(provider), settings=settings)
        if batch_inference is not None:
            seam.batch_types()
            self.batch_identity()

    async def embed(
        self, inputs: str | Sequence[str], *, input_type: EmbedInputType, settings: EmbeddingSettings | None = None
    ) -> EmbeddingResult:
        """Embed an input, or several.

        Raises:
            ModelAPIError: AWS or the network failed, for at least a single input.
            UserError: The credentials, the configuration or the settings are not usable as they are.
        """
        try:
            return await super().embed(inputs, input_type=input_type, settings=settings)
        except ExceptionGroup as group:
            failed = group.subgroup((ModelAPIError, UserError))
            if failed is None:
                raise
        # To the caller it was a single call, of any number of requests.
        raise failed.exceptions[0]

    async def embed_batch(
        self,
        inputs: str | Sequence[str],
        *,
        input_type: EmbedInputType,
        settings: EmbeddingSettings | None = None,
        poll_interval: timedelta = timedelta(seconds=30),
    ) -> EmbeddingResult:
        """Embed inputs by batch inference: at half the price, within 24 hours.

        The inputs are split into as few jobs as Bedrock accepts. If this is cancelled or fails, they are stopped. To
        submit now and collect in another process, use `batch_encode`, `batch_create` and `batch_decode`.

        See https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference.html.

        Args:
            inputs: The texts.
            input_type: Whether they are documents or queries.
            settings: Settings over those of the model.
            poll_interval: The time between two looks at the jobs.

        Returns:
            The embeddings, in the order of the inputs. Its usage is that of the manifests of the jobs.

        Raises:
            ModelAPIError: AWS or the network failed, or an input could not be embedded; a note of the error names the
                batches, whose other embeddings can be read with `batch_iter_results`.
            UserError: The model was not given a `BatchInference`, the inputs are too few for a job, or `poll_interval`
                is not a `timedelta`.
        """
        # Rather now than when the jobs run, which would be stopped.
        if not isinstance(cast(object, poll_interval), timedelta):
            raise UserError(f'`poll_interval` must be a timedelta, not {shown(poll_interval)}.')
        texts, _ = self.prepare_embed(inputs, settings)
        encoded = await self.batch_encode(texts, input_type=input_type, settings=settings)
        batches: list[Batch] = []
        try:
            for part in self.batch_split(encoded):
                batch = await self.batch_create(part)
                batches.append(batch)
            while any(batch.status != 'ended' for batch in batches):
                batches = [await self.batch_status(batch) for batch in batches]
                if any(batch.status != 'ended' for batch in batches):
                    await asyncio.sleep(poll_interval.total_seconds())
        except BaseException as error:
            await self._stop(batches, error)
            raise
        try:
            embeddings = await self._collected(batches, len(texts))
            tokens = sum([await self._input_tokens(batch) for batch in batches])
        except ModelAPIError as error:
            error.add_note(f'The other embeddings are in the batches {", ".join(batch.id for batch in batches)}.')
            raise
        return EmbeddingResult(
            embeddings=embeddings,
            inputs=texts,
            input_type=input_type,
            usage=RequestUsage(input_tokens=tokens),
            model_name=self.model_name,
            provider_name=self.system,
        )

    async def batch_encode(
        self, inputs: str | Sequence[str], *, input_type: EmbedInputType, settings: EmbeddingSettings | None = None
    ) -> list[EncodedBatchRequest]:
        """Map inputs to the requests of a batch, for `batch_split` and `batch_create`.

        Args:
            inputs: The texts.
            input_type: Whether they are documents or queries.
            settings: Settings over those of the model.

        Returns:
            A request for each input, whose `custom_id` is the number of the input, from 0.

        Raises:
            UserError: The model was not given a `BatchInference`.
        """
        texts, merged = self.prepare_embed(inputs, settings)
        chosen: dict[str, Any] = {**merged}
        group = self.batch_group(chosen.get('bedrock_inference_profile') or self.model_name, 'InvokeModel')
        make = batch_records.encoded_type()
        encoded: list[EncodedBatchRequest] = []
        for number, text in enumerate(texts):
            body = embedding_records.record_body(self, text, input_type, chosen)
            encoded.append(make(custom_id=str(number), group=group, body=body))
            if number % _INPUTS_PER_TURN == 0:
                await asyncio.sleep(0)
        return encoded

    def batch_decode(self, result: BatchResult) -> Sequence[float]:
        """Return the embedding in a result of a batch.

        Raises:
            ModelAPIError: The input could not be embedded, or was not tried.
        """
        if result.status in ('canceled', 'expired'):
            raise seam.batch_unrun_error(self.model_name, result)
        body = result.body or '{}'
        if result.status == 'errored':
            with self.mapping_errors():
                batch_records.raise_error(self.model_name, body.encode())
        return embedding_records.vector(self, body)

    async def _collected(self, batches: Sequence[Batch], count: int) -> list[Sequence[float]]:
        found: dict[int, Sequence[float]] = {}
        failed: ModelAPIError | None = None
        for batch in batches:
            async for result in self.batch_iter_results(batch):
                try:
                    embedding = self.batch_decode(result)
                except ModelAPIError as error:
                    failed = failed or error
                else:
                    found[int(result.custom_id)] = embedding
        if failed is not None:
            raise failed
        if missing := count - len(found):
            raise ModelAPIError(self.model_name, f'The jobs ended without the embeddings of {missing:,} inputs.')
        return [found[number] for number in range(count)]

    async def _input_tokens(self, batch: Batch) -> int:
        """Return the tokens that the manifest of a job counts; 0 if there is none."""
        if not batch_handles.is_job(batch):
            return 0
        _, manifest = output_uris(await self._job(batch))
        with self.mapping_errors():
            try:
                async with aclosing(self._files().lines(manifest)) as lines:
                    counts = from_json(b''.join([line async for line in lines]))
            except ClientError as error:
                if error_code(error) != 'NoSuchKey':
                    raise
                return 0
        return counts.get('inputTokenCount', 0)

    async def _stop(self, batches: Sequence[Batch], cause: BaseException) -> None:
        """Stop the jobs that have not ended; if that fails, `cause` says which they are."""
        running = [batch for batch in batches if batch.status != 'ended']
        with anyio.move_on_after(GIVE_UP_SECONDS, shield=True):
            while running:
                try:
                    await self.batch_cancel(running[0])
                except ModelAPIError as error:
                    say_also(cause, f'Stopping {running[0].id} failed ({error}).')
                running.pop(0)
        if running:
            left = ', '.join(batch.id for batch in running)
            say_also(cause, f'The jobs {left} may be running, and billed: stopping took over {GIVE_UP_SECONDS} s.')

    def mapping_errors(self) -> AbstractContextManager[None]:
        """Map the errors of AWS and of the network in batches."""
        return map_api_errors(self.model_name)

    def invoking(self) -> AbstractContextManager[None]:
        """Map the errors that upstream lets through or cannot meet."""
        return map_other_errors(self.model_name)
