"""Let the clients talk to a LocalBedrock, print what came of it, and fail if anything was wrong.

Called with the clients and the interpreters of their environments, for JavaScript the folder of its modules:
`python -m tests.clients boto3=/path/to/python aws-sdk-js=/path/to/node_modules ...`.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from local_bedrock import THROTTLING, LocalBedrock, Reply, ToolCall

from . import conversation, first_tests
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
FIRST = 'README'
"""The check of a client that its first test in LocalBedrock's README passes."""
ONLY_FIRST = ('pydantic-ai',)
"""Clients of which this is the only check."""


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


def environment_of(bedrock: LocalBedrock) -> dict[str, str]:
    """Return the environment of a client: its own settings, and the endpoint."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(('AWS_', 'PYTHON', 'VIRTUAL_ENV'))
    }
    return (
        environment
        | bedrock.environment
        | {
            'AWS_MAX_ATTEMPTS': '1',
            'AWS_CONFIG_FILE': os.devnull,
            'AWS_SHARED_CREDENTIALS_FILE': os.devnull,
            'LITELLM_LOCAL_MODEL_COST_MAP': 'True',
            'no_proxy': '127.0.0.1',
        }
    )


def use(client: str, python: str, bedrock: LocalBedrock) -> dict[str, Any]:
    """Run a client, and return its version and the result of each check."""
    environment = environment_of(bedrock)
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


@contextmanager
def warnings() -> Generator[list[str]]:
    """Yield the warnings that LocalBedrock logs for the time of a block."""
    found: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append(record.getMessage())
    log = logging.getLogger('local_bedrock')
    log.addHandler(handler)
    try:
        yield found
    finally:
        log.removeHandler(handler)


def main() -> int:
    """Run all clients, and return 1 if anything was wrong."""
    console = Console(width=140)
    table = Table('client', 'version', *CHECKS, *OF_SOME, FIRST, 'requests')
    wrong: list[str] = []
    for argument in sys.argv[1:]:
        client, _, python = argument.partition('=')
        used: dict[str, Any] = {'version': '', 'came': {}}
        with LocalBedrock(responder=lambda request: 'That is not what was to be said.') as bedrock:
            if client not in ONLY_FIRST:
                script(bedrock)
                with warnings() as warned:
                    used = use(client, python, bedrock)
                if 'http2' in used['came'] and not any('NodeHttpHandler' in warning for warning in warned):
                    wrong.append(f'{client}: the log does not name the request handler that it needs')
            signed = [request for request in bedrock.requests if request.auth_scheme == 'sigv4']
            bedrock.start_over()
            if client in first_tests.HEADINGS:
                used['came'][FIRST] = first_tests.run(client, python, environment_of(bedrock))
        if client not in ONLY_FIRST and len(signed) < len(CHECKS):
            wrong.append(f'{client}: only {len(signed)} signed requests have arrived')
        table.add_row(
            client,
            used['version'],
            *(_shown(used['came'].get(check)) for check in (*CHECKS, *OF_SOME, FIRST)),
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
