"""The script of the brain: what can be asked, in which words, and the answers.

All answers can be spoken: letters, plain punctuation, no markup. Who decides between them is ``conversation``.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Say:
    """Speak."""

    text: str


@dataclass(frozen=True)
class Act:
    """Trigger a pose of the avatar along with the words."""

    pose: str


@dataclass(frozen=True)
class Use:
    """Call a function that steers the avatar; the words about it come when its result is there.

    Attributes:
        function: The function.
        name: What it is called with; empty for the next one.
    """

    function: str
    name: str = ""


@dataclass(frozen=True)
class HangUp:
    """End the call when everything before has been heard."""


Step = Say | Act | Use | HangUp


@dataclass(frozen=True)
class Topic:
    """Something that can be asked.

    Attributes:
        phrases: How it is asked; the ears know these, word for word.
        steps: The answer.
        hints: Words that give the topic away in a typed line; each entry is a set that must be complete.
    """

    phrases: tuple[str, ...]
    steps: tuple[Step, ...]
    hints: tuple[str, ...] = ()


ACTIONS = ("smile", "wave", "serious", "surprised")
"""Poses that can be asked for."""

CLOTHES = ("yellow", "blue")
"""Portraits that can be asked for, one after the other."""

MOODS = {
    "asleep": ("a sleepy person", "a person asleep, with closed eyes"),
    "awake": ("a lively person", "an attentive person"),
}
"""Prompts for speaking and for being idle."""

GREETING = (
    "Hello! I am Lem, a talking avatar, and every word I say is scripted. "
    "You need no key to talk to me, only patience. "
    "Ask who I am, let me tell you a story, or change my picture."
)
HINT = "By ear I only know a few phrases, such as: who are you, tell me a story, or count to ten. Typing always works."
LOST = "That is beyond my script. Try: what can you do?"
INTERRUPTED_BY_NOISE = "I thought I heard something, so I stopped. Say: go on, and I will."
CANCELLED = "I was going to, and then you stopped me."
NOTHING_SAID = "I have not said anything yet, so there is nothing to repeat."
NOTHING_LEFT = "I had come to the end of it. Ask me for a story, that one is long enough to be stopped."

STORY = (
    "Once upon a time there was a lighthouse keeper who had nobody to talk to but a parrot. "
    "The parrot knew three words, and all of them were fish. "
    "Every evening the keeper lit the lamp and asked the parrot how its day had been. "
    "Fish, said the parrot, and that settled it. "
    "One night the fog was so thick that the lamp lit nothing but the fog itself. "
    "Out at sea a captain heard the rocks before he saw them. "
    "He called into the dark: is anybody there? "
    "And out of the dark a small voice answered: fish. "
    "Now the captain was a hungry man, and he turned his ship towards dinner. "
    "That turn took him around the rocks by the width of a biscuit. "
    "In the morning he rowed ashore to thank the cook. "
    "He found a keeper, a parrot, and no fish at all. "
    "The keeper was so glad of the company that he talked until noon. "
    "The captain was so glad to be alive that he listened. "
    "And the parrot, who had waited years for a moment like this, learned a fourth word. "
    "The word was: finally. "
    "And if you have not interrupted me by now, you are a better listener than the captain."
)

_NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty"]
LONGEST_COUNT = 50


def number_word(number: int) -> str:
    """Return how a number from 0 to 59 is said."""
    if number < len(_NUMBERS):
        return _NUMBERS[number]
    tens, ones = divmod(number, 10)
    return f"{_TENS[tens]} {_NUMBERS[ones]}" if ones else _TENS[tens]


def counted(last: int) -> str:
    """Return the count from one to a number, five to a sentence."""
    words = [number_word(number) for number in range(1, last + 1)]
    groups = [", ".join(words[start : start + 5]) for start in range(0, last, 5)]
    return " ".join(f"{group.capitalize()}." for group in groups)


def _says(phrases: str, text: str, hints: str = "", before: tuple[Step, ...] = ()) -> Topic:
    return Topic(_split(phrases), (*before, Say(text)), _split(hints))


def _split(texts: str) -> tuple[str, ...]:
    return tuple(part for text in texts.split("|") if (part := text.strip()))


def _act(pose: str) -> Use:
    return Use("avatar_action", pose)


TOPICS = (
    _says(
        "hello | hi there | good morning", "Hello to you. Ask me anything, as long as it is in my script.", "hi | hey"
    ),
    _says(
        "who are you | what is your name | introduce yourself",
        "I am Lem. I have a drawn face, a borrowed voice, and a script of one page. "
        "I am here so that you can see how an avatar behaves without paying for one.",
        "your name | about yourself",
    ),
    _says(
        "what can you do | what can i say | what can i ask you | help me",
        "Ask who I am, what you are looking at, or how it works. "
        "Let me tell a story, tell a joke, or count to thirty, and interrupt me. "
        "Tell me to smile, to wave, to change my clothes, or to fall asleep. Or say goodbye.",
        "help | options | commands",
    ),
    _says(
        "what am i looking at | what am i seeing | what is this",
        "You are looking at an avatar. My words go to it as sound, and its picture and its voice come back to you. "
        "Below me you see each answer as a bar: when it began, and why it ended.",
        "looking at | am i seeing | do i see",
    ),
    _says(
        "what is an avatar | tell me about the avatar",
        "An avatar is a face that speaks what a bot has to say. "
        "The real ones are made from a single picture. This one is made from circles.",
        "avatar",
    ),
    _says(
        "what is the emulator | tell me about the emulator",
        "The emulator plays the part of Lemon Slice on this machine. "
        "It has the same interface, rooms of its own, and a face that was drawn by hand. "
        "It can also misbehave when asked, which is more than I can.",
        "emulator | emulate",
    ),
    _says(
        "how does it work | how do you work",
        "Your words become text, a script picks the answer, and a small engine speaks it. "
        "The avatar hears that speech at the speed at which you hear it, and moves its mouth to it.",
        "how work | pipeline | pipecat",
    ),
    _says(
        "when does a response end | how do you know when to stop | explain the end",
        "A response ends when its last sound has been played and nothing more is coming. "
        "If my voice says so, it ends at once. If it never says so, half a second of quiet will do. "
        "And if you interrupt me, it ends in the middle of a",
        "response end | response done | stop event | timeout",
    ),
    _says(
        "do you need a key | how much do you cost",
        "Here I need no key and cost nothing. With a key, the same bot talks to the real Lemon Slice, "
        "which looks much better than I do.",
        "api key | need key | price | cost",
    ),
    _says(
        "are you real | are you a robot",
        "I am as real as a script can be. A person wrote my lines, and I just look as if I had thought of them.",
        "are you human | artificial intelligence | language model",
    ),
    _says("tell me a story | tell me a long story", STORY, "story | bedtime"),
    _says(
        "tell me a joke | make me laugh",
        "Why did the avatar cross the road? Nobody knows. It had no legs, and the script ended at the kerb.",
        "joke | funny",
        (Act("smile"),),
    ),
    _says("count to ten", counted(10)),
    _says("count to thirty", counted(30)),
    _says("smile", "There. I have only one, so I use it for everything.", "smile | happy", (_act("smile"),)),
    _says("wave at me | wave your hand", "Hello from over here!", "wave", (_act("wave"),)),
    _says(
        "be serious | look serious",
        "This is my serious face. It is for bad news, and for tax returns.",
        "serious | sad",
        (_act("serious"),),
    ),
    _says(
        "look surprised | raise your eyebrows",
        "No! Really? And what did they say then?",
        "surprise | surprised | eyebrows",
        (_act("surprised"),),
    ),
    _says(
        "change your picture | change your clothes | change your face | show me another face",
        "How do I look? It is the same voice, in somebody else's clothes.",
        "your picture | your clothes | your face | another face | another picture | look different | get dressed",
        (Use("avatar_picture"),),
    ),
    _says(
        "fall asleep | go to sleep",
        "Good night. Only my face sleeps: the session goes on, and a real one would go on costing.",
        "sleep | asleep | nap",
        (Use("avatar_mood", "asleep"),),
    ),
    _says("wake up", "I am awake. I was only resting my eyes.", "awake | wake", (Use("avatar_mood", "awake"),)),
    _says("be quiet | stop talking", "As you like.", "stop | quiet | shut up"),
    _says("thank you | thank you very much", "You are welcome. It was all scripted, but I meant it.", "thanks | thank"),
    Topic(
        ("goodbye", "bye bye", "see you later"),
        (Act("wave"), Say("Goodbye! It was a pleasure to be interrupted by you."), HangUp()),
        ("bye", "good bye", "hang up", "end call"),
    ),
)

GO_ON = Topic(("go on", "carry on"), (), ("continue", "resume", "go ahead"))
REPEAT = Topic(("say that again", "what did you say"), (), ("repeat", "pardon", "say again"))
WHERE = Topic(("where did i interrupt you", "where were you"), (), ("interrupt", "last word"))

ALL_TOPICS = (*TOPICS, GO_ON, REPEAT, WHERE)
PHRASES: tuple[str, ...] = tuple(phrase for topic in ALL_TOPICS for phrase in topic.phrases)
"""All phrases that the ears must know."""
