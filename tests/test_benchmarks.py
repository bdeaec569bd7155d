"""The pages show the figures that the benchmarks have measured, and no others."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

pytest.importorskip('rich', reason='the tables are drawn with rich')

from benchmarks import pages  # noqa: E402
from benchmarks.catalogue import CONTESTANTS, ENVIRONMENTS, SCENARIOS  # noqa: E402
from benchmarks.results import Results  # noqa: E402

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
        page.name for page in (pages.DOCUMENTATION, pages.README) if '<!-- end of figures -->' in page.read_text()
    ]
    assert places == ['benchmarks.md', 'README.md']


def test_every_goal_is_of_one_who_takes_part() -> None:
    for scenario in SCENARIOS:
        assert {each.who for each in scenario.thresholds} <= set(scenario.contestants)
        assert {each.than for each in scenario.thresholds} - {None} <= set(scenario.contestants)
    assert {each.environment for each in CONTESTANTS} == set(ENVIRONMENTS)


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
