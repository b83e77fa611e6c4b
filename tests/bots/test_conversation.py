"""What the scripted brain answers, and that all of it can be heard and said."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline.conversation import NOT_UNDERSTOOD, answer, find_topic, normalized, rest_of
from offline.recognizer import dictionary
from offline.script import (
    ALL_TOPICS,
    CANCELLED,
    GREETING,
    HINT,
    NOTHING_LEFT,
    PHRASES,
    STORY,
    Act,
    HangUp,
    Say,
    Use,
    counted,
)

LEM = "#I am Lem. I have a drawn face, a borrowed voice, and a script of one page. I am here so that you can see how an avatar behaves without paying for one."  # noqa: E501
PARROT = "#Once upon a time there was a lighthouse keeper who had nobody to talk to but a parrot. The parrot knew"
ALL_OF_THEM = "#The parrot knew three words, and all of them were fish. Every evening the"
EVENING = "#Where was I? Ah, yes. Every evening the keeper lit the lamp and"


def conversation(*lines: str) -> list[dict[str, Any]]:
    """Lines of the user, of the assistant where they begin with a hash, and of the bot's where with a slash."""
    roles = {"#": "assistant", "/": "developer"}
    return [{"role": roles.get(line[:1], "user"), "content": line.lstrip("#/")} for line in lines]


def words(*lines: str) -> str:
    return " ".join(step.text for step in answer(conversation(*lines)) if isinstance(step, Say))


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
    topic = find_topic(line)
    assert (topic.phrases[0] if topic else None) == phrase


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        *(
            (line, re.escape(counted(12)))
            for line in ("count to 12", "Count up to twelve!", "can you count to twelve?")
        ),
        ("count to 7", r"One, two, three, four, five\. Six, seven\."),
        ("count to 42", r".*Forty one, forty two\."),
        *(
            (f"count to {many}", r"I count from one to fifty, and no further\.")
            for many in ("51", "0", "a hundred", "999999")
        ),
        (
            "The weather, in Paris?!",
            r"You said: The weather in Paris\. That is beyond my script\. Try: what can you do\?",
        ),
        ("blah " * 1000, r"(\S+ ?){1,30}"),
        ("\U0001f600 \u4f60\u597d", r"That is beyond my script\. Try: what can you do\?"),
        (NOT_UNDERSTOOD, f".*{re.escape(HINT)}"),
        (["tell me a story", "#Once upon a time", "/…"], ".*go on.*"),
        (
            ["tell me a story", PARROT, "go on"],
            r"Where was I\? Ah, yes\. The parrot knew three words.*than the captain\.",
        ),
        (["count to ten", "#One, two, three, four, five.", "go on"], r".*Ah, yes\. Six, seven, eight, nine, ten\."),
        (
            ["tell me a story", ALL_OF_THEM, "go on", EVENING, "who are you", LEM, "go on"],
            r"Where was I\? Ah, yes\. Every evening the keeper lit the lamp and asked.*",
        ),
        (["count to ten", f"#{counted(10)}", "go on"], re.escape(NOTHING_LEFT)),
        ("go on", re.escape(NOTHING_LEFT)),
        (
            ["count to ten", "#One, two, three, four, five. Six, seven,", "where did i interrupt you"],
            ".*four five six seven.*",
        ),
        (["count to ten", "#One, two, three, four, five. Six, seven,", "what did you say"], "I said: Six, seven,"),
    ],
)
def test_an_answer_fits_what_was_said_and_heard(lines: str | list[str], said: str) -> None:
    """It counts, within reason; it repeats what it cannot answer; it goes on where it was cut off, and knows where."""
    assert re.fullmatch(said, words(*([lines] if isinstance(lines, str) else lines)))


def test_actions_come_before_the_words_about_them() -> None:
    """It waves as it greets, also when told to greet; smile, sleep, the picture; a goodbye ends with hanging up."""
    assert answer([]) == answer(conversation("/Greet the user.")) == (Act("wave"), Say(GREETING))
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
    parts = [{"role": "user", "content": [{"type": "text", "text": "who are you"}]}]
    assert answer(parts) == answer(conversation("who are you"))


@settings(max_examples=50)
@given(st.text())
def test_any_line_has_an_answer_that_can_be_spoken(line: str) -> None:
    """Whatever is typed."""
    said = words(line)
    assert said
    assert said.isascii()


@given(st.integers(1, len(STORY.split()) - 1))
def test_whatever_was_heard_the_rest_covers_what_was_not(count: int) -> None:
    """Heard and rest together are the whole story, wherever it was cut; of nothing heard there is no rest."""
    rest = rest_of(STORY, " ".join(STORY.split()[:count]))
    assert rest
    assert STORY.endswith(rest)
    assert len(rest.split()) >= len(STORY.split()) - count
    assert rest_of(STORY, "") is None


def test_every_phrase_is_known_to_the_ears_and_leads_to_its_own_answer() -> None:
    """Lower case, no punctuation, none twice, all words with a known pronunciation; none is taken for another's."""
    assert len(set(PHRASES)) == len(PHRASES)
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)*", phrase) for phrase in PHRASES)
    assert {word for phrase in PHRASES for word in phrase.split()} <= set(dictionary())
    assert all(map(normalized, PHRASES))
    for topic in ALL_TOPICS:
        assert len({answer(conversation(phrase)) for phrase in topic.phrases}) == 1


def test_every_answer_can_be_spoken_and_the_story_is_worth_interrupting() -> None:
    """Words and plain punctuation: no markup, no symbols, no abbreviations in capitals. The story takes a minute."""
    for text in (GREETING, HINT, *(step.text for topic in ALL_TOPICS for step in topic.steps if isinstance(step, Say))):
        assert re.fullmatch(r"[A-Za-z][A-Za-z' ,.:?!-]*", text)
        assert not re.search(r"\b[A-Z]{2,}\b", text)
    assert 150 <= len(STORY.split()) <= 220
