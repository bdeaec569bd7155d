"""Let the clients talk to a LocalBedrock, print what came of it, and fail if anything was wrong.

Called with the clients and the interpreters of their environments, for JavaScript the folder of its modules:
`python -m tests.clients boto3=/path/to/python aws-sdk-js=/path/to/node_modules ...`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from local_bedrock import THROTTLING, LocalBedrock, Reply, ToolCall

from . import conversation
from .conversation import (
    ANSWER,
    CHECKS,
    OF_SOME,
    QUESTION,
    TOO_MUCH,
    TOOL,
    TOOL_ANSWER,
    TOOL_INPUT,
    TOOL_QUESTION,
    TOOL_RESULT,
)

HERE = Path(__file__).parent
SECONDS = 300


def script(bedrock: LocalBedrock) -> None:
    """Let the endpoint say what the clients expect, to what they are expected to say, and nothing else."""
    bedrock.reply(ANSWER, when=lambda request: request.last_user_text == QUESTION and request.tools == {}, times=None)
    bedrock.reply(
        Reply(tool_calls=[ToolCall(TOOL, TOOL_INPUT)]),
        when=lambda request: (
            request.last_user_text == TOOL_QUESTION and [*request.tools] == [TOOL] and not request.tool_results
        ),
        times=None,
    )
    bedrock.reply(
        TOOL_ANSWER,
        when=lambda request: [result['content'] for result in request.tool_results] == [[{'text': TOOL_RESULT}]],
        times=None,
    )
    bedrock.fault(THROTTLING, when=lambda request: request.last_user_text == TOO_MUCH)


def use(client: str, python: str, bedrock: LocalBedrock) -> dict[str, Any]:
    """Run a client, and return its version and what came of each check."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(('AWS_', 'PYTHON', 'VIRTUAL_ENV'))
    }
    environment |= bedrock.environment | {
        'AWS_MAX_ATTEMPTS': '1',
        'AWS_CONFIG_FILE': os.devnull,
        'AWS_SHARED_CREDENTIALS_FILE': os.devnull,
        'LITELLM_LOCAL_MODEL_COST_MAP': 'True',
        'no_proxy': '127.0.0.1',
    }
    program = str(HERE / f'use_{client.replace("-", "_")}')
    command = [python, f'{program}.py']
    if client == 'aws-sdk-js':
        command = ['node', f'{program}.cjs']
        said = {name: value for name, value in vars(conversation).items() if name.isupper()}
        environment |= {'NODE_PATH': python, 'CONVERSATION': json.dumps(said)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {'version': '?', 'came': dict.fromkeys(CHECKS, f'status {done.returncode}: {done.stderr}')}


def main() -> int:
    """Run all clients, and return 1 if anything was wrong."""
    console = Console()
    table = Table('client', 'version', *CHECKS, *OF_SOME, 'requests')
    wrong: list[str] = []
    for argument in sys.argv[1:]:
        client, _, python = argument.partition('=')
        with LocalBedrock(responder=lambda request: 'That is not what was to be said.') as bedrock:
            script(bedrock)
            used = use(client, python, bedrock)
            signed = [request for request in bedrock.requests if request.auth_scheme == 'sigv4']
        if len(signed) < len(CHECKS):
            wrong.append(f'{client}: only {len(signed)} signed requests have arrived')
        table.add_row(
            client,
            used['version'],
            *(_shown(used['came'].get(check)) for check in (*CHECKS, *OF_SOME)),
            str(len(signed)),
        )
        wrong += [f'{client}, {check}: {came}' for check, came in used['came'].items() if came]
    console.print(table)
    for each in wrong:
        console.print(each, markup=False, highlight=False)
    return int(bool(wrong))


def _shown(came: str | None) -> str:
    if came is None:
        return '-'
    return '[red]wrong[/]' if came else '[green]ok[/]'


if __name__ == '__main__':
    sys.exit(main())
