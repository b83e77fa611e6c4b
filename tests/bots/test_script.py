import re

import pytest

from offline.conversation import answer, normalized
from offline.recognizer import dictionary
from offline.script import ALL_TOPICS, GREETING, HINT, PHRASES, STORY, Say, counted, number_word

TEXTS = [GREETING, HINT, *(step.text for topic in ALL_TOPICS for step in topic.steps if isinstance(step, Say))]


@pytest.mark.parametrize("text", TEXTS)
def test_every_answer_can_be_spoken(text: str) -> None:
    """Words and plain punctuation: no markup, no symbols, no abbreviations in capitals."""
    assert re.fullmatch(r"[A-Za-z][A-Za-z' ,.:?!-]*", text)
    assert not re.search(r"\b[A-Z]{2,}\b", text)


def test_phrases_are_written_as_the_ears_need_them() -> None:
    """Lower case, no punctuation, none twice, all words with a known pronunciation."""
    assert len(set(PHRASES)) == len(PHRASES)
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)*", phrase) for phrase in PHRASES)
    assert {word for phrase in PHRASES for word in phrase.split()} <= set(dictionary())


def test_the_story_is_worth_interrupting() -> None:
    """It takes about a minute at the usual rate of speech."""
    assert 150 <= len(STORY.split()) <= 220


@pytest.mark.parametrize(("number", "word"), [(1, "one"), (15, "fifteen"), (20, "twenty"), (42, "forty two")])
def test_numbers_are_words(number: int, word: str) -> None:
    """As they are said."""
    assert number_word(number) == word


def test_counting_stops_where_it_is_told() -> None:
    """Five numbers to a sentence, the last one included."""
    assert counted(7) == "One, two, three, four, five. Six, seven."


@pytest.mark.parametrize("topic", ALL_TOPICS, ids=lambda topic: topic.phrases[0])
def test_every_phrase_leads_to_its_own_answer(topic: object) -> None:
    """No phrase is taken for another's."""
    answers = {answer([{"role": "user", "content": phrase}]) for phrase in topic.phrases}  # pyright: ignore
    assert len(answers) == 1
    assert all(normalized(phrase) for phrase in topic.phrases)  # pyright: ignore
