"""What the brain answers: decisions, without frames or time."""

from typing import Any

import pytest

from offline.conversation import NOT_UNDERSTOOD, answer, normalized
from offline.script import GREETING, PHRASES, STORY, TOPICS, Act, ChangePicture, HangUp, Say


def reply(said: str, *heard: str) -> tuple[Any, ...]:
    messages = [{"role": "assistant", "content": text} for text in heard]
    return answer([*messages, {"role": "user", "content": said}])


def words(steps: tuple[Any, ...]) -> str:
    return " ".join(step.text for step in steps if isinstance(step, Say))


def test_it_greets_first() -> None:
    """With nothing said yet, the brain introduces itself."""
    assert words(answer([])) == GREETING


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.phrases[0])
def test_each_phrase_leads_to_its_own_topic(topic: Any) -> None:
    """What the ears can hear is answered by the topic it belongs to, and typing variants are as well."""
    for phrase in topic.phrases:
        assert reply(phrase) == topic.steps
        assert reply(f"{phrase.capitalize()}, please!") == topic.steps


@pytest.mark.parametrize(
    ("said", "kind"), [("smile", Act), ("change your picture", ChangePicture), ("goodbye", HangUp)]
)
def test_it_can_act(said: str, kind: type) -> None:
    """Expressions, pictures and the end of the call are steps of an answer."""
    assert any(isinstance(step, kind) for step in reply(said))


def test_the_story_is_worth_interrupting() -> None:
    """The story is told whole, and lasts about a minute."""
    assert STORY in words(reply("tell me a story"))
    assert len(STORY.split()) > 150


def test_it_goes_on_where_it_was_interrupted() -> None:
    """Asked to go on, it tells the rest of what was cut off, and nothing twice."""
    begun = " ".join(STORY.split()[:30])
    rest = words(reply("go on", begun))
    assert rest
    assert rest.split()[-1] == STORY.split()[-1]
    assert begun not in rest


def test_it_counts_as_far_as_it_is_asked() -> None:
    """A count goes to the number that was said."""
    counted = words(reply("count to twelve")).lower()
    assert "twelve" in counted
    assert "thirteen" not in counted


def test_what_is_not_understood_is_answered_with_a_hint_to_type() -> None:
    """Speech that fits no phrase is not guessed at."""
    assert "typing" in words(reply(NOT_UNDERSTOOD)).lower()


def test_at_a_loss_it_repeats_what_it_understood() -> None:
    """A typed line that is no topic comes back in the answer."""
    assert "purple submarines" in words(reply("purple submarines"))


def test_everything_can_be_said_aloud() -> None:
    """No answer holds what a voice cannot say."""
    for topic in TOPICS:
        assert not set(words(topic.steps)) & set("*#_<>[]{}|`@\n")


def test_phrases_are_as_the_ears_need_them() -> None:
    """Phrases are lower-case words, each once."""
    assert len(set(PHRASES)) == len(PHRASES)
    assert all(phrase == normalized(phrase) for phrase in PHRASES)
