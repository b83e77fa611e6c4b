"""Understands a fixed set of spoken phrases with pocketsphinx: samples in, a phrase or nothing out.

A grammar of the phrases competes with a loop of common words; speech that fits the loop better is none of the
phrases. Everything here keeps a processor busy for a tenth of a second: call it in a thread. It knows nothing
of Pipecat.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pocketsphinx

SAMPLE_RATE = 16000

# Common words of many sounds. More of them reject better and cost more time.
OTHER_WORDS = "the and to in for they this have one out time see it my like people".split()  # noqa: SIM905
# Probability of the loop, weighed against that of the phrases. Found by measuring.
OTHER_WEIGHT = 1e-6
# A small grammar can afford wide beams; the usual ones lose the right phrase.
_BEAM, _WORD_BEAM = 1e-80, 1e-60

_FRAME = SAMPLE_RATE // 100
_PADDING = round(0.25 * SAMPLE_RATE)
_LEVEL = 3000.0
_FLOOR = 60.0
_QUIETEST = 30.0
_SHORTEST_FRAMES = 12
# The decoder keeps the interpreter to itself while it works on a block.
_BLOCK_BYTES = 2 * 3 * _FRAME

# Written like the entries of the dictionary, for words that it lacks.
EXTRA_PRONUNCIATIONS: Mapping[str, str] = MappingProxyType({"emulator": "EH M Y AH L EY T ER"})


class UnknownWordsError(ValueError):
    """Phrases contain words without a pronunciation."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)
        super().__init__(
            f"no pronunciation for {', '.join(self.words)}: use other words, or add them to pronunciations"
        )


@dataclass(frozen=True)
class Understood:
    """One of the phrases was said."""

    phrase: str


@dataclass(frozen=True)
class Unclear:
    """Something was said, but none of the phrases."""


@dataclass(frozen=True)
class Nothing:
    """Nobody spoke, or too briefly."""


Hearing = Understood | Unclear | Nothing


class Recognizer:
    """Knows a set of phrases. One thread at a time."""

    def __init__(self, phrases: Sequence[str], pronunciations: Mapping[str, str] = EXTRA_PRONUNCIATIONS) -> None:
        """Build the grammar.

        Args:
            phrases: Lower-case words without punctuation.
            pronunciations: For words that the dictionary lacks: phones as the dictionary writes them.

        Raises:
            UnknownWordsError: Words are in neither.
        """
        self._phrases = frozenset(phrases)
        self._decoder = pocketsphinx.Decoder(
            lm=None, dict=None, loglevel="FATAL", beam=_BEAM, pbeam=_BEAM, wbeam=_WORD_BEAM, bestpath=False
        )
        known = {**dictionary(), **{word: (phones,) for word, phones in pronunciations.items()}}
        for word in needed_words(phrases, known):
            for number, phones in enumerate(known[word], start=1):
                self._decoder.add_word(word if number == 1 else f"{word}({number})", phones, update=False)
        self._decoder.add_jsgf_string("phrases", grammar(phrases))
        self._decoder.activate_search("phrases")
        self._mean = self._decoder.get_cmn(False)
        # The decoder's own noise tracking misleads it until it has heard some.
        self._decode(_noise(SAMPLE_RATE).astype("<i2").tobytes(), self._mean)

    def recognize(self, pcm: bytes) -> Hearing:
        """Return what was said.

        Args:
            pcm: Mono, 16-bit little endian at ``SAMPLE_RATE``.
        """
        speech = prepared(np.frombuffer(pcm, dtype="<i2"))
        if speech is None:
            return Nothing()
        for mean in (self._mean, None):
            said = self._decode(speech.tobytes(), mean)
            if said in self._phrases:
                # Adapt to voices that were understood only: noise would spoil the mean for good.
                self._mean = self._decoder.get_cmn(True)
                return Understood(said)
        return Unclear()

    def _decode(self, pcm: bytes, mean: str | None) -> str:
        """The most likely words, with a cepstral mean; None takes the mean of the speech decoded before."""
        self._decoder.set_cmn(mean or self._decoder.get_cmn(True))
        self._decoder.start_utt()
        for start in range(0, len(pcm), _BLOCK_BYTES):
            self._decoder.process_raw(pcm[start : start + _BLOCK_BYTES])
        self._decoder.end_utt()
        best = self._decoder.hyp()
        return best.hypstr if best else ""


def needed_words(phrases: Iterable[str], known: Mapping[str, object]) -> Sequence[str]:
    """Return each word of the grammar once.

    Raises:
        UnknownWordsError: Some are not known.
    """
    words = dict.fromkeys(word for phrase in (*phrases, *OTHER_WORDS) for word in phrase.split())
    if missing := [word for word in words if word not in known]:
        raise UnknownWordsError(missing)
    return tuple(words)


def grammar(phrases: Iterable[str]) -> str:
    """Return the JSGF grammar: one of the phrases, or any other words."""
    return (
        "#JSGF V1.0;\ngrammar phrases;\n"
        f"public <said> = /1/ <phrase> | /{OTHER_WEIGHT:g}/ <other>;\n"
        f"<phrase> = {' | '.join(phrases)};\n"
        f"<other> = ( {' | '.join(OTHER_WORDS)} )+;\n"
    )


@lru_cache(maxsize=1)
def dictionary() -> Mapping[str, tuple[str, ...]]:
    """Return the pronunciations of the dictionary that comes with pocketsphinx, for each word."""
    entries: dict[str, tuple[str, ...]] = {}
    with open(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"), encoding="utf-8") as lines:
        for line in lines:
            word, _, phones = line.strip().partition(" ")
            plain = word.partition("(")[0]
            entries[plain] = (*entries.get(plain, ()), phones)
    return entries


def prepared(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.int16] | None:
    """Return the part where somebody speaks, at a level that suits the decoder; None if nobody does.

    Digital silence is given a little noise, for the decoder takes its absence for a sound.
    """
    frames = samples[: len(samples) // _FRAME * _FRAME].astype(np.float32).reshape(-1, _FRAME)
    if len(frames) < _SHORTEST_FRAMES:
        return None
    loudness = np.sqrt(np.mean(frames**2, axis=1))
    peak = float(np.percentile(loudness, 95))
    voiced = np.flatnonzero(loudness > max(0.05 * peak, _QUIETEST))
    if len(voiced) < _SHORTEST_FRAMES:
        return None
    start = max(0, voiced[0] * _FRAME - _PADDING)
    end = (voiced[-1] + 1) * _FRAME + _PADDING
    speech = samples[start:end].astype(np.float32) * (_LEVEL / peak)
    return (speech + _noise(len(speech))).clip(-32768, 32767).astype("<i2")


def _noise(count: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, _FLOOR, count)
