"""The first tests of LocalBedrock's README, each run in the environment of its client.

It needs nothing but Python.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

README = Path(__file__).parents[2] / 'local-bedrock' / 'README.md'
HEADINGS = {
    'boto3': 'boto3',
    'langchain-aws': 'LangChain',
    'litellm': 'litellm',
    'pydantic-ai': 'pydantic-ai',
    'aws-sdk-js': 'JavaScript',
}
"""The heading above the first test of a client."""
SECONDS = 300


def blocks() -> dict[str, str]:
    """Return the first tests, by heading."""
    text = README.read_text().partition('\n## A first test\n')[2].partition('\n## ')[0]
    return dict(re.findall(r'^### ([^\n]*)\n.*?^```(?:python|js)\n(.*?)^```$', text, re.DOTALL | re.MULTILINE))


def run(client: str, place: str, environment: dict[str, str]) -> str:
    """Run the first test of a client, and return its output if it fails.

    Args:
        client: The client.
        place: The interpreter of its environment, for JavaScript the folder of its modules.
        environment: The environment; JavaScript finds the endpoint in it, pytest starts its own.
    """
    code = blocks()[HEADINGS[client]]
    if client == 'aws-sdk-js':
        # Modules are found beside the file.
        file = Path(place).parent / 'first.test.mjs'
        command = ['node', '--test', str(file)]
    else:
        file = Path(place).parents[1] / 'test_first.py'
        # This folder is in the project's own, whose settings are not a user's.
        file.with_name('pytest.ini').write_text('[pytest]\n')
        command = [place, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', str(file)]
        environment = {name: value for name, value in environment.items() if not name.startswith('AWS_')}
        environment |= dict.fromkeys(('AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE'), os.devnull)
    file.write_text(code)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    return '' if done.returncode == 0 else f'status {done.returncode}: {done.stdout}{done.stderr}'
