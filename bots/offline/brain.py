"""The scripted brain in the place of an LLM: a context comes in, an answer streams out, word by word."""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from uuid import uuid4

from pipecat.frames.frames import (
    EndWorkerFrame,
    Frame,
    FunctionCallFromLLM,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    ServiceUpdateSettingsFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings

from pipecat_lemonslice import AvatarActionFrame, AvatarImageFrame, LemonSliceVideoService, lemonslice_tools

from .conversation import answer
from .portrait import FACES, draw
from .script import ACTIONS, MOODS, Act, HangUp, Say, Step, Use

TOKEN_SECONDS = 0.02


def avatar_tools(avatar: LemonSliceVideoService) -> list[Any]:
    """Return the functions that the brain calls, for its context. Draws the pictures: call it in a thread."""
    pictures = {name: draw(face) for name, face in FACES.items()}
    return [*lemonslice_tools(avatar, actions=ACTIONS, pictures=pictures, moods=MOODS)]


class ScriptedBrainService(LLMService):
    """Answers from a script, with the frames and the pace of an LLM, and calls the functions that its context lists."""

    def __init__(self, *, token_seconds: float = TOKEN_SECONDS, **kwargs: Any) -> None:
        """Create the brain.

        Args:
            token_seconds: Seconds between two words.
            **kwargs: Those of ``LLMService``.
        """
        super().__init__(settings=_settings(), **kwargs)
        self._token_seconds = token_seconds
        self._responding = False

    def can_generate_metrics(self) -> bool:
        """Say that time to first byte and processing are measured."""
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a context; pass everything else on.

        Args:
            frame: The frame.
            direction: Its direction.
        """
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self._respond(frame.context)
            return
        await self.push_frame(frame, direction)
        # A voice speaks what it has of a sentence when the response ends. Behind the interruption it has nothing.
        if isinstance(frame, InterruptionFrame) and self._responding:
            await self._end_response()

    async def _respond(self, context: LLMContext) -> None:
        """One response, between its start and its end. An interruption cancels this and ends the response itself."""
        steps = answer(cast("Sequence[Mapping[str, Any]]", context.get_messages()))
        calls = [
            FunctionCallFromLLM(step.function, uuid4().hex, {"name": step.name}, context)
            for step in steps
            if isinstance(step, Use) and self.has_function(step.function)
        ]
        self._responding = True
        await self.push_frame(LLMFullResponseStartFrame())
        await self.start_processing_metrics()
        await self.start_ttfb_metrics()
        try:
            await self.run_function_calls(calls)
            for step in () if calls else steps:  # the results bring the next response, which has the words
                await self._take(step)
        except Exception:
            await self._end_response()
            raise
        await self._end_response()
        # Behind the end of the response: the call ends when the words before it have been heard.
        if HangUp() in steps:
            await self.push_frame(EndWorkerFrame(reason="goodbye"))

    async def _end_response(self) -> None:
        self._responding = False
        await self.stop_processing_metrics()
        await self.push_frame(LLMFullResponseEndFrame())

    async def _take(self, step: Step) -> None:
        match step:
            case Say(text):
                await self._stream(tokens(text))
            case Act(pose):
                await self.push_frame(AvatarActionFrame(pose))
            # Without the functions, the frames of which they make use.
            case Use("avatar_action", pose):
                await self.push_frame(AvatarActionFrame(pose))
            case Use("avatar_picture", name):
                await self.push_frame(AvatarImageFrame(image=await asyncio.to_thread(draw, FACES[name])))
            case Use(_, mood):
                speaking, idle = MOODS[mood]
                change = LemonSliceVideoService.Settings(agent_prompt=speaking, agent_idle_prompt=idle)
                await self.push_frame(ServiceUpdateSettingsFrame(delta=change))
            case HangUp():
                pass

    async def _stream(self, words: Iterable[str]) -> None:
        for word in words:
            await asyncio.sleep(self._token_seconds)
            await self.stop_ttfb_metrics()
            await self._push_llm_text(word)


def tokens(text: str) -> list[str]:
    """Return a text in pieces that add up to it, a word each."""
    return re.findall(r"\S+\s*", text)


def _settings() -> LLMSettings:
    return LLMSettings(
        model="script",
        system_instruction=None,
        temperature=None,
        max_tokens=None,
        top_p=None,
        top_k=None,
        frequency_penalty=None,
        presence_penalty=None,
        seed=None,
        filter_incomplete_user_turns=False,
        user_turn_completion_config=None,
    )
