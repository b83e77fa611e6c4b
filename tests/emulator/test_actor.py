import itertools

import pytest

from pipecat_lemonslice.emulator.actor import Actor, Gesture, Mood, gesture_of, mood_of
from pipecat_lemonslice.emulator.character import SPEAKING, Eyes, Hand, Mouth


def film(actor: Actor, start: float, end: float, opening: int = 0):
    """All looks at 25 pictures a second."""
    return [actor.look(start + i * 0.04, opening) for i in range(round((end - start) / 0.04))]


@pytest.mark.parametrize(
    ("prompt", "mood"),
    [
        ("a person talking", Mood.FRIENDLY),
        ("", Mood.FRIENDLY),
        ("a Happy person, smiling", Mood.HAPPY),
        ("a serious person", Mood.SERIOUS),
        ("looks sad, then cheerful", Mood.SERIOUS),
    ],
)
def test_prompts_have_moods(prompt: str, mood: Mood):
    """The first word that names a mood decides; without one the face is friendly."""
    assert mood_of(prompt) is mood


@pytest.mark.parametrize(
    ("name", "gesture"),
    [("wave", Gesture.WAVE), ("say hello", Gesture.WAVE), ("smile", Gesture.SMILE), ("spin", Gesture.NOTICE)],
)
def test_every_pose_shows_something(name: str, gesture: Gesture):
    """Known poses have gestures of their own, others are noticed at least."""
    assert gesture_of(name) is gesture


def test_it_blinks_and_sways_while_idle():
    """In ten seconds of silence the eyes close a few times, for a moment each, and the head moves both ways."""
    looks = film(Actor(chance=lambda: 0.5), 0.0, 10.0)
    closed = [look.eyes is Eyes.CLOSED for look in looks]
    blinks = sum(now and not before for before, now in itertools.pairwise(closed))
    assert blinks in (2, 3)
    assert sum(closed) == 2 * blinks
    assert min(look.sway for look in looks) <= -4
    assert max(look.sway for look in looks) >= 4
    steps = [abs(b.sway - a.sway) for a, b in itertools.pairwise(looks)]
    assert max(steps) == 1


def test_the_mouth_follows_the_opening():
    """Each opening has its own mouth; a closed one is that of the mood."""
    actor = Actor(idle="a serious person")
    assert [actor.look(0.0, opening).mouth for opening in range(6)] == [Mouth.SERIOUS, *SPEAKING]


def test_a_gesture_lasts_a_second_and_a_half():
    """Waving shows the hand in more than one position, then it is gone."""
    actor = Actor()
    actor.pose("wave", 2.0)
    hands = {look.hand for look in film(actor, 2.0, 3.48)}
    assert hands == {Hand.LEFT, Hand.UP, Hand.RIGHT}
    assert actor.look(3.5, 0).hand is Hand.DOWN


def test_prompts_change_the_face():
    """A new idle prompt is seen while idle, a new prompt while speaking."""
    actor = Actor()
    before = actor.look(0.0, 0).mouth
    actor.idle_prompt("smiling broadly")
    assert (before, actor.look(0.0, 0).mouth) == (Mouth.REST, Mouth.SMILE)
    actor.speaking = True
    assert actor.look(0.0, 0).mouth is Mouth.REST
    actor.prompt("stern")
    assert actor.look(0.0, 0).eyes is Eyes.SERIOUS
