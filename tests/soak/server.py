"""The server of the soak: LocalBedrock, which follows the plans in the prompts, and orders on its standard input.

Each order is a line of JSON, and so is each answer to one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from local_bedrock import LocalBedrock, Quota, RecordedRequest, Reply, ToolCall

from .plans import PACED_MODEL, REQUESTS_PER_SECOND, TROUBLES, plan_of


def reply(request: RecordedRequest) -> Reply:
    """Answer as the plan in the prompt says."""
    plan = plan_of(request.last_user_text)
    if plan.kind == 'structured':
        fields = {'number': plan.number, 'text': plan.answer}
        return Reply(tool_calls=[ToolCall('final_result', fields)], delay_before=plan.pause)
    if plan.kind == 'tool' and not request.tool_results:
        return Reply(tool_calls=[ToolCall('look_up', {'key': plan.number})], delay_before=plan.pause / 2)
    told = [block['text'] for result in request.tool_results for block in result['content']]
    return Reply(' '.join((plan.answer, *told)), delay_before=plan.pause, delay_per_event=plan.pace)


def meets(trouble: str) -> Callable[[RecordedRequest], bool]:
    return lambda request: plan_of(request.last_user_text).meets(trouble, request)


async def main() -> None:
    """Serve until the standard input ends."""
    reader = asyncio.StreamReader(limit=2**20)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    start: dict[str, Any] = json.loads(await reader.readline())
    bedrock = LocalBedrock(
        port=start['port'],
        credentials=start['access_keys'],
        api_keys=start['api_keys'],
        responder=reply,
        quotas=[Quota(model=PACED_MODEL, requests_per_second=REQUESTS_PER_SECOND, burst=REQUESTS_PER_SECOND)],
        keep_requests=100,
    )
    if start['expired']:
        bedrock.expire(*start['expired'])
    for name, trouble in TROUBLES.items():
        bedrock.fault(trouble.fault, when=meets(name))
    async with bedrock:
        print(json.dumps({'base_url': bedrock.base_url}), flush=True)
        while line := await reader.readline():
            if expired := json.loads(line)['expire']:
                bedrock.expire(*expired)
            print(json.dumps(asdict(bedrock.stats())), flush=True)
    if bedrock.failures:
        raise SystemExit(f'a reply has failed: {bedrock.failures[:3]}')


if __name__ == '__main__':
    asyncio.run(main())
