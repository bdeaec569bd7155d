"""The chat page in a browser: what a person sees, and what the Stop button stops."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from generation import EndlessGeneration, eventually

from local_bedrock import INTERNAL_SERVER_ERROR, LocalBedrock, RecordedRequest, Reply

pytest.importorskip('fastapi', reason='the web examples need FastAPI: install the dependency group "examples"')
serving = pytest.importorskip('served', reason='the web examples are served by uvicorn')
playwright = pytest.importorskip('playwright.async_api', reason='Playwright drives the browser: nox -s examples')

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
ARGUMENTS = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
]

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason=f'none of {", ".join(BROWSERS)} is installed'),
    # A browser takes some seconds to start on a busy machine.
    pytest.mark.timeout(60),
]


@pytest.fixture
async def page(bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Any]:
    """Open the chat page in an empty browser profile; what goes wrong in its script fails the test."""
    monkeypatch.syspath_prepend(str(serving.EXAMPLES))
    for name, value in bedrock.environment.items():
        monkeypatch.setenv(name, value)
    wrong: list[str] = []
    async with serving.served('chat_page') as url, playwright.async_playwright() as driver:
        browser = await driver.chromium.launch_persistent_context(
            str(tmp_path / 'profile'), executable_path=CHROMIUM, headless=True, args=ARGUMENTS
        )
        try:
            (page,) = browser.pages
            page.set_default_timeout(10_000)
            page.on('pageerror', lambda error: wrong.append(str(error)))
            page.on('console', lambda message: wrong.append(message.text) if message.type == 'error' else None)
            await page.goto(url)
            yield page
        finally:
            await browser.close()
    assert wrong == []


async def ask(page: Any, prompt: str) -> None:
    await page.get_by_label('Prompt').fill(prompt)
    await page.get_by_role('button', name='Send').click()


async def shown(page: Any) -> list[tuple[str, str]]:
    return [
        tuple(pair)
        for pair in await page.eval_on_selector_all('#log > *', 'all => all.map(e => [e.className, e.innerText])')
    ]


async def test_tokens_are_shown_while_the_model_goes_on(page: Any, bedrock: LocalBedrock) -> None:
    go_on = asyncio.Event()

    async def slowly(_: RecordedRequest) -> AsyncGenerator[dict[str, Any]]:
        yield {'messageStart': {'role': 'assistant'}}
        yield {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': 'Once'}}}
        await go_on.wait()
        yield {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': ' upon a time.'}}}
        yield {'contentBlockStop': {'contentBlockIndex': 0}}
        yield {'messageStop': {'stopReason': 'end_turn'}}
        yield {
            'metadata': {'usage': {'inputTokens': 1, 'outputTokens': 4, 'totalTokens': 5}, 'metrics': {'latencyMs': 1}}
        }

    bedrock.reply(slowly)
    await ask(page, 'Tell a story.')
    await playwright.expect(page.locator('.answer.open')).to_have_text('Once')
    assert bedrock.stats().streams_generating == 1
    go_on.set()
    await playwright.expect(page.locator('.answer:not(.open)')).to_have_text('Once upon a time.')
    user, answer, (usage, said) = await shown(page)
    assert (user, answer) == (('user', 'Tell a story.'), ('answer rendered', 'Once upon a time.'))
    assert (usage, said.partition(' out')[0]) == ('usage', '1 tokens in, 4')


async def test_a_tool_is_shown_with_what_it_was_given_and_what_it_gave(page: Any) -> None:
    await ask(page, 'How warm is it in Lima?')
    await playwright.expect(page.get_by_role('button')).to_have_text('Send')
    (_, question), (tool, call), (answer, _), (usage, _) = await shown(page)
    assert question == 'How warm is it in Lima?'
    assert (tool, call) == ('tool', 'temperature {"city":"Lima"}\n12 degrees Celsius')
    assert (answer, usage) == ('answer rendered', 'usage')


async def test_the_stop_button_stops_the_generation(page: Any, bedrock: LocalBedrock) -> None:
    bedrock.reply(EndlessGeneration())
    await ask(page, 'Go on for ever.')
    await playwright.expect(page.locator('.answer')).to_have_text('Once upon')
    assert bedrock.stats().streams_generating == 1
    await page.get_by_role('button', name='Stop').click()
    await eventually(lambda: bedrock.stats().streams_generating == 0)
    await playwright.expect(page.locator('.note')).to_have_text('Stopped.')
    assert await page.locator('.open').count() == 0


async def test_closing_the_page_stops_the_generation(page: Any, bedrock: LocalBedrock) -> None:
    bedrock.reply(EndlessGeneration())
    await ask(page, 'Go on for ever.')
    await playwright.expect(page.locator('.answer')).to_have_text('Once upon')
    await page.goto('about:blank')
    await eventually(lambda: bedrock.stats().streams_generating == 0)


async def test_the_page_can_ask_again_after_a_failure(page: Any, bedrock: LocalBedrock) -> None:
    # As often as botocore tries.
    bedrock.fault(INTERNAL_SERVER_ERROR, times=3)
    await ask(page, 'Hello.')
    await playwright.expect(page.locator('.error')).to_contain_text('The model did not answer: status_code: 500')
    bedrock.reply('Good morning.')
    await ask(page, 'Hello?')
    await playwright.expect(page.locator('.answer')).to_have_text('Good morning.')


async def test_what_the_model_says_is_text_and_never_markup(page: Any, bedrock: LocalBedrock) -> None:
    said = '<img src="x" onerror="document.title = \'taken over\'"> & so on'
    bedrock.reply(Reply(said))
    await ask(page, '<b>Hello.</b>')
    await playwright.expect(page.locator('.answer:not(.open)')).to_have_text(said)
    assert await page.locator('#log img, #log .user b').count() == 0
    assert await page.title() == 'Chat on Amazon Bedrock'


async def test_markdown_is_rendered_and_links_lead_nowhere_but_to_the_web(page: Any, bedrock: LocalBedrock) -> None:
    bedrock.reply('It is **warm**.\n\n- one\n- two\n\n[click](javascript:alert(1)) [read](https://example.com)')
    await ask(page, 'How?')
    await playwright.expect(page.locator('.rendered strong')).to_have_text('warm')
    assert await page.locator('.rendered li').all_inner_texts() == ['one', 'two']
    links = await page.eval_on_selector_all('.rendered a', 'all => all.map(a => a.getAttribute("href"))')
    assert links == ['https://example.com']


async def test_a_prompt_has_several_lines_and_enter_sends_it(page: Any, bedrock: LocalBedrock) -> None:
    bedrock.reply('Two lines.')
    await page.get_by_label('Prompt').fill('One')
    await page.keyboard.press('Shift+Enter')
    await page.keyboard.type('two')
    await page.keyboard.press('Enter')
    await playwright.expect(page.locator('.rendered')).to_have_text('Two lines.')
    assert bedrock.requests[-1].last_user_text == 'One\ntwo'


async def test_the_page_shows_its_title_and_model(page: Any) -> None:
    await playwright.expect(page.get_by_role('heading')).to_have_text('Chat on Amazon Bedrock')
    await playwright.expect(page.locator('header span')).to_have_text('us.amazon.nova-lite-v1:0')
