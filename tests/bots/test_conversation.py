from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline.conversation import NOT_UNDERSTOOD, Topic, answer, find_topic, normalized, rest_of
from offline.script import CANCELLED, GREETING, HINT, NOTHING_LEFT, PHRASES, STORY, Act, HangUp, Say, Use, counted


def conversation(*lines: str) -> list[dict[str, Any]]:
    """Lines of the user, and of the assistant where they begin with a hash."""
    return [
        {"role": "assistant", "content": line[1:]} if line.startswith("#") else {"role": "user", "content": line}
        for line in lines
    ]


def words(*lines: str) -> str:
    return " ".join(step.text for step in answer(conversation(*lines)) if isinstance(step, Say))


def phrase_of(topic: Topic | None) -> str | None:
    return topic.phrases[0] if topic else None


def test_it_greets_first() -> None:
    """Before anybody has spoken it waves and says what can be asked, also when told to greet."""
    told = [{"role": "developer", "content": "Greet the user."}]
    assert answer([]) == answer(told) == (Act("wave"), Say(GREETING))


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        ("Who are you?", "who are you"),
        ("WHATS YOUR NAME", "who are you"),
        ("what\u2019s an avatar", "what is an avatar"),
        ("Tell me a storry", "tell me a story"),
        ("A story, please!", "tell me a story"),
        ("can you tell me about the emulator?", "what is the emulator"),
        ("help", "what can you do"),
        ("bye", "goodbye"),
        ("could you smile please", "smile"),
        ("change your picture now", "change your picture"),
        ("Stop!", "be quiet"),
        ("please continue", "go on"),
        ("Pardon?", "say that again"),
        ("when is a response done", "when does a response end"),
        ("what is the weather in Paris", None),
        ("", None),
    ],
)
def test_a_line_is_understood_however_it_is_typed(line: str, phrase: str | None) -> None:
    """Case, punctuation, contractions, politeness, a slip of the finger and other words around it do not matter."""
    assert phrase_of(find_topic(line)) == phrase


@pytest.mark.parametrize("line", ["count to 12", "Count up to twelve!", "can you count to twelve?"])
def test_it_counts_as_far_as_it_is_told(line: str) -> None:
    """Digits or words."""
    assert words(line) == counted(12)


@pytest.mark.parametrize("line", ["count to 51", "count to 0", "count to a hundred", "count to 999999"])
def test_it_does_not_count_for_ever(line: str) -> None:
    """It says how far it counts."""
    assert words(line) == "I count from one to fifty, and no further."


def test_what_it_cannot_answer_is_repeated() -> None:
    """So that it is plain what was understood; nothing that cannot be spoken, and not all of a long line."""
    assert words("The weather, in Paris?!") == (
        "You said: The weather in Paris. That is beyond my script. Try: what can you do?"
    )
    assert len(words("blah " * 1000).split()) < 30
    assert words("\U0001f600 \u4f60\u597d") == "That is beyond my script. Try: what can you do?"


def test_speech_that_fits_no_phrase_gets_a_hint_to_type() -> None:
    """The hint names phrases that the ears know, and typing."""
    assert HINT in words(NOT_UNDERSTOOD)
    assert "Typing" in HINT


def test_a_cough_in_the_middle_is_explained() -> None:
    """When the bot was stopped by noise it says how to go on."""
    messages = [*conversation("tell me a story", "#Once upon a time"), {"role": "developer", "content": "…"}]
    assert "go on" in str(answer(messages))


def test_it_goes_on_where_it_was_cut_off() -> None:
    """From the beginning of the sentence that was not heard whole."""
    heard = "#Once upon a time there was a lighthouse keeper who had nobody to talk to but a parrot. The parrot knew"
    rest = words("tell me a story", heard, "go on")
    assert rest.startswith("Where was I? Ah, yes. The parrot knew three words")
    assert rest.endswith("than the captain.")
    assert words("count to ten", "#One, two, three, four, five.", "go on").endswith("Six, seven, eight, nine, ten.")


def test_it_goes_on_after_being_cut_off_twice_and_asked_between() -> None:
    """What matters is the last answer that was not heard to its end."""
    first = "#The parrot knew three words, and all of them were fish. Every evening the"
    second = "#Where was I? Ah, yes. Every evening the keeper lit the lamp and"
    other = "#I am Lem. I have a drawn face, a borrowed voice, and a script of one page. I am here so that you can see how an avatar behaves without paying for one."  # noqa: E501
    rest = words("tell me a story", first, "go on", second, "who are you", other, "go on")
    assert rest.startswith("Where was I? Ah, yes. Every evening the keeper lit the lamp and asked")


def test_there_is_nothing_left_of_what_was_heard() -> None:
    """Also before anything was said."""
    assert words("count to ten", f"#{counted(10)}", "go on") == NOTHING_LEFT
    assert words("go on") == NOTHING_LEFT


def test_it_remembers_only_what_was_heard() -> None:
    """The last words, and the last sentence."""
    heard = "#One, two, three, four, five. Six, seven,"
    assert "four five six seven" in words("count to ten", heard, "where did i interrupt you")
    assert words("count to ten", heard, "what did you say") == "I said: Six, seven,"


def test_actions_come_before_the_words_about_them() -> None:
    """Smile, sleep, the picture; a goodbye ends with hanging up."""
    assert answer(conversation("smile"))[0] == Use("avatar_action", "smile")
    assert answer(conversation("go to sleep"))[0] == Use("avatar_mood", "asleep")
    assert answer(conversation("change your clothes"))[0] == Use("avatar_picture", "yellow")
    assert answer(conversation("goodbye"))[-1] == HangUp()


def test_what_has_become_of_a_function_is_said() -> None:
    """The words about it when it is done, else why it is not; the next picture is another one."""
    asked = conversation("tell me a story", "#Once upon a time there was", "change your clothes")
    call = {"role": "assistant", "tool_calls": [{"id": "1"}]}

    def after(result: str) -> tuple[Any, ...]:
        return answer([*asked, call, {"role": "tool", "content": result, "tool_call_id": "1"}])

    [done] = after('{"done": true, "message": "Done."}')
    assert "How do I look" in done.text
    assert after('{"done": false, "message": "There is no avatar."}') == (Say("There is no avatar."),)
    assert after("CANCELLED") == (Say(CANCELLED),)
    further = [*asked, call, {"role": "tool", "content": '{"done": true}'}, *conversation("change your clothes")]
    assert answer(further)[0] == Use("avatar_picture", "blue")
    assert "lighthouse" in str(answer([*further, *conversation("go on")]))


def test_content_may_come_in_parts() -> None:
    """As the universal context has it for lines with pictures."""
    assert answer([{"role": "user", "content": [{"type": "text", "text": "who are you"}]}]) == answer(
        conversation("who are you")
    )


@given(st.text())
def test_any_line_has_an_answer_that_can_be_spoken(line: str) -> None:
    """Whatever is typed."""
    said = words(line)
    assert said
    assert said.isascii()


@given(st.integers(0, len(STORY.split()) - 1))
def test_whatever_was_heard_the_rest_covers_what_was_not(count: int) -> None:
    """Heard and rest together are the whole story, wherever it was cut."""
    heard = " ".join(STORY.split()[:count])
    if count:
        rest = rest_of(STORY, heard)
        assert rest
        assert STORY.endswith(rest)
        assert len(rest.split()) >= len(STORY.split()) - count
    else:
        assert rest_of(STORY, heard) is None


def test_normalizing_leaves_phrases_alone() -> None:
    """Only politeness goes."""
    assert all(set(normalized(phrase).split()) <= set(phrase.split()) for phrase in PHRASES)
