"""A program that submits a batch, collects its results, and goes on where an earlier process of it was killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai import ModelRequest

from pydantic_ai_aiobedrock import BatchInference, BedrockConverseModel, BedrockProvider, SessionPool

NAMES = ('one', 'two', 'three', 'four', 'five')
INFERENCE = BatchInference(
    role_arn='arn:aws:iam::123456789012:role/bedrock-batch', s3_uri='s3://my-bucket/batches/', min_records=1
)


async def run(folder: Path, size: int, reach: Callable[[str], None] = lambda _: None) -> None:
    """Do what is left to do.

    Args:
        folder: The folder of the files.
        size: The bytes of the text of each request.
        reach: Called after each step, with its name.
    """
    from pydantic_ai.models.batch import Batch, BatchRequest

    handles = TypeAdapter(Batch)
    pool = SessionPool()
    model = BedrockConverseModel(
        'us.amazon.nova-lite-v1:0', provider=BedrockProvider(pool=pool), batch_inference=INFERENCE
    )
    results = folder / 'results.jsonl'
    state = _loaded(folder)
    requests = {
        name: BatchRequest(custom_id=name, messages=[ModelRequest.user_text_prompt(f'Say {name}. {"x" * size}')])
        for name in NAMES
    }
    try:
        if state['batch'] is None:
            encoded = [await model.batch_encode(request) for request in requests.values()]
            batch = await model.batch_create(encoded, idempotency_key='a-run')
            reach('submitted')
            _save(folder, state | {'batch': handles.dump_python(batch, mode='json')})
            state = _loaded(folder)
            reach('handle saved')
        batch = handles.validate_python(state['batch'])
        while batch.status != 'ended':
            batch = await model.batch_status(batch)
            await asyncio.sleep(0.005)
        if not state['collected']:
            known = _read(results)
            with results.open('a') as file:
                async for result in model.batch_iter_results(batch):
                    if result.custom_id not in known:
                        text = model.batch_decode(result, requests[result.custom_id]).text
                        file.write(json.dumps([result.custom_id, text[:40]]) + '\n')
                        file.flush()
                        known.add(result.custom_id)
                        reach(f'result {len(known)}')
            _save(folder, state | {'collected': True})
            reach('collected')
        await model.batch_delete_files(batch)
        reach('files deleted')
        (folder / 'state.json').unlink()
    finally:
        await pool.aclose()


def _loaded(folder: Path) -> dict[str, Any]:
    state = folder / 'state.json'
    return json.loads(state.read_text()) if state.exists() else {'batch': None, 'collected': False}


def _save(folder: Path, state: dict[str, Any]) -> None:
    new = folder / 'state.new'
    new.write_text(json.dumps(state))
    os.replace(new, folder / 'state.json')


def _read(results: Path) -> set[str]:
    """Return the ids of the results that are there, and remove a line that was not written to its end."""
    text = results.read_text() if results.exists() else ''
    whole = text[: text.rfind('\n') + 1]
    if whole != text:
        results.write_text(whole)
    return {json.loads(line)[0] for line in whole.splitlines()}


def main(folder: Path, size: int, environment: Mapping[str, str], step: str, steps: Connection) -> None:
    """Run as a process of its own, which goes no further than a step.

    Args:
        folder: The folder of the files.
        size: The bytes of the text of each request.
        environment: The variables of the environment.
        step: The step.
        steps: The steps that it has gone.
    """

    def reach(reached: str) -> None:
        steps.send(reached)
        if reached == step:
            signal.pause()

    os.environ.update(environment)
    asyncio.run(run(folder, size, reach))
