"""The functions with which an LLM steers the avatar, called by Pipecat's own machinery. In virtual time."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image
from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    InterruptionFrame,
    LLMContextFrame,
    TTSStoppedFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService

from pipecat_lemonslice import AvatarStatus, ConfigurationError, LemonSliceVideoService, lemonslice_tools
from pipecat_lemonslice.api import PoseTrigger, UpdateAgentPrompt, UpdateIdlePrompt, UpdateImage
from tests.support.memory import MemoryVendor
from tests.support.stage import Stage, WorkerStage, speech

LATER = "It will be done when the avatar is there"
RED, BLUE = "https://x.test/red.png?signature=s3cret", "https://x.test/blue.png"
ALLOWED: dict[str, Any] = {
    "actions": ["wave", "Take a bow"],
    "pictures": {"red": RED, "blue": BLUE, "drawn": Image.new("RGB", (36, 56))},
    "moods": {"happy": "a cheerful person", "asleep": ("a tired person", "a person asleep")},
}


class Model(LLMService):
    """An LLM that calls what a test has it call, one function for each time it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.asked = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        self.asked += 1
        if self.calls:
            name, arguments = self.calls.pop(0)
            await self.run_function_calls([FunctionCallFromLLM(name, str(self.asked), arguments, frame.context)])


def schemas(service: LemonSliceVideoService) -> Sequence[Any]:
    return lemonslice_tools(service, **ALLOWED)


def direct(service: LemonSliceVideoService) -> Sequence[Any]:
    return [tool.handler for tool in schemas(service)]


class Conversation(WorkerStage):
    """A call with a model in front of the avatar and a context that its functions are listed in."""

    def __init__(
        self, vendor: MemoryVendor | None = None, *, tools: Callable[..., Sequence[Any]] = schemas, **kwargs: Any
    ) -> None:
        self.model, self.context = Model(), LLMContext()

        def pipeline(service: LemonSliceVideoService) -> Sequence[FrameProcessor]:
            return [self.model, service, LLMAssistantAggregator(self.context)]

        super().__init__(vendor, pipeline=pipeline, **kwargs)
        self.context.set_tools([*tools(self.service)])

    async def call(self, function: str, **arguments: Any) -> None:
        """Have the model call a function."""
        self.model.calls.append((function, arguments))
        await self.send(LLMContextFrame(self.context))
        await self.settle(0.25)

    @property
    def answers(self) -> list[Any]:
        """What the model has been told of each call; None of one that is under way, or was cancelled."""
        told = [one for one in cast("list[Any]", self.context.get_messages()) if one["role"] == "tool"]
        return [json.loads(one["content"]) if "{" in one["content"] else None for one in told]


@pytest.mark.parametrize("tools", [schemas, direct])
async def test_what_a_model_may_do_is_done_and_it_is_told_so(tools: Callable[..., Sequence[Any]]) -> None:
    """As schemas and as direct functions: LemonSlice has answered by then, and the model is asked to go on."""
    async with Conversation(MemoryVendor(control_latency=1.0), tools=tools, keep_alive=False) as stage:
        await stage.arrive()
        for number, (function, name, controls) in enumerate(
            [
                ("avatar_action", "wave", [PoseTrigger("wave")]),
                ("avatar_action", " take a  BOW", [PoseTrigger("Take a bow")]),
                ("avatar_picture", "red", [UpdateImage(image_url=RED)]),
                ("avatar_mood", "happy", [UpdateAgentPrompt("a cheerful person")]),
                ("avatar_mood", "asleep", [UpdateAgentPrompt("a tired person"), UpdateIdlePrompt("a person asleep")]),
                ("avatar_mood", "asleep", []),
            ]
        ):
            before = len(stage.vendor.controls)
            await stage.call(function, name=name)
            assert stage.answers[number:] == ([None] if controls else stage.answers[-1:])
            await stage.settle(2.0)
            assert stage.vendor.controls[before:] == controls
            assert stage.answers[number]["done"], stage.answers
        assert stage.model.asked == 12
        assert stage.errors == []


@pytest.mark.parametrize("tools", [schemas, direct])
async def test_a_name_that_is_not_allowed_is_answered_with_those_that_are(tools: Callable[..., Sequence[Any]]) -> None:
    """An address that the model made up is no name either. Nothing is sent, nothing raised."""
    async with Conversation(tools=tools) as stage:
        await stage.arrive()
        for function, arguments, names in (
            ("avatar_action", {"name": "moonwalk"}, "wave, Take a bow"),
            ("avatar_picture", {"name": "https://evil.test/me.png"}, "red, blue, drawn"),
            ("avatar_mood", {}, "happy, asleep"),
            ("avatar_mood", {"name": ["happy"]}, "happy, asleep"),
        ):
            await stage.call(function, **arguments)
            assert not stage.answers[-1]["done"]
            assert f"Use one of these names: {names}." in stage.answers[-1]["message"]
        assert (stage.vendor.controls, stage.errors) == ([], [])
        assert stage.service.settings.given_fields()["agent_image_url"] is None


async def test_without_an_avatar_it_is_said_so_and_done_when_there_is_one() -> None:
    """Before the session exists, while its avatar is on its way, and while it sleeps."""
    async with Conversation(MemoryVendor(latency=1.0), keep_alive=False) as stage:
        await stage.call("avatar_action", name="wave")
        await stage.call("avatar_mood", name="happy")
        await stage.settle(1.0)
        assert stage.vendor.controls == [UpdateAgentPrompt("a cheerful person")]
        await stage.call("avatar_action", name="take a bow")
        await stage.arrive()
        assert stage.vendor.controls[1:] == [PoseTrigger("wave"), PoseTrigger("Take a bow")]
        await stage.settle(60.0)
        stage.room.say({"type": "idle_timeout"})
        await stage.settle(1.0)
        assert stage.statuses[-1] is AvatarStatus.DORMANT
        await stage.call("avatar_action", name="wave")
        await stage.call("avatar_picture", name="blue")
        assert [(answer["done"], LATER in answer["message"]) for answer in stage.answers] == [(False, True)] * 5
        await stage.send(speech(0.5), 2.0)
        assert stage.vendor.requests[1].agent_image_url == BLUE
        await stage.arrive()
        assert stage.vendor.controls[3:] == [PoseTrigger("wave")]
        assert stage.errors == []


async def test_a_call_with_the_voice_only_is_said_to_be_one() -> None:
    """LemonSlice has refused for good: nothing is promised."""
    async with Conversation(MemoryVendor().refuse(402)) as stage:
        await stage.call("avatar_action", name="wave")
        await stage.call("avatar_picture", name="red")
        assert ["only the voice" in answer["message"] for answer in stage.answers] == [True, True]
        assert len(stage.errors) == 1, "the refusal itself"


async def test_what_lemonslice_refuses_is_told_to_the_model_in_its_words() -> None:
    """Without a secret; for the bot it is one ErrorFrame each."""
    async with Conversation() as stage:
        await stage.arrive()
        stage.vendor.refuse_controls(400)
        await stage.call("avatar_action", name="wave")
        await stage.call("avatar_picture", name="red")
        await stage.call("avatar_mood", name="asleep")
        assert [answer["done"] for answer in stage.answers] == [False] * 3
        for answer in stage.answers:
            assert answer["message"].startswith("It did not work. ")
            assert "refused by the test" in answer["message"]
            assert "s3cret" not in answer["message"]
        assert len(stage.errors) == 3


async def test_a_picture_is_reported_when_it_has_been_sent() -> None:
    """After the response that is being spoken; one that a newer one has replaced is said to be so."""
    async with Conversation() as stage:
        await stage.arrive()
        await stage.send(speech(2.0), 0.1)
        await stage.call("avatar_picture", name="red")
        await stage.call("avatar_picture", name="blue")
        await stage.call("avatar_action", name="wave")
        assert stage.vendor.controls == [PoseTrigger("wave")]
        await stage.send(TTSStoppedFrame("a"), 4.0)
        assert stage.vendor.controls == [PoseTrigger("wave"), UpdateImage(image_url=BLUE)]
        replaced, done, _ = stage.answers  # which come behind the speech, like every frame
        assert "something newer" in replaced["message"]
        assert done["done"]


async def test_an_interruption_ends_the_call_and_not_the_change() -> None:
    """Pipecat takes the call for cancelled; the user has asked for the picture, and sees it."""
    async with Conversation() as stage:
        await stage.arrive()
        await stage.send(speech(5.0), 0.1)
        await stage.call("avatar_picture", name="drawn")
        await stage.send(InterruptionFrame(), 2.0)
        assert stage.answers == [None]
        assert stage.vendor.controls == [UpdateImage(image=ALLOWED["pictures"]["drawn"])]


def test_a_schema_lists_names_and_nothing_behind_them() -> None:
    """In the order in which they were given; of three functions those that were asked for."""
    stage = Stage()
    action, picture, mood = (tool.to_default_dict() for tool in lemonslice_tools(stage.service, **ALLOWED))
    assert action["parameters"]["properties"]["name"]["enum"] == ["wave", "Take a bow"]
    assert picture["parameters"]["properties"]["name"]["enum"] == ["red", "blue", "drawn"]
    assert mood["parameters"]["required"] == ["name"]
    for tool in lemonslice_tools(stage.service, **ALLOWED):
        [listed] = LLMContext(tools=[tool.handler]).tools.standard_tools  # pyright: ignore
        for shown in (str(tool.to_default_dict()), str(listed.to_default_dict())):
            assert "x.test" not in shown
            assert "person" not in shown
    assert [tool.name for tool in lemonslice_tools(stage.service, moods={"calm": "x"})] == ["avatar_mood"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "give at least one"),
        ({"actions": []}, "actions is empty"),
        ({"actions": "wave"}, "actions must hold several names"),
        ({"actions": 5}, "actions must hold several names"),
        ({"actions": ["wave", " "]}, "actions: each name must be a text"),
        ({"actions": ["wave", "nod", "Wave "]}, "actions: 'Wave ' is there twice"),
        ({"pictures": {}}, "pictures is empty"),
        ({"pictures": {"me": "/no/such/file.png"}}, "pictures: 'me' cannot be used, image is not a file, 'file.png'"),
        ({"pictures": {"me": b"no picture"}}, "pictures: 'me' cannot be used, image is not an image"),
        ({"pictures": {"me": "https://"}}, "pictures: 'me' cannot be used, image_url is not a URL"),
        ({"pictures": {"me": None}}, "pictures: 'me' cannot be used"),
        ({"moods": {"calm": ""}}, "moods: 'calm' cannot be used, agent_prompt must be a text that is not empty"),
        ({"moods": {"calm": ("x", "")}}, "moods: 'calm' cannot be used, idle_prompt must be a text"),
        ({"moods": {"calm": 5}}, "moods: 'calm' cannot be used, it must be a prompt"),
        ({"actions": ["wave"], "moods": ["calm"]}, "moods must map each name"),
    ],
)
def test_what_cannot_be_allowed_is_refused_at_once(given: dict[str, Any], says: str) -> None:
    """The error names the keyword, the name and the remedy."""
    with pytest.raises(ConfigurationError) as caught:
        lemonslice_tools(Stage().service, **given)
    assert says in str(caught.value)


async def test_handlers_can_be_registered_by_hand() -> None:
    """As before contexts did it: a function by its name, and a direct function."""
    async with Conversation(tools=lambda _: []) as stage:
        await stage.arrive()
        action, _, mood = lemonslice_tools(stage.service, **ALLOWED)
        stage.model.register_function(action.name, action.handler)
        with pytest.warns(DeprecationWarning, match="register_direct_function"):
            stage.model.register_direct_function(mood.handler)
        await stage.call("avatar_action", name="wave")
        await stage.call("avatar_mood", name="happy")
        assert [answer["done"] for answer in stage.answers] == [True, True]


def test_a_path_and_bytes_are_pictures(tmp_path: Path) -> None:
    """Beside addresses and PIL images."""
    file = tmp_path / "me.png"
    Image.new("RGB", (36, 56)).save(file)
    for picture in (str(file), file, file.read_bytes()):
        assert lemonslice_tools(Stage().service, pictures={"me": picture})
