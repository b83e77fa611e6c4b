"""A call with an avatar whose track is never digitally silent, over the emulator in virtual time."""

import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    SpeechOutputAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)

from pipecat_lemonslice import AvatarResponseDoneFrame
from tests.faults.emulated import EmulatedWorld
from tests.faults.world import LAG
from tests.support.speaker import Speaker, pipecat_in_virtual_time
from tests.support.stage import speech
from tests.support.virtual_time import run_virtual

SECONDS = 1.5
"""How long each answer lasts."""


def answer(context: str) -> list[Frame]:
    return [
        LLMFullResponseStartFrame(),
        TTSStartedFrame(context),
        speech(SECONDS, context),
        TTSStoppedFrame(context),
        LLMFullResponseEndFrame(),
    ]


@pytest.mark.parametrize("fault", ["noise=-61", "noise=-50"])
def test_a_noise_floor_changes_nothing_in_a_call(fault: str) -> None:
    """Each answer ends once and in time, the bot is known to have stopped speaking, and the call ends promptly."""
    world = EmulatedWorld(output=Speaker())
    begun: list[float] = []

    async def scenario() -> None:
        world.lemonslice.emulator.fault(fault)  # type: ignore[attr-defined]
        with pipecat_in_virtual_time():
            async with world:
                await world.until(lambda: "on_avatar_ready" in world.event_names())
                await world.settle(3.0)
                for context in "ab":
                    begun.append(world.now)
                    await world.send(*answer(context))
                    await world.settle(8.0)
                begun.append(world.now)
                await world.end()
                begun.append(world.now)

    run_virtual(scenario, loop=world.loop)
    assert world.errors == []
    assert world.plain == b""
    (session,) = world.lemonslice.emulator.sessions  # type: ignore[attr-defined]
    for kind in ("response_started", "response_finished"):
        assert len(session.avatar.events_of(kind)) == 2
    assert session.avatar.events_of("response_done_timeout") == session.avatar.events_of("dropped") == []
    assert len(world.down(AvatarResponseDoneFrame)) == len(world.down(BotStoppedSpeakingFrame)) == 2
    voice = [at for at, frame in world.sink.frames if isinstance(frame, SpeechOutputAudioRawFrame)]
    for number in range(2):
        ends = begun[number] + SECONDS
        done = session.avatar.events_of("response_finished")[number].time
        assert ends - 0.01 <= done <= ends + 0.1
        assert ends - 0.01 <= world.time_of(AvatarResponseDoneFrame, number) <= ends + 0.1
        assert begun[number] + LAG <= world.time_of(BotStartedSpeakingFrame, number) <= begun[number] + LAG + 0.2
        assert ends + LAG <= world.time_of(BotStoppedSpeakingFrame, number) <= ends + LAG + 1.1
        assert max(at for at in voice if at < begun[number + 1]) <= ends + LAG + 1.0
    assert begun[3] - begun[2] <= 2 * world.lemonslice.latency + 0.5  # terminated, and asked what it cost
