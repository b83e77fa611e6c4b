"""The page's modules and its face, in a real browser without a bot: what they understand, decide and show."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pipecat.processors.frameworks.rtvi.models as RTVI
import pytest
import pytest_asyncio
from pipecat.transports.smallwebrtc.connection import PeerLeftMessage, RenegotiateMessage, SignallingMessage
from playwright.async_api import Browser, Route
from pydantic import BaseModel, TypeAdapter

from pipecat_lemonslice.frames import response_message, status_message
from tests.browser.driver import DESKTOP, PHONE, Visitor, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZES = {"2x3": (368, 560), "9x16": (360, 640), "1x1": (512, 512)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def still(browser: Browser) -> AsyncIterator[Visitor]:
    """A page that nobody serves, for all tests that leave it as it was."""
    async with visit(browser) as visitor:
        yield visitor


async def call(visitor: Visitor, module: str, body: str, argument: Any = None) -> Any:
    """Run a function body in the page with the module's exports as `it` and the argument as `given`."""
    return await visitor.look(f"async (given) => {{ const it = await import('/{module}'); {body} }}", argument)


def wire(message: BaseModel) -> str:
    return json.dumps(message.model_dump(exclude_none=True))


def bot_output(status: RTVI.SpokenStatus, said: str, rest: str) -> str:
    progress = RTVI.SpokenProgressData(accumulated_text=said, remaining_text=rest)
    data = RTVI.BotOutputMessageData(
        text="One two",
        output_type="sentence",
        segment_id=7,
        will_be_spoken=True,
        spoken_status=status,
        spoken_progress=progress,
    )
    return wire(RTVI.BotOutputMessage(data=data))


def user_input(kind: RTVI.UserInputType, *, final: bool, msg_id: str | None = None) -> str:
    data = RTVI.UserInputMessageData(text="Hi", input_type=kind, timestamp="", final=final, msg_id=msg_id)
    return wire(RTVI.UserInputMessage(data=data))


def server_message(data: Any) -> str:
    return wire(RTVI.ServerMessage(data=dict(data)))


def signalling(message: BaseModel) -> str:
    return json.dumps({"type": "signalling", "message": message.model_dump()})


MEANINGS: list[tuple[str, dict[str, Any]]] = [
    (wire(RTVI.BotReady(id="1", data=RTVI.BotReadyData(version="2.2.0"))), {"kind": "ready", "version": "2.2.0"}),
    (bot_output("new", "", "One two"), {"kind": "bot-text", "id": 7, "spoken": "", "first": True}),
    (bot_output("in-progress", "One", "two"), {"kind": "bot-text", "spoken": "One", "remaining": "two"}),
    (bot_output("completed", "One two", ""), {"kind": "bot-text", "spoken": "One two", "remaining": ""}),
    (user_input("transcription", final=False), {"kind": "user-text", "text": "Hi", "final": False, "typed": False}),
    (user_input("chat", final=True, msg_id="m"), {"kind": "user-text", "typed": True, "id": "m"}),
    (wire(RTVI.UserStartedSpeakingMessage()), {"kind": "user-speaking", "on": True}),
    (wire(RTVI.BotStoppedSpeakingMessage()), {"kind": "bot-speaking", "on": False}),
    (wire(RTVI.BotInterruptedMessage()), {"kind": "interrupted"}),
    (wire(RTVI.Error(data=RTVI.ErrorData(error="no", fatal=True))), {"kind": "error", "text": "no", "fatal": True}),
    (
        server_message(status_message("lost", "It left.")),  # pyright: ignore[reportArgumentType]
        {"kind": "avatar", "status": "lost", "detail": "It left."},
    ),
    (server_message(response_message("voice", 2, ttfb_ms=312)), {"kind": "response", "id": 2, "ttfbMs": 312}),
    (
        server_message(response_message("done", 2, reason="stopped", audio_seconds=3.25)),
        {"kind": "response", "event": "done", "reason": "stopped", "audioSeconds": 3.25},
    ),
    (signalling(RenegotiateMessage()), {"kind": "signal", "type": "renegotiate"}),
    (signalling(PeerLeftMessage()), {"kind": "signal", "type": "peerLeft"}),
]


NONSENSE = ("", "ping", "7", "null", "[]", '{"type":"constructor","label":"rtvi-ai"}', '{"type":"x"}')


@pytest.mark.parametrize(
    ("text", "meaning"),
    [*MEANINGS, *((text, None) for text in NONSENSE)],
    ids=lambda one: one["kind"] if isinstance(one, dict) else "",
)
async def test_what_pipecat_sends_is_understood(still: Visitor, text: str, meaning: dict[str, Any] | None) -> None:
    """Messages made by Pipecat's own models decode into the page's events; others into nothing to act on."""
    event = await call(still, "rtvi.js", "return it.decode(given)", text)
    if meaning:
        assert {key: event[key] for key in meaning} == meaning
    else:
        assert event is None or event["kind"] == "other"


async def test_what_the_page_sends_is_valid_for_pipecat(still: Visitor) -> None:
    """Pipecat's models accept the page's messages, and its connection the keep-alive."""
    ready, said, track, ping = await call(
        still,
        "rtvi.js",
        "const e = it.encode; return [e.clientReady('1'), e.sendText('2', 'Hi'), e.trackStatus(false), e.ping()]",
    )
    message = RTVI.Message.model_validate_json(ready)
    assert message.type == "client-ready"
    assert RTVI.ClientReadyData.model_validate(message.data).version == RTVI.PROTOCOL_VERSION
    data = RTVI.SendTextData.model_validate(RTVI.Message.model_validate_json(said).data)
    assert data.content == "Hi"
    assert data.options == RTVI.SendTextOptions(run_immediately=True, audio_response=True)
    inbound = TypeAdapter(SignallingMessage.Inbound).validate_python(json.loads(track)["message"])
    assert (inbound.receiver_index, inbound.enabled) == (0, False)
    assert ping.startswith("ping")


async def test_waiting_times_double_up_to_a_limit(still: Visitor) -> None:
    """Attempts to come back are spaced ever wider, and chance spreads them by a fifth either way."""
    body = "return [0, 1, 2, 3, 9].map((n) => it.backoff(n, 0.5)).concat(it.backoff(0, 0), it.backoff(0, 1))"
    assert await call(still, "call.js", body) == pytest.approx([500, 1000, 2000, 4000, 4000, 400, 600])


async def test_silence_is_sent_where_there_is_no_microphone(browser: Browser) -> None:
    """The track that stands in for a microphone really carries sound, all of it silent."""
    body = """const track = it.silentTrack();
        const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
        const { value } = await reader.read(), samples = new Float32Array(value.numberOfFrames);
        value.copyTo(samples, { planeIndex: 0, format: "f32-planar" }); value.close();
        return [samples.length > 0, Math.max(...samples.map(Math.abs))]"""
    async with visit(browser) as visitor:
        await visitor.page.click("h1")
        assert await call(visitor, "audio.js", body) == [True, 0]


CAPTIONS = """
    const list = document.createElement("ol"), newest = document.createElement("button");
    const captions = new it.Captions(list, document.createElement("p"), newest);
    const say = (id, text, spoken, first = false) =>
        captions.botText({ id, text, spoken, remaining: text.slice(spoken.length).trim(), first });
    const hear = (text, final) => captions.userText({ text, final, typed: false, id: null });
    const response = (event, more) => captions.response({ event, id: 4, ...more });
    const texts = () => captions.entries.map((one) => one.text);
    const cut = () => captions.entries.map((one) => one.interrupted);
    captions.botSpeaking(true);
"""


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        pytest.param(
            """say(1, "One two", "", true); say(1, "One two", "One"); captions.interrupted();
            say(1, "One two", "One two");
            return [cut(), captions.entries[0].spoken, list.querySelector("s").innerText]""",
            [[True], "One", " two"],
            id="what was not said is struck out, and words that arrive late change nothing",
        ),
        pytest.param(
            """say(1, "One two", "One"); say(1, "One two", "", true); const heard = captions.entries[0].spoken;
            say(2, "Three four", "Three"); return [heard, captions.entries[0].spoken]""",
            ["One", "One two Three"],
            id="a late beginning takes no words back: Pipecat holds it until the bot is heard",
        ),
        pytest.param(
            """say(7, "Three four", "Three"); say(5, "One two", "", true); say(7, "Three four", "Three four");
            say(8, "Five", "", true); return [texts(), captions.entries[0].spoken]""",
            [["Three four Five"], "Three four"],
            id="what was cut off unheard, which Pipecat announces late, is not shown behind what is heard",
        ),
        pytest.param(
            """say(1, "One.", "One."); captions.typed("Stop"); say(2, "Two.", "", true);
            captions.interrupted(); say(3, "Three.", "", true); return [texts(), cut()]""",
            [["One. Two.", "Stop", "Three."], [True, False, False]],
            id="words under way after a typed line stay with the answer that was cut off",
        ),
        pytest.param(
            """captions.typed("One?"); say(1, "One two", "", true); captions.interrupted();
            say(1, "One two", "One"); return [texts(), list.childElementCount]""",
            [["One?"], 1],
            id="an answer of which no word was said goes, and late words do not bring it back",
        ),
        pytest.param(
            """say(1, "One", "", true); say(1, "One", "One"); captions.botSpeaking(false); captions.interrupted();
            return cut()""",
            [False],
            id="silence cannot be interrupted",
        ),
        pytest.param(
            """response("started"); say(1, "One.", "One."); response("done", { reason: "stopped" });
            captions.interrupted(); return cut()""",
            [False],
            id="a response that has ended cannot be, though Pipecat calls the bot speaking for a while",
        ),
        pytest.param(
            """captions.botSpeaking(false); response("started"); say(1, "One.", "One.");
            response("done", { reason: "interrupted" }); return cut()""",
            [True],
            id="an answer that was cut off in a pause is marked by its response",
        ),
        pytest.param(
            """hear("who", false); hear("who are", false); hear("Who are you?", true); hear("Tell me.", true);
            say(1, "Me.", "", true); hear("Oh", false);
            return captions.entries.map((one) => [one.who, one.text, one.pending])""",
            [["user", "Who are you? Tell me.", False], ["bot", "Me.", False], ["user", "Oh", True]],
            id="a guess gives way to what was understood, and the finals of one turn share a bubble",
        ),
    ],
)
async def test_captions_show_what_was_heard(still: Visitor, body: str, shown: Any) -> None:
    """What was said, by whom, and how far, in whatever order it is reported."""
    assert await call(still, "captions.js", CAPTIONS + body) == shown


SCROLLED = """
    list.style.cssText = "height: 80px; overflow-y: auto"; newest.hidden = true; document.body.append(list);
    const atEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 2;
    const read = async (place) => {
        list.scrollTop = place;
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    };
    for (let line = 0; line < 30; line += 1) captions.note(`Line ${line}`);
    const began = atEnd();
    await read(0);
    const quiet = newest.hidden;
"""


async def test_who_reads_back_stays_there_until_something_is_sent(still: Visitor) -> None:
    """Sending leads to the newest line, and the page goes on to follow what comes.

    Until then there is a button that leads to the newest line; it goes when one is there.
    """
    body = """captions.typed("Hello"); const sent = atEnd(), offered = !newest.hidden; captions.note("And on");
        const on = atEnd(); list.remove(); return [began, quiet, sent, offered, on]"""
    assert await call(still, "captions.js", CAPTIONS + SCROLLED + body) == [True, True, True, False, True]
    body = """captions.note("New"); const place = list.scrollTop, offered = !newest.hidden;
        newest.click(); const there = atEnd(), gone = newest.hidden;
        await read(0); captions.note("Newer"); const again = !newest.hidden;
        await read(list.scrollHeight); list.remove(); return [place, offered, there, gone, again, newest.hidden]"""
    assert await call(still, "captions.js", CAPTIONS + SCROLLED + body) == [0, True, True, True, True, True]


STRIP = """
    const [track, list, none] = ["div", "ol", "p"].map((tag) => document.createElement(tag));
    track.className = "track"; track.append(list, none); document.body.append(track);
    const strip = new it.Timeline(track, list, none); strip.start();
    const wait = (ms) => new Promise((done) => setTimeout(done, ms));
    const tell = (event, id, more) => strip.receive({ event, id, ...more });
    const label = (place) => list.children[place].querySelector(".label");
    const end = (result) => { strip.stop(); track.remove(); return result; };
"""


async def test_the_strip_closes_what_a_lost_call_left_open(still: Visitor) -> None:
    """A response without an end gets one when the call is lost; news of unknown responses are ignored."""
    body = """tell("started", 1); tell("voice", 1, { ttfbMs: 250 }); tell("done", 9, { reason: "stopped" });
        end(); return strip.responses"""
    [response] = await call(still, "timeline.js", STRIP + body)
    assert (response["state"], response["reason"], response["ttfbMs"]) == ("done", "connection_lost", 250)


async def test_the_bots_own_voice_is_called_so_and_not_waited_for(still: Visitor) -> None:
    """Without an avatar, also when that turns out while a response waits, or when the bot is heard first.

    While a lost avatar is called again the bot speaks with its own voice; the avatar's, if it comes, counts.
    """
    body = """tell("started", 1); const said = [label(0).innerText]; strip.voiceOnly(true);
        said.push(label(0).innerText); tell("started", 2); said.push(label(1).innerText);
        tell("done", 2, { reason: "stopped", audioSeconds: 3.25 }); return end([...said, label(1).innerText])"""
    waiting, known, following, done = await call(still, "timeline.js", STRIP + body)
    assert "waiting" in waiting
    assert all("voice only" in text and "waiting" not in text for text in (known, following))
    assert "voice only · 3.3 s" in done
    body = """strip.botSpeaking(true); tell("started", 1); const before = label(0).innerText; await wait(1300);
        const speaking = label(0).innerText; tell("voice", 1, { ttfbMs: 1400 });
        return end([before, speaking, label(0).innerText])"""
    before, speaking, voiced = await call(still, "timeline.js", STRIP + body)
    assert "waiting" in before
    assert "voice only" in speaking
    assert "speaking" in voiced
    assert "voice only" not in voiced


@pytest.mark.parametrize("seconds", [0.5, 1.5, 3.2])
async def test_labels_on_the_strip_are_whole_words(still: Visitor, seconds: float) -> None:
    """What has no room before the next bar is left out, not cut off; screen readers get all of it."""
    body = """tell("started", 1); tell("voice", 1, { ttfbMs: 292 }); await wait(given * 1000);
        tell("done", 1, { reason: "interrupted", audioSeconds: 3.4 }); tell("started", 2);
        const [head, facts, read] = label(0).children, next = list.children[1].getBoundingClientRect().left;
        const lines = [head, facts].map((line) => [line.textContent, line.scrollWidth <= line.clientWidth,
            line.getBoundingClientRect().right <= next, getComputedStyle(line).textOverflow]);
        return end([lines, read.textContent])"""
    lines, read = await call(still, "timeline.js", STRIP + body, seconds)
    assert lines[0][0] in (("interrupted",) if seconds > 3 else ("interrupted", ""))
    assert lines[1][0] in ("292 ms · 3.4 s", "292 ms", "")
    assert [line[1:] for line in lines] == [[True, True, "clip"]] * 2
    assert read == "interrupted 292 ms · 3.4 s"


OPEN = {"name": "open"}


@pytest.mark.parametrize(
    ("state", "avatar", "seen", "tone", "said"),
    [
        ({"name": "connecting", "stage": "server"}, "", {}, "busy", "Asking the server"),
        ({"name": "connecting", "stage": "answer"}, "", {}, "busy", "server's answer"),
        ({"name": "connecting", "stage": "media"}, "", {}, "busy", "sound and picture"),
        (OPEN, "", {"ready": False}, "busy", "bot to start"),
        ({**OPEN, "late": True}, "", {"ready": False}, "warn", "does not answer"),
        (OPEN, "", {}, "busy", "Waiting for the avatar"),
        (OPEN, "here", {"picture": "none"}, "good", "first picture"),
        (OPEN, "calling", {}, "busy", "Calling the avatar… Because."),
        (OPEN, "joining", {}, "busy", "joining… Because."),
        (OPEN, "here", {}, "good", "here Because."),
        (OPEN, "voice_only", {}, "warn", "Voice only Because."),
        (OPEN, "dormant", {}, "idle", "sleeping Because."),
        (OPEN, "lost", {}, "warn", "lost Because."),
        (OPEN, "ended", {}, "idle", "ended Because."),
        (OPEN, "unheard-of", {}, "busy", "Connected Because."),
    ],
)
async def test_the_status_line_says_how_it_is_and_what_is_waited_for(
    still: Visitor, state: dict[str, Any], avatar: str, seen: dict[str, Any], tone: str, said: str
) -> None:
    """Each step on the way to a picture, and each state of the avatar, with the service's own detail."""
    status = {"status": avatar, "detail": "Because." if "Because" in said else ""}
    given = [state, status, "on", {"ready": True, "picture": "live", **seen}]
    line = await call(still, "status.js", "return it.describe(...given)", given)
    assert line["tone"] == tone
    assert said in f"{line['text']} {line['detail']}"


@pytest.mark.parametrize(
    "size",
    [DESKTOP, PHONE, {"width": 667, "height": 375}, {"width": 390, "height": 844}],
    ids=["desktop", "phone", "turned", "tall"],
)
async def test_everything_fits_the_screen(browser: Browser, size: Any) -> None:
    """Avatar, captions, text box and buttons are on the screen without scrolling, in their true proportions."""
    async with visit(browser, viewport=size) as visitor:
        for aspect, (width, height) in SIZES.items():
            await visitor.look(f"void (document.body.dataset.aspect = '{aspect}')")
            names = ("#frame", "#captions", "#text", "#call")
            boxes = {name: await visitor.page.locator(name).bounding_box() for name in names}
            for name, box in boxes.items():
                assert box, name
                assert min(box["x"], box["y"]) >= 0, name
                assert box["x"] + box["width"] <= size["width"], name
                assert box["y"] + box["height"] <= size["height"], name
            frame = boxes["#frame"]
            assert frame
            assert frame["width"] / frame["height"] == pytest.approx(width / height, rel=0.02)
            assert await visitor.look("document.documentElement.scrollWidth") <= size["width"]


async def test_the_keyboard_reaches_everything_in_order(browser: Browser) -> None:
    """Tab goes from the call to the captions, the lines to say and the text box; every stop has a name."""
    lines = "Who are you?|Tell me a story|Count to ten|Smile|Wave at me|Change your clothes|Fall asleep|Wake up|Goodbye"
    async with visit(browser) as visitor:
        stops: list[str] = []
        for _ in range(13):
            await visitor.page.keyboard.press("Tab")
            stops.append(await visitor.look("document.activeElement.id || document.activeElement.textContent"))
        assert stops == ["call", "captions", *lines.split("|"), "text", "send"]
        for name in ("Type to the avatar", "Send", "Connect", "Captions"):
            labelled = visitor.page.get_by_label(name).or_(visitor.page.get_by_role("button", name=name))
            assert await labelled.count() > 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [(None, "does not answer"), ({"status": 429, "json": {"detail": "One call at a time."}}, "One call at a time.")],
)
async def test_a_call_that_cannot_be_made_is_said_so(browser: Browser, answer: Any, said: str) -> None:
    """In plain words, or the server's own; it can be tried again, and the microphone is let go.

    The line that was typed stays on the page, marked as not sent.
    """
    async with visit(browser) as visitor:

        async def start(route: Route) -> None:
            await (route.fulfill(**answer) if answer else route.abort())

        await visitor.page.route("**/start", start)
        await visitor.type("Hello")
        await visitor.until("page.state.cause === 'failed'")
        assert said in await visitor.page.inner_text("#status")
        assert await visitor.page.get_by_role("button", name="Try again").is_visible()
        assert await visitor.look("page.state.mic") == "off"
        [entry] = await visitor.look("page.captions")
        assert (entry["text"], entry["pending"]) == ("Hello", True)
        assert "not sent yet" in await visitor.page.inner_text("#captions")


async def test_on_a_slow_network_the_page_says_what_it_waits_for(browser: Browser) -> None:
    """First that the server takes the call, then its answer to the offer."""
    async with visit(browser, microphone=False) as visitor:
        taken = asyncio.Event()

        async def start(route: Route) -> None:
            await taken.wait()
            await route.fulfill(json={"sessionId": "1"})

        await visitor.page.route("**/start", start)
        await visitor.page.route("**/api/offer", lambda _: None)
        await visitor.page.click("#call")
        await visitor.until("page.state.call === 'connecting'")
        assert "Asking the server" in await visitor.page.inner_text("#status")
        taken.set()
        await visitor.until("document.getElementById('status').innerText.includes('answer')")
        await visitor.page.click("#call")
        assert await visitor.look("page.state.call") == "idle"


async def test_a_machine_without_a_microphone_is_told_to_type(browser: Browser) -> None:
    """Where there is no microphone the page says so, and calls all the same."""
    async with visit(browser) as visitor:
        absent = "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError'))"
        await visitor.look(f"void ({absent})")
        await visitor.page.route("**/start", lambda _: None)
        await visitor.page.click("#call")
        await visitor.until("page.state.mic === 'absent' && page.state.call === 'connecting'")
        assert "No microphone was found. You can type" in await visitor.page.inner_text("#notices")
