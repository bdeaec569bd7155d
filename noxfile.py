"""Every check of this repository, and the demo: `nox -l` lists them.

What follows `--` goes to the tool that the session runs: `nox -s tests -- tests/wire -x`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = '>=2025.5'
nox.options.default_venv_backend = 'virtualenv'
nox.options.reuse_venv = 'yes'
nox.options.download_python = 'never'
nox.options.sessions = ['lint', 'types', 'tests']

PYPROJECT = nox.project.load_toml('pyproject.toml')
PACKAGE = 'pydantic_ai_aiobedrock'

RELEASES = ('2.33.0', '2.40.0', '2.48.0', '2.55.0', '2.62.0', 'newest')
"""The releases of pydantic-ai-slim that the suite runs with: the oldest supported, the newest, and some between."""

NEW_ENGINE = 'aiobotocore==3.10.*'
"""The newest engine, which brings the newest botocore that it allows; aioboto3 pins an older one."""

PYTHONS = ('3.11', '3.12', '3.13', '3.14')
"""The Pythons of the classifiers."""

# pyenv's commands for Pythons that are installed, but not selected, fail: select all of them, after the current one.
if (versions := Path(os.environ.get('PYENV_ROOT', Path.home() / '.pyenv'), 'versions')).is_dir():
    current = '.'.join(map(str, sys.version_info[:3]))
    names = sorted({path.name for path in versions.iterdir()}, key=lambda name: name != current)
    os.environ.setdefault('PYENV_VERSION', ':'.join(names))

FIRST_TEST = ('./local-bedrock', 'pytest')
"""Requirements of the first tests in LocalBedrock's README."""

CLIENTS = {
    'boto3': ('boto3', *FIRST_TEST),
    'aioboto3': ('aioboto3',),
    'anthropic': ('anthropic[bedrock]',),
    'langchain-aws': ('langchain-aws[anthropic]', *FIRST_TEST),
    # LiteLLM asks for neither, and needs the one for Bedrock, the other for tools.
    'litellm': ('litellm', 'boto3', 'mcp', *FIRST_TEST),
    'pydantic-ai': ('pydantic-ai-slim[bedrock]', *FIRST_TEST),
    'strands': ('strands-agents',),
    'awscli': ('awscli',),
    'aws-sdk-js': ('@aws-sdk/client-bedrock-runtime', '@smithy/node-http-handler'),
}
"""Other people's clients of Bedrock and what each needs; they do not go together in one environment."""

EMULATORS = {'local-bedrock': './local-bedrock', 'ministack': 'ministack', 'moto': 'moto[server]'}
"""What LocalBedrock is measured beside, itself included."""

OTHER_S3 = 'moto'
"""The other S3 that batch inference jobs of LocalBedrock are tried with, by the tests of `s3_endpoint_url`."""


MEASURED_TESTS = (
    'tests/pool',
    'tests/runtime',
    'tests/wire',
    'tests/batches/test_faults.py',
    'tests/client/test_encoding.py',
    'tests/client/test_fast_path.py',
    'tests/config/test_arguments.py',
    'tests/test_errors.py',
    'tests/test_platforms.py',
)
"""The tests of the pool, the runtime and the codec, and those of other places that alone run a part of them."""


def install(session: nox.Session, group: str, *requirements: str) -> None:
    """Install the package, editable and on aioboto3, and a dependency group of pyproject.toml."""
    session.install(
        '-e', '.[aioboto3]', '-e', './local-bedrock', *nox.project.dependency_groups(PYPROJECT, group), *requirements
    )


def run_tests(session: nox.Session) -> None:
    """Run the tests on all cores, beside Pydantic AI's own Bedrock module on a current boto3.

    That one has an environment of its own, for aioboto3 holds boto3 back.
    """
    release = session.run(
        'python', '-c', 'from importlib.metadata import version; print(version("pydantic-ai-slim"))', silent=True
    )
    # The tests start it from a folder of their own.
    peer = Path(session.create_tmp(), 'peer').resolve()
    if not peer.exists():
        session.run('python', '-m', 'venv', str(peer))
    python = str(peer / 'bin' / 'python')
    session.run(python, '-m', 'pip', 'install', '-q', f'pydantic-ai-slim[bedrock]=={release.strip()}', external=True)
    session.run('pytest', '-n', 'auto', *session.posargs, env={'PARITY_PEER_PYTHON': python})


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; all of them, without `--`, and then the session `coverage`."""
    install(session, 'test')
    run_tests(session)
    if not session.posargs:
        session.notify('coverage')


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure the lines and branches of the pool, the runtime and the codec that tests take; fail below 100 %."""
    install(session, 'test', 'coverage>=7.10', 'pytest-cov>=7')
    # Tests of garbage count objects, those of the tracer among them.
    ignored = ('--ignore', 'tests/runtime/test_garbage.py')
    chosen = ('--cov-fail-under', '0', *session.posargs) if session.posargs else MEASURED_TESTS
    session.run('pytest', '-n', 'auto', '--cov', *ignored, *chosen)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff, imports with import-linter; `-- --fix` repairs the first two."""
    session.install(*nox.project.dependency_groups(PYPROJECT, 'lint'))
    fix = '--fix' in session.posargs
    session.run('ruff', 'check', *session.posargs)
    session.run('ruff', 'format', *(() if fix else ('--diff',)))
    session.run('lint-imports', '--no-logo', env={'PYTHONPATH': os.pathsep.join(('src', 'local-bedrock/src'))})


@nox.session
def types(session: nox.Session) -> None:
    """Check types with pyright: of src strictly, of tests, examples, benchmarks and this file by its standard rules."""
    install(session, 'types')
    session.install('nox')
    session.run('pyright', *session.posargs)
    if not session.posargs:
        session.run('pyright', '--project', 'tests/pyrightconfig.json')


@nox.session
def demo(session: nox.Session) -> None:
    """Run 300 agents beside Pydantic AI's own client, on a local Bedrock; `-- --help` lists the options."""
    install(session, 'demo')
    # Ctrl-C is the demo's to handle: it has runs to cancel and a server to stop.
    session.run('python', 'examples/concurrent_agents.py', *session.posargs, interrupt_timeout=10, terminate_timeout=10)


@nox.session
def examples(session: nox.Session) -> None:
    """Run the examples' tests: the evaluation and, where there is a Chromium, the chat page in it, too."""
    groups = nox.project.dependency_groups(PYPROJECT, 'examples', 'browser')
    install(session, 'test', *groups)
    files = sorted(map(str, Path('tests').glob('test_examples*.py')))
    session.run('pytest', '-n', 'auto', *(session.posargs or files))


@nox.session
def integrations(session: nox.Session) -> None:
    """Run the page of integrations: Temporal, DBOS, Prefect, Ray, Dask, MCP, gunicorn, and what other tests skip."""
    install(session, 'test', *nox.project.dependency_groups(PYPROJECT, 'integrations'))
    if session.posargs:
        session.run('pytest', *session.posargs)
        return
    session.run('pytest', 'tests/integrations')
    session.run('pytest', '-n', 'auto', 'tests/test_docs.py', '-k', 'integrations')


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, any warning an error; `-- serve` shows it while you write."""
    install(session, 'docs')
    session.run('mkdocs', *(session.posargs or ('build', '--strict')))


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Compare with the floor, aiobotocore and every peer; `-- --quick`, `-- --behaviour`, `-- --help`."""
    session.install('matplotlib', 'rich>=13', 'virtualenv')
    places = ('--environments', str(Path(session.create_tmp()) / 'environments'))
    # A goal that is not reached is a result, not a failure of the session.
    session.run('python', '-m', 'benchmarks', *places, *session.posargs, success_codes=[0, 3])


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz the event stream decoder with atheris for 10 minutes; `-- SECONDS` for another time."""
    session.install('-e', '.', '-e', './local-bedrock', 'atheris>=3')
    session.run('python', 'tests/fuzz_eventstream.py', *session.posargs)


@nox.session
def clients(session: nox.Session) -> None:
    """Let other clients of Bedrock, and another S3, talk to LocalBedrock; `-- litellm`, `-- moto` for one."""
    session.install('-e', '.', '-e', './local-bedrock', 'rich>=13', 'virtualenv')
    places: list[str] = []
    names = list(session.posargs or (*CLIENTS, OTHER_S3))
    if OTHER_S3 in names:
        names.remove(OTHER_S3)
        install(session, 'test', 'moto[server]')
        session.run('pytest', 'local-bedrock/tests/test_other_s3.py')
    for client in names:
        place = Path(session.create_tmp()).resolve() / client
        if client == 'aws-sdk-js':
            session.run('npm', 'install', '--silent', '--prefix', str(place), *CLIENTS[client], external=True)
            places.append(f'{client}={place / "node_modules"}')
            continue
        if not place.exists():
            session.run('virtualenv', '--quiet', str(place))
        python = str(place / 'bin' / 'python')
        session.run(python, '-m', 'pip', 'install', '--quiet', '--upgrade', *CLIENTS[client], external=True)
        places.append(f'{client}={python}')
    if places:
        session.run('python', '-m', 'tests.clients', *places)


@nox.session
def emulators(session: nox.Session) -> None:
    """Measure LocalBedrock beside ministack and moto, and write the table of what each answers."""
    session.install('boto3', 'virtualenv')
    places: list[str] = []
    for name, requirement in EMULATORS.items():
        place = Path(session.create_tmp()).resolve() / name
        if not place.exists():
            session.run('virtualenv', '--quiet', str(place))
        python = str(place / 'bin' / 'python')
        session.run(python, '-m', 'pip', 'install', '--quiet', '--upgrade', requirement, external=True)
        places.append(f'{name}={python}')
    session.run('python', 'local-bedrock/benchmarks/emulators.py', *places)


@nox.session
def soak(session: nox.Session) -> None:
    """Run 200 agents at once through 10 minutes of trouble; `-- SECONDS` for another time, `-- --help`."""
    install(session, 'test')
    session.run('python', '-W', 'error::ResourceWarning', '-m', 'tests.soak', *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel, twice alike; check contents, metadata, types and import time; run the quick start."""
    session.install('build', 'virtualenv', 'twine>=6.1', 'pyright[nodejs]>=1.1.400')
    # pyright lists its paths without links.
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder)
    folder.mkdir()
    session.run('python', '-m', 'build', '--outdir', str(folder / 'dist'))
    (wheel,) = (folder / 'dist').glob('*.whl')
    (sdist,) = (folder / 'dist').glob('*.tar.gz')
    check_contents(session, wheel, sdist)
    check_reproducible(session, folder, wheel, sdist)
    session.run('twine', 'check', '--strict', str(wheel), str(sdist))
    session.run('virtualenv', '--clear', '--quiet', str(folder / 'empty'))
    python = str(folder / 'empty' / 'bin' / 'python')
    session.run(python, '-m', 'pip', 'install', '--quiet', f'{wheel}[aioboto3]', './local-bedrock', external=True)
    run_quick_start(session, python)
    check_import_time(session, python)
    check_types_for_users(session, folder, python)


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """Run the tests on each Python that is installed here, of those that are supported."""
    install(session, 'test')
    run_tests(session)


@nox.session
def engines(session: nox.Session) -> None:
    """Run the tests on the newest engine: no aioboto3, aiobotocore 3.10, the newest botocore that it allows."""
    groups = nox.project.dependency_groups(PYPROJECT, 'test')
    session.install('-e', '.', '-e', './local-bedrock', *groups, NEW_ENGINE)
    run_tests(session)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest release of each dependency that pyproject.toml allows."""
    session.install('uv')
    bounds = Path(session.create_tmp()).resolve() / 'lowest.txt'
    projects = ('pyproject.toml', 'local-bedrock/pyproject.toml')
    lowest = ('--resolution', 'lowest-direct', '--python', session.virtualenv.location)
    session.run('uv', 'pip', 'compile', '--quiet', *lowest, '--extra', 'aioboto3', *projects, '-o', str(bounds))
    # The tools of the tests are of today.
    install(session, 'test', '--constraint', str(bounds))
    run_tests(session)


@nox.session
def resolve(session: nox.Session) -> None:
    """Ask pip and uv what installs beside other clients of AWS, measure downloads and imports; `-- --save`."""
    session.install('build', 'rich>=13', 'uv', 'virtualenv')
    session.run('python', '-m', 'tests.installs', *session.posargs)


@nox.session
@nox.parametrize('release', RELEASES, ids=RELEASES)
def upstream(session: nox.Session, release: str) -> None:
    """Run the tests with one release of pydantic-ai-slim."""
    if release == 'newest':
        install(session, 'test', '--upgrade', 'pydantic-ai-slim')
    else:
        install(session, 'test', f'pydantic-ai-slim=={release}')
    run_tests(session)


def check_contents(session: nox.Session, wheel: Path, sdist: Path) -> None:
    """Fail unless the wheel holds what is in src and nothing else, and the sdist what it takes to build and test."""
    source = {
        path.relative_to('src').as_posix()
        for path in Path('src').rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if '.dist-info/' not in name}
    if packed != source:
        session.error(f'wheel and src differ: {sorted(packed ^ source)}')
    with tarfile.open(sdist) as archive:
        packed = {name.partition('/')[2] for name in archive.getnames()}
    wanted = {'pyproject.toml', 'README.md', 'CHANGELOG.md', 'LICENSE', 'noxfile.py', 'tests/conftest.py'}
    if missing := (wanted | {f'src/{name}' for name in source}) - packed:
        session.error(f'the sdist lacks {sorted(missing)}')
    if stray := {name for name in packed if (name[:1] == '.' and name != '.gitignore') or '__pycache__' in name}:
        session.error(f'the sdist holds {sorted(stray)}')


def check_reproducible(session: nox.Session, folder: Path, wheel: Path, sdist: Path) -> None:
    """Build again in another place, from files of another time and other permissions; fail unless all bytes agree."""
    # Not below a folder that .gitignore names: there hatchling would heed none of it.
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / 'copy'
        leave_out = shutil.ignore_patterns('.git', '.nox', '__pycache__', '.*_cache', '.hypothesis')
        shutil.copytree('.', copy, ignore=leave_out)
        for path in copy.rglob('*'):
            path.chmod(0o700 if path.is_dir() else 0o600)
            os.utime(path, (1_000_000_000, 1_000_000_000))
        session.run('python', '-m', 'build', '--outdir', str(folder / 'again'), str(copy))
    for built in (wheel, sdist):
        if built.read_bytes() != (folder / 'again' / built.name).read_bytes():
            session.error(f'{built.name} is not reproducible')
    session.log('Built twice, with the same bytes.')


def check_import_time(session: nox.Session, python: str) -> None:
    """Say what importing the package costs beyond Pydantic AI's own Bedrock modules; fail above 50 ms of CPU."""
    stages = {
        'Pydantic AI': 'pydantic_ai, pydantic_ai.models.bedrock, pydantic_ai.embeddings.bedrock',
        PACKAGE: PACKAGE,
        'aiohttp and aioboto3, at the first call': 'aiohttp, aioboto3.session',
    }
    code = 'from time import process_time as now\n'
    code += ''.join(f'start = now()\nimport {modules}\nprint(now() - start)\n' for modules in stages.values())
    runs = [subprocess.check_output([python, '-c', code], text=True).split() for _ in range(7)]
    costs = [1000 * statistics.median(map(float, stage)) for stage in zip(*runs, strict=True)]
    session.log(', '.join(f'{name}: {cost:.0f} ms' for name, cost in zip(stages, costs, strict=True)))
    if costs[1] > 50:
        session.error(f'{PACKAGE} takes {costs[1]:.0f} ms to import')


def check_types_for_users(session: nox.Session, folder: Path, python: str) -> None:
    """Run a user's program on the wheel, and pyright in strict mode on it, with and without the types of aioboto3."""
    programs = folder / 'users'
    shutil.copytree('tests/users', programs)
    (programs / 'pyrightconfig.json').write_text('{"typeCheckingMode": "strict"}')
    session.run(python, '-W', 'error', str(programs / 'program.py'), external=True, silent=True)
    pyright = ('pyright', '--project', str(programs), '--pythonpath', python)
    with session.chdir(programs):
        session.run(*pyright, 'program.py')
        session.run(python, '-m', 'pip', 'install', '--quiet', 'types-aioboto3[bedrock-runtime]>=15.5', external=True)
        session.run(*pyright, 'program.py', 'with_aioboto3.py')


def run_quick_start(session: nox.Session, python: str) -> None:
    """Run the first Python block of the README against a LocalBedrock, both by the given interpreter."""
    code = re.findall(r'^```python\n(.*?)^```', Path('README.md').read_text(), flags=re.DOTALL | re.MULTILINE)[0]
    serve = [python, '-m', 'local_bedrock', '--json']
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        try:
            environment = json.loads(server.stdout.readline())['environment']
            environment |= dict.fromkeys(('AWS_PROFILE', 'AWS_SESSION_TOKEN', 'AWS_REGION')) | {'no_proxy': '127.0.0.1'}
            session.run(python, '-W', 'error', '-c', code, env=environment, external=True)
        finally:
            server.terminate()
