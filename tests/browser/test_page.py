"""The finished product in a real browser: `bots/local.py` with the emulator, spoken and typed to through its page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from tests.bots.process import Bot
from tests.browser.driver import Visitor, visit
from tests.browser.recorder import VOICED, now, quiet, record

pytestmark = pytest.mark.asyncio(loop_scope="module")

# A busy machine has calm moments: the rate is that of the best of so many windows.
CALM_WINDOWS = 10
SOUNDING = f"page.level > {VOICED}"


@asynccontextmanager
async def greeted(browser: Browser, bot: Bot) -> AsyncIterator[Visitor]:
    """Somebody in a call whose microphone is not open, and who is being greeted."""
    async with visit(browser, bot, microphone=False) as somebody:
        await somebody.connect()
        await somebody.until("page.responses[0]?.voiceAt", 20)
        yield somebody


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(talking_browser: Browser, bot: Bot) -> AsyncIterator[Visitor]:
    """Somebody in a call of their own."""
    async with greeted(talking_browser, bot) as somebody:
        yield somebody


async def say(visitor: Visitor, line: str) -> str:
    """Type a line; returns where in the page its response will be found."""
    before = await visitor.look("page.responses.length")
    await visitor.type(line)
    return f"page.responses[{before}]"


async def told(visitor: Visitor, who: str) -> str:
    """What one side said, in one line of lower case."""
    return " ".join(one["text"] for one in await visitor.look("page.captions") if one["who"] == who).lower()


async def test_connecting_with_a_microphone_brings_a_moving_picture(talking_browser: Browser, bot: Bot) -> None:
    """One click, and the avatar is there at 20 pictures a second or more; the page asks no other host."""
    async with visit(talking_browser, bot) as visitor:
        await visitor.connect()
        assert await visitor.look("page.state.mic") == "on"
        await visitor.page.keyboard.press("m")
        assert await visitor.look("page.state.mic") == "muted"
        assert await visitor.look("[page.frames.width, page.frames.height]") == [368, 560]
        rates: list[float] = []
        while max(rates, default=0.0) < 20 and len(rates) < CALM_WINDOWS:
            count, start = await visitor.look("[page.frames.count, performance.now()]")
            await asyncio.sleep(2.0)
            rates.append(await visitor.look(f"(page.frames.count - {count}) / (performance.now() - {start}) * 1000"))
        assert max(rates) >= 20, f"pictures a second: {rates}"
        await visitor.page.click("#call")
        await visitor.until("page.state.call === 'idle'")
        assert await visitor.look("page.state.mic") == "off"
        assert visitor.foreign == []
        assert visitor.errors == []


async def test_a_typed_question_is_answered_aloud_by_a_moving_mouth(visitor: Visitor) -> None:
    """The answer is heard and captioned; the mouth moves while it sounds and rests while it does not.

    The strip has its start, its time to first voice, its end and the reason, in the model and on the page. All of it
    without a microphone, whose refusal is said in words.
    """
    assert await visitor.look("page.state.mic") == "refused"
    assert "microphone was refused" in await visitor.page.inner_text("#notices")
    await record(visitor)
    asked = await now(visitor)
    place = await say(visitor, "Can you count to ten?")
    await visitor.until(f"{place}?.state === 'done'", 40)
    await quiet(visitor, await now(visitor), 3.6, 4)
    first, last = await visitor.look(f"record.voiced({asked})")
    speaking = await visitor.look(f"record.movement({first + 0.4}, {last - 0.2})")
    resting = await visitor.look(f"record.movement({last + 1.5}, {last + 3.5})")
    assert speaking > 2 * resting, f"speaking {speaking:.2f}, resting {resting:.2f}"
    assert "can you count to ten?" in await told(visitor, "user")
    assert "one, two, three, four, five" in await told(visitor, "bot")
    response = await visitor.look("page.responses.at(-1)")
    assert response["reason"] in ("stopped", "response_done_timeout", "response_hold_timeout")
    assert response["startedAt"] <= response["voiceAt"] < response["doneAt"]
    assert 0 < response["ttfbMs"] < 10_000
    assert response["audioSeconds"] == pytest.approx(response["doneAt"] - response["startedAt"], abs=3)
    bar = visitor.page.locator("#responses li").last
    assert await bar.get_attribute("data-reason") == response["reason"]
    assert f"{response['ttfbMs']} ms" in await bar.inner_text()


async def test_typing_cuts_a_story_off(visitor: Visitor) -> None:
    """A typed line ends the story at once: the sound stops, and the caption says what was never heard."""
    await record(visitor)
    story = await say(visitor, "Tell me a story")
    await visitor.until(f"{story}?.state === 'voice' && {SOUNDING}", 20)
    await visitor.until("page.captions.at(-1).who === 'bot'")
    typed = await now(visitor)
    answer = await say(visitor, "Who are you?")
    await quiet(visitor, typed, 0.1, 3)
    assert await visitor.until(f"{story}.reason") == "interrupted"
    await visitor.until("page.captions.findLast((one) => one.who === 'bot' && one.interrupted)")
    await visitor.until(f"{answer}?.voiceAt", 20)


async def test_speaking_cuts_a_story_off(visitor: Visitor) -> None:
    """The sound stops and stays away until the question, which appears as text, is answered aloud."""
    await record(visitor)
    story = await say(visitor, "Tell me a story")
    await visitor.until(f"{story}?.state === 'voice' && {SOUNDING}", 20)
    await visitor.open_microphone()
    await visitor.until("page.messages['user-speaking'] > 0", 10)
    await quiet(visitor, await now(visitor), 0.3, 3)
    assert await visitor.until(f"{story}.reason") == "interrupted"
    await visitor.until("page.captions.some((one) => one.who === 'user' && !one.typed && !one.pending)", 20)
    assert "what is your name" in await told(visitor, "user")
    await visitor.until(f"page.responses[2]?.voiceAt && {SOUNDING}", 20)
    await visitor.until("page.captions.at(-1).who === 'bot'")


async def test_clicks_in_haste_leave_no_half_sentence_behind(visitor: Visitor) -> None:
    """Three requests for a story in quick succession: the story is told once, from its beginning."""
    await visitor.look("""async () => {
        const button = [...document.querySelectorAll("#tips button")].find((one) => one.textContent.includes("story"));
        for (let times = 0; times < 3; times += 1) {
            button.click();
            await new Promise((done) => setTimeout(done, 60));
        }
    }""")
    asked = "page.captions.findLastIndex((one) => one.typed)"
    await visitor.until(f"page.captions.slice({asked}).some((one) => one.who === 'bot' && one.spoken.length > 60)", 30)
    told = [one["text"] for one in await visitor.look("page.captions") if one["who"] == "bot"]
    assert " ".join(told).count("Once") == 1, told
    assert told[-1].startswith("Once upon a time there was a lighthouse keeper")


async def test_a_notice_of_an_error_goes_when_the_avatar_is_back(talking_browser: Browser, tmp_path: Path) -> None:
    """What went wrong stands beside the captions only while it is wrong.

    The avatar is seen whole and undistorted: picture and frame have the shape that was asked for.
    """
    async with (
        Emulator(EmulatorOptions(latency=0.05)) as emulator,
        Bot(tmp_path / "bot.log", "--aspect", "9x16", LEMONSLICE_API_URL=emulator.api_url) as bot,
        greeted(talking_browser, bot) as visitor,
    ):
        assert await visitor.look("[page.frames.width, page.frames.height]") == [360, 640]
        frame = await visitor.page.locator("#frame").bounding_box()
        assert frame
        assert frame["width"] / frame["height"] == pytest.approx(360 / 640, rel=0.02)
        emulator.running[0].avatar.leave("closed")
        await visitor.until("page.messages.error > 0")
        await visitor.until("page.state.avatar === 'here' && !document.querySelector('#notices .error')", 30)


async def test_without_an_avatar_the_strip_says_voice_only(talking_browser: Browser, tmp_path: Path) -> None:
    """An answer in the bot's own voice waits for nothing, and what is wrong is said beside it."""
    async with (
        Emulator(EmulatorOptions()) as emulator,
        Bot(tmp_path / "bot.log", LEMONSLICE_API_URL=emulator.api_url) as bot,
        visit(talking_browser, bot, microphone=False) as visitor,
    ):
        emulator.fault("always*reject=401")
        await visitor.page.click("#call")
        await visitor.until("page.responses.length > 0", 30)
        assert "voice only" in await visitor.page.locator("#responses li").last.inner_text()
        assert "401" in await visitor.page.inner_text("#status")
        assert await visitor.page.locator("#notices .error").count() == 1


async def test_a_server_that_is_gone_is_noticed_and_found_again(talking_browser: Browser, bot: Bot) -> None:
    """When the bot's process dies the page says so, and is back in a call soon after it runs again."""
    async with visit(talking_browser, bot, microphone=False) as visitor:
        await visitor.connect()
        await bot.kill()
        await visitor.until("page.state.call === 'waiting'", 20)
        assert "Connection lost" in await visitor.page.inner_text("#status")
        await bot.start()
        await visitor.until("page.state.call === 'open' && page.state.avatar === 'here'", 40)
        await visitor.until("page.state.picture === 'live'")
        await visitor.type("Who are you?")
        await visitor.until(SOUNDING)
