"""The pages show what the benchmarks have measured and seen, and nothing else; and they see what we do as it is."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

pytest.importorskip('rich', reason='the tables are drawn with rich')

from benchmarks import behaviours, comparison, environments, pages, processes  # noqa: E402
from benchmarks.answers import TEXT  # noqa: E402
from benchmarks.catalogue import BEHAVIOURS, SCENARIOS  # noqa: E402
from benchmarks.contestants import CONTESTANTS, ENVIRONMENTS  # noqa: E402
from benchmarks.control import Control  # noqa: E402
from benchmarks.conversations import SHORT  # noqa: E402
from benchmarks.peers import Endpoint  # noqa: E402
from benchmarks.peers.ours import Peer  # noqa: E402
from benchmarks.results import Results  # noqa: E402
from benchmarks.server import Connection, LeanBedrock  # noqa: E402

SAVED = ROOT / 'benchmarks' / 'RESULTS.json'
PAGES = (pages.RESULTS, pages.DOCUMENTATION, pages.README)


def test_the_pages_show_the_figures_that_were_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in PAGES:
        (tmp_path / page.name).write_text(page.read_text())
    for name, page in zip(('RESULTS', 'DOCUMENTATION', 'README'), PAGES, strict=True):
        monkeypatch.setattr(pages, name, tmp_path / page.name)
    pages.write(Results.load(SAVED))
    assert [page.name for page in PAGES if (tmp_path / page.name).read_text() != page.read_text()] == []


@pytest.mark.parametrize('page', [pages.DOCUMENTATION, pages.README], ids=lambda page: page.name)
def test_the_pictures_exist_in_light_and_dark(page: Path) -> None:
    pictures = re.findall(r'[\w/.-]*benchmark[\w-]*\.svg', page.read_text())
    assert {'-light.svg', '-dark.svg'} <= {re.sub(r'.*(?=-)', '', picture) for picture in pictures}
    assert [picture for picture in pictures if not (page.parent / picture).is_file()] == []


def test_no_page_has_lost_its_place_for_figures() -> None:
    places = [
        page.name
        for page in (pages.DOCUMENTATION, pages.README, comparison.PAGE)
        if '<!-- end of figures -->' in page.read_text()
    ]
    assert places == ['benchmarks.md', 'README.md', 'comparison.md']


def test_every_goal_is_of_one_who_takes_part() -> None:
    for scenario in SCENARIOS:
        assert {each.who for each in scenario.thresholds} <= set(scenario.contestants)
        assert {each.than for each in scenario.thresholds} - {None} <= set(scenario.contestants)
    assert {each.environment for each in CONTESTANTS} == set(ENVIRONMENTS)


def test_every_behaviour_can_be_tried_and_told() -> None:
    names = {scenario.name for scenario in BEHAVIOURS}
    assert {scenario.measurement for scenario in BEHAVIOURS} == behaviours.BEHAVIOURS.keys()
    assert names == comparison.WORDS.keys() == comparison.README_ROWS.keys()
    assert names.isdisjoint(scenario.name for scenario in SCENARIOS)


def test_what_is_measured_anew_replaces_what_was_measured_before() -> None:
    kept, anew = Results(), Results()
    kept.add('stream', 'ours', 0, {'value': 2.0, 'versions': {}})
    kept.add('stream', 'ours', 1, {'value': 2.0, 'versions': {}})
    kept.add('stream', 'aiobotocore', 0, {'value': 5.0, 'versions': {}})
    kept.add('burst', 'ours', 0, {'value': 1.0, 'in_flight': 500, 'versions': {}})
    anew.add('stream', 'ours', 0, {'value': 1.0, 'versions': {}})
    kept.take_over(anew)
    stream, burst = (scenario for scenario in SCENARIOS if scenario.name in ('stream', 'burst'))
    assert kept.values(stream, 'ours') == [1.0]
    assert kept.values(stream, 'aiobotocore') == [5.0]
    assert kept.values(burst, 'ours') == [1.0]


def test_a_ratio_is_of_numbers_of_the_same_round() -> None:
    results = Results()
    for number, (ours, raw) in enumerate(((1, 2), (10, 20), (3, 6))):
        results.add('stream', 'aiobotocore', number, {'value': float(raw), 'versions': {}})
        if number != 1:
            results.add('stream', 'ours', number, {'value': float(ours), 'versions': {}})
    (stream,) = (scenario for scenario in SCENARIOS if scenario.name == 'stream')
    assert results.ratio(stream, 'ours', 'aiobotocore') == 0.5


def test_what_got_slower_than_the_saved_results_is_named() -> None:
    saved, now = Results(), Results()
    for results, floor, ours, raw in ((saved, 1.0, 2.0, 5.0), (now, 2.0, 4.8, 10.0)):
        for name, value in (('floor', floor), ('ours', ours), ('aiobotocore', raw)):
            results.add('stream', name, 0, {'value': value, 'versions': {}})
    # A number that is counted is no time, and a scenario that was not saved has nothing to be compared with.
    for results, cancelled in ((saved, 1.0), (now, 20.0)):
        results.add('cancelled', 'ours', 0, {'value': cancelled, 'versions': {}})
    now.add('history', 'ours', 0, {'value': 9.0, 'versions': {}})
    found = [(scenario.name, name, round(ratio, 6)) for scenario, name, ratio in now.slower_than(saved)]
    assert found == [('stream', 'ours', 1.2)]
    saved.add('burst', 'ours', 0, {'value': 1.0, 'versions': {}})
    now.add('burst', 'ours', 0, {'value': 1.2, 'versions': {}})
    assert [scenario.name for scenario, *_ in now.slower_than(saved)] == ['stream', 'burst']


def test_every_scenario_has_a_measurement() -> None:
    from benchmarks import loop_measurements, measurements

    known = measurements.MEASUREMENTS.keys() | loop_measurements.MEASUREMENTS.keys()
    assert {scenario.measurement for scenario in SCENARIOS} <= known
    assert measurements.MEASUREMENTS.keys().isdisjoint(loop_measurements.MEASUREMENTS)


async def test_the_health_endpoint_answers_beside_a_burst_of_agents(lean: Control, ours: Peer) -> None:
    pytest.importorskip('fastapi', reason='the endpoint is one of FastAPI')
    pytest.importorskip('uvicorn', reason='the endpoint is served by uvicorn')
    from benchmarks.loop_measurements import burst_health

    result = await burst_health(ours, lean, calls=3, delay=0.05, rate=20, seconds=1)
    assert result['answered'] == 3
    assert result['asked'] > 0
    assert result['p50'] <= result['value'] <= result['max']
    assert 0 < result['since_first_request'] <= result['max']
    assert 0 <= result['before_first_request'] <= result['max']


def test_the_comparison_shows_what_was_seen_last() -> None:
    seen = comparison.page(Results.load(comparison.SAVED))
    assert seen in comparison.PAGE.read_text()
    assert 'failed' not in seen


@pytest.fixture
async def lean() -> AsyncIterator[Control]:
    bedrock = LeanBedrock()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(bedrock), '127.0.0.1', 0)
    yield Control(server.sockets[0].getsockname()[1])
    server.close()


@pytest.fixture
async def ours(lean: Control, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Peer]:
    for name in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'):
        monkeypatch.setenv(name, processes.ENVIRONMENT[name])
    peer = Peer()
    await peer.setup(Endpoint(lean.url, tuned=False))
    yield peer
    await peer.teardown()


async def test_requests_wait_at_the_gate_and_are_answered_when_it_is_lifted(lean: Control, ours: Peer) -> None:
    await lean(gate=True)
    calls = [asyncio.ensure_future(ours.request(ours.prepare(SHORT))) for _ in range(3)]
    while (await lean())['in_flight'] < 3:
        assert not any(call.done() for call in calls)
    await lean(reset=True)
    assert await asyncio.gather(*calls) == [TEXT] * 3


async def test_a_thousand_of_our_calls_are_in_flight_by_default(
    lean: Control, ours: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behaviours, 'POLL', 0.05)
    outcome = await behaviours.in_flight(ours, lean, calls=1020)
    assert outcome == {'most': 1000, 'calls': 1020, 'answered': 1020, 'failure': []}
    assert comparison.WORDS['in-flight'](outcome) == '1,000'


async def test_a_cancelled_stream_of_ours_stops_the_generation_at_once(lean: Control, ours: Peer) -> None:
    outcome = await behaviours.stop(ours, lean, pause=5)
    assert outcome.keys() == {'model', 'agent'}
    assert comparison.WORDS['stop'](outcome) == 'at once'


async def test_half_a_stream_is_an_error_of_ours(lean: Control, ours: Peer) -> None:
    outcome = await behaviours.half(ours, lean, deltas=3)
    assert comparison.WORDS['half'](outcome) == 'an error'
    assert 'ended before its messageStop' in outcome['model']['failure']
    assert outcome['model']['requests'] == 1


async def test_a_rotated_key_is_taken_up_by_ours(
    lean: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in processes.KEYS:
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / '.aws' / 'credentials'
    monkeypatch.setenv('AWS_SHARED_CREDENTIALS_FILE', str(file))
    peer = Peer()
    outcome = await behaviours.rotation(peer, lean, Endpoint(lean.url, tuned=False), credentials=str(file))
    await peer.teardown()
    assert outcome == {'failure': None, 'refused': 1}
    assert comparison.WORDS['rotation'](outcome) == 'taken up'


async def test_a_key_that_is_refused_gets_the_error_of_aws(lean: Control) -> None:
    await lean(access_key='AKIAI44QH8DHBEXAMPLE')
    headers = {
        'Authorization': 'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261127/us-east-1/bedrock/aws4_request'
    }
    async with (
        aiohttp.ClientSession() as client,
        client.post(f'{lean.url}/model/any/converse', headers=headers) as reply,
    ):
        assert (reply.status, reply.headers['x-amzn-ErrorType']) == (403, 'UnrecognizedClientException')
        assert (await reply.json())['message'].startswith('The security token')
    assert (await lean())['refused'] == 1


@pytest.mark.parametrize('operation', ['converse-stream', 'invoke-with-response-stream'])
async def test_a_cut_stream_is_the_beginning_of_a_whole_one(lean: Control, operation: str) -> None:
    bodies = []
    async with aiohttp.ClientSession() as client:
        for cut in (False, True):
            await lean(deltas=3, cut=cut)
            async with client.post(f'{lean.url}/model/any/{operation}') as reply:
                bodies.append(await reply.read())
    whole, half = bodies
    assert whole.startswith(half)
    assert len(half) > len(whole) / 3
    assert (await lean())['in_flight'] == 0


def test_what_differs_between_model_and_agent_is_said() -> None:
    at_once, never = {'talking': 0.1, 'silent': 0.1}, {'talking': None, 'silent': None}
    assert comparison.WORDS['stop']({'model': at_once, 'agent': never}) == 'at once; in its agent: no'
    assert comparison.WORDS['stop']({'model': {'talking': 2.0, 'silent': None}}) == 'at the next event'
    assert comparison.WORDS['stop']({'model': {'talking': 0.1, 'silent': None}}) == 'at once, but not in silence'


@pytest.mark.parametrize(
    ('new_client', 'later', 'words'),
    [
        (None, '403', 'needs a new client'),
        ('403', '403', 'needs a restart'),
        ('403', None, 'taken up within the hour'),
    ],
)
def test_a_restart_is_needed_by_those_whom_nothing_else_helps(
    new_client: str | None, later: str | None, words: str
) -> None:
    outcome = {'failure': '403', 'refused': 1, 'new_client': new_client, 'later': later}
    assert comparison.WORDS['rotation'](outcome) == words


def test_no_key_and_no_setting_of_the_machine_reaches_a_peer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('AWS_PROFILE', 'production')
    monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', 'token')
    monkeypatch.setenv('ANTHROPIC_BEDROCK_BASE_URL', 'https://example.com')
    for environment in (processes.isolated(), processes.isolated(tmp_path)):
        assert environment.keys() & {'AWS_PROFILE', 'AWS_BEARER_TOKEN_BEDROCK', 'ANTHROPIC_BEDROCK_BASE_URL'} == set()
    assert environment.keys() & set(processes.KEYS) == set()
    assert environment['HOME'] == str(tmp_path)


def test_the_readme_says_what_was_seen() -> None:
    rows = comparison.readme_rows(Results.load(comparison.SAVED))
    assert [row for row in rows if row not in comparison.pages.README.read_text()] == []


@pytest.mark.parametrize(('name', 'depends'), [('ours', True), ('floor', False)])
def test_an_environment_with_the_package_is_made_anew_when_its_dependencies_change(
    name: str, depends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_before = environments._asked_for(ENVIRONMENTS[name])  # pyright: ignore[reportPrivateUsage]
    (tmp_path / 'pyproject.toml').write_text("[project]\ndependencies = ['another']\n")
    monkeypatch.setattr(environments, 'ROOT', tmp_path)
    asked = environments._asked_for(ENVIRONMENTS[name])  # pyright: ignore[reportPrivateUsage]
    assert (asked != asked_before) is depends
