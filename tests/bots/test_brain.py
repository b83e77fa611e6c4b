"""The scripted brain as an LLM service."""

from pipecat.frames.frames import (
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext

from offline.brain import ScriptedBrainService, tokens
from pipecat_lemonslice import AvatarActionFrame
from tests.fidelity.calls import Running
from tests.support.waiting import until


def asking(said: str) -> LLMContextFrame:
    return LLMContextFrame(LLMContext([{"role": "user", "content": said}]))


async def test_an_answer_is_streamed_between_start_and_end() -> None:
    """A context is answered as an LLM answers: a start, text in pieces, an end."""
    async with Running(ScriptedBrainService(token_seconds=0.0)) as running:
        await running.send(asking("who are you"))
        await until(lambda: bool(running.last.of(LLMFullResponseEndFrame)), 10.0)
        kinds = [type(frame) for _, frame, _ in running.last.frames]
        first_text, last_text = kinds.index(LLMTextFrame), len(kinds) - 1 - kinds[::-1].index(LLMTextFrame)
        assert kinds.index(LLMFullResponseStartFrame) < first_text < last_text < kinds.index(LLMFullResponseEndFrame)
        assert "Lem" in "".join(frame.text for frame in running.last.of(LLMTextFrame))


async def test_it_acts_through_the_avatar() -> None:
    """Asked to smile, it sends the avatar an action, downstream."""
    async with Running(ScriptedBrainService(token_seconds=0.0)) as running:
        await running.send(asking("smile"))
        await until(lambda: bool(running.last.of(AvatarActionFrame)), 10.0)


async def test_an_interruption_ends_the_answer() -> None:
    """An answer that is cut off still ends, and says no more."""
    async with Running(ScriptedBrainService(token_seconds=0.02)) as running:
        await running.send(asking("tell me a story"))
        await until(lambda: len(running.last.of(LLMTextFrame)) > 5, 10.0)
        await running.send(InterruptionFrame())
        await until(lambda: bool(running.last.of(LLMFullResponseEndFrame)), 10.0)
        assert len(running.last.of(LLMTextFrame)) < 60


def test_tokens_add_up() -> None:
    """Pieces of a text are the text."""
    assert "".join(tokens("One, two.  Three!")) == "One, two.  Three!"
