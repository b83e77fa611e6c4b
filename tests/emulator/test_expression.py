import itertools

import pytest

from pipecat_lemonslice.emulator.expression import MOUTHS, Expression, Look


def film(expression: Expression, start: float, end: float, opening: int = 0) -> list[Look]:
    """All looks at 25 pictures a second."""
    return [expression.look(start + i * 0.04, opening) for i in range(round((end - start) / 0.04))]


@pytest.mark.parametrize(
    ("prompt", "mouth"),
    [
        ("a person talking", "mouth-rest"),
        ("", "mouth-rest"),
        ("a Happy person, smiling", "mouth-smile"),
        ("a serious person", "mouth-serious"),
        ("looks sad, then cheerful", "mouth-serious"),
    ],
)
def test_prompts_have_moods(prompt: str, mouth: str):
    """The first word that names a mood decides; without one the face is friendly."""
    assert Expression(idle=prompt).look(0.0, 0).mouth == mouth


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("wave", Look(0, "eyes-open", "mouth-smile", "hand-left")),
        ("Say hello", Look(0, "eyes-open", "mouth-smile", "hand-left")),
        ("smile", Look(0, "eyes-happy", "mouth-smile")),
        ("serious", Look(0, "eyes-serious", "mouth-serious")),
        ("spin", Look(0, "eyes-lively", "mouth-parted")),
    ],
)
def test_every_pose_shows_something(name: str, look: Look):
    """Known poses have gestures of their own; any other raises the brows."""
    expression = Expression()
    expression.pose(name, 0.0)
    assert expression.look(0.0, 0) == look


def test_it_blinks_and_sways_while_idle():
    """In ten seconds of silence the eyes close a few times, for a moment each, and the head moves both ways."""
    looks = film(Expression(chance=lambda: 0.5), 0.0, 10.0)
    closed = [look.eyes == "eyes-closed" for look in looks]
    blinks = sum(now and not before for before, now in itertools.pairwise(closed))
    assert blinks in (2, 3)
    assert sum(closed) == 2 * blinks
    assert min(look.sway for look in looks) <= -4
    assert max(look.sway for look in looks) >= 4
    steps = [abs(b.sway - a.sway) for a, b in itertools.pairwise(looks)]
    assert max(steps) == 1


def test_the_mouth_follows_the_opening():
    """Each opening has its own mouth; a closed one is that of the mood."""
    expression = Expression(idle="a serious person")
    assert [expression.look(0.0, opening).mouth for opening in range(6)] == ["mouth-serious", *MOUTHS]


def test_a_gesture_lasts_a_second_and_a_half():
    """Waving shows the hand in more than one position, then it is gone."""
    expression = Expression()
    expression.pose("wave", 2.0)
    hands = {look.hand for look in film(expression, 2.0, 3.48)}
    assert hands == {"hand-left", "hand-up", "hand-right"}
    assert expression.look(3.5, 0).hand == ""


def test_prompts_change_the_face():
    """A new idle prompt is seen while idle, a new prompt while speaking."""
    expression = Expression()
    before = expression.look(0.0, 0).mouth
    expression.idle_prompt("smiling broadly")
    assert (before, expression.look(0.0, 0).mouth) == ("mouth-rest", "mouth-smile")
    expression.speaking = True
    assert expression.look(0.0, 0).mouth == "mouth-rest"
    expression.prompt("stern")
    assert expression.look(0.0, 0).eyes == "eyes-serious"
