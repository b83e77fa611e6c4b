"""Decides what the brain answers: pure, from the conversation so far to the steps of an answer.

Nothing here streams, waits or knows of frames, and nothing is remembered: the conversation holds what was
heard, word for word, and that is how an answer that was cut off is found again.
"""

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Any

from .script import (
    ALL_TOPICS,
    CANCELLED,
    CLOTHES,
    GO_ON,
    GREETING,
    HINT,
    INTERRUPTED_BY_NOISE,
    LONGEST_COUNT,
    LOST,
    NOTHING_LEFT,
    NOTHING_SAID,
    REPEAT,
    TOPICS,
    WHERE,
    Act,
    Say,
    Step,
    Topic,
    Use,
    counted,
    number_word,
)

NOT_UNDERSTOOD = "(not understood)"
"""What the ears report when speech fits none of the phrases."""

_SPOKEN_IN_FULL = MappingProxyType(
    {
        "what's": "what is",
        "whats": "what is",
        "who's": "who is",
        "whos": "who is",
        "i'm": "i am",
        "you're": "you are",
        "where's": "where is",
        "how's": "how is",
        "it's": "it is",
        "that's": "that is",
        "u": "you",
    }
)
_POLITE = frozenset(("please", "lem", "hey", "ok", "okay", "could", "would", "now", "just", "oh", "well"))
_SAME_SPELLING = 0.84
_ECHOED_WORDS = 12
_REMEMBERED_WORDS = 6


def answer(messages: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Return the answer to a conversation.

    Args:
        messages: What was said and heard, oldest first, each with ``role`` and ``content``; and functions that were
            called, with their results.

    Returns:
        Its steps. Where functions are called, the words are for when their results are there: the answer to a
        conversation that ends with results has words only.
    """
    said = [_text(message) for message in messages if message.get("role") == "user"]
    heard = [text for message in messages if message.get("role") == "assistant" and (text := _text(message))]
    if said and messages[-1].get("role") == "tool":
        return _report(_text(messages[-1]), _reply(said[-1], heard))
    if heard and messages[-1].get("role") == "developer":
        return (Say(INTERRUPTED_BY_NOISE),)
    if not said:
        return (Act("wave"), Say(GREETING))
    return tuple(_chosen(step, said) for step in _reply(said[-1], heard))


def _chosen(step: Step, said: Sequence[str]) -> Step:
    """Have a function for which the script has no name called with other clothes each time that it is asked for."""
    if not isinstance(step, Use) or step.name:
        return step
    earlier = sum(topic is not None and step in topic.steps for topic in map(find_topic, said[:-1]))
    return Use(step.function, CLOTHES[earlier % len(CLOTHES)])


def _report(result: str, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Say what has become of a function that was called: the words about it, or why it was not done."""
    if not result.startswith("{"):
        return (Say(CANCELLED),)
    told = json.loads(result)
    return tuple(step for step in steps if not isinstance(step, Use)) if told["done"] else (Say(told["message"]),)


def _reply(said: str, heard: Sequence[str]) -> tuple[Step, ...]:
    if said.strip() == NOT_UNDERSTOOD:
        return (Say(f"I did not catch that. {HINT}"),)
    match find_topic(said):
        case None:
            return _count_or_shrug(said)
        case topic if topic is GO_ON:
            return (Say(_rest(heard)),)
        case topic if topic is REPEAT:
            return (Say(f"I said: {_sentences(heard[-1])[-1]}" if heard else NOTHING_SAID),)
        case topic if topic is WHERE:
            return (Say(_interruption(heard)),)
        case topic:
            return topic.steps


def _count_or_shrug(said: str) -> tuple[Step, ...]:
    number = number_asked(normalized(said))
    if number is None:
        return (Say(f"{_echo(said)}{LOST}"),)
    if not 0 < number <= LONGEST_COUNT:
        return (Say(f"I count from one to {number_word(LONGEST_COUNT)}, and no further."),)
    return (Say(counted(number)),)


def _echo(said: str) -> str:
    """The line as it can be spoken, so that it is plain what was understood."""
    words = re.findall(r"[A-Za-z0-9']+", said)[:_ECHOED_WORDS]
    return f"You said: {' '.join(words)}. " if words else ""


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content if isinstance(part, Mapping))


# What a line is about


def find_topic(said: str) -> Topic | None:
    """Return what a line is about: by its very words, by its spelling, or by words that give it away."""
    line = normalized(said)
    if line in _by_phrase():
        return _by_phrase()[line]
    if number_asked(line) is not None:
        return None
    if close := get_close_matches(line, _by_phrase(), n=1, cutoff=_SAME_SPELLING):
        return _by_phrase()[close[0]]
    words = frozenset(line.split())
    hinted = [(len(hint.split()), topic) for hint, topic in _hints() if words.issuperset(hint.split())]
    return max(hinted, key=lambda found: found[0])[1] if hinted else None


def normalized(said: str) -> str:
    """Return a line in lower case, without punctuation, contractions and politeness."""
    lowered = said.lower().replace("\u2019", "'")
    full = (_SPOKEN_IN_FULL.get(word, word) for word in re.findall(r"[\w']+", lowered))
    words = " ".join(full).split()
    return " ".join(word for word in words if word not in _POLITE) or " ".join(words)


def number_asked(line: str) -> int | None:
    """Return the number in a normalized "count to twelve" or "count to 12"; None in other lines."""
    found = re.search(r"\bcount (?:up )?to ([a-z]+(?: [a-z]+)?|\d{1,6})$", line)
    if found is None:
        return None
    said = found[1]
    return int(said) if said.isdigit() else _numbers().get(said)


@cache
def _numbers() -> Mapping[str, int]:
    return {number_word(number): number for number in range(60)} | {"hundred": 100, "a hundred": 100}


@cache
def _by_phrase() -> Mapping[str, Topic]:
    return {normalized(phrase): topic for topic in ALL_TOPICS for phrase in topic.phrases}


@cache
def _hints() -> Sequence[tuple[str, Topic]]:
    return [(hint, topic) for topic in ALL_TOPICS for hint in topic.hints]


# Going on where it was cut off


@cache
def _scripts() -> Sequence[str]:
    spoken = (step.text for topic in TOPICS for step in topic.steps if isinstance(step, Say))
    return [GREETING, *spoken, counted(LONGEST_COUNT)]


def _rest(heard: Sequence[str]) -> str:
    """What is left of the answer that was cut off last, from the beginning of its sentence."""
    complete = [_words(script) for script in _scripts()]
    for text in reversed(heard):
        if _words(text) in complete:
            continue
        for script in _scripts():
            if rest := rest_of(script, text):
                return f"Where was I? Ah, yes. {rest}"
    return NOTHING_LEFT


def rest_of(script: str, heard: str) -> str | None:
    """Return the sentences of a script from the one with the first word that was not heard.

    Args:
        script: The whole text.
        heard: Words that end somewhere in it.

    Returns:
        None if the script does not contain the end of what was heard, or ends with it.
    """
    sentences = _sentences(script)
    words = [(word, number) for number, sentence in enumerate(sentences) for word in _words(sentence)]
    end = _words(heard)[-_REMEMBERED_WORDS:]
    for count in range(len(end), len(words)):
        if end and [word for word, _ in words[count - len(end) : count]] == end:
            return " ".join(sentences[words[count][1] :])
    return None


def _interruption(heard: Sequence[str]) -> str:
    words = _words(heard[-1])[-4:] if heard else []
    if not words:
        return NOTHING_SAID
    return f"The last words that you heard from me were: {' '.join(words)}. I remember no more than that."


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?]) +", text.strip())


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())
