from typing import Literal

import pytest
from pydantic import Field

from pipecat_lemonslice.checked import Checked, checked_extra, checked_text, checked_url, present, url_problem
from pipecat_lemonslice.errors import ConfigurationError


class Order(Checked):
    number: int = Field(description="how many, a whole number")
    size: Literal["small", "large"] = "small"
    code: str | None = Field(default=None, repr=False)
    link: str | None = None


def problem_of(**fields: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Order(**fields)  # type: ignore[arg-type]
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_a_missing_field():
    """The field is named, with what belongs there."""
    assert problem_of() == "number is required (how many, a whole number)"


@pytest.mark.parametrize("value", ["5", 5.0, True])
def test_a_value_of_the_wrong_type(value: object):
    """Nothing is converted in silence, and what was given is shown."""
    problem = problem_of(number=value)
    assert problem == f"number should be a valid integer, {value!r} was given (how many, a whole number)"


def test_a_value_that_is_not_offered():
    """All that is allowed is listed."""
    assert problem_of(number=1, size="huge") == "size should be 'small' or 'large', 'huge' was given"


def test_a_typo_in_a_name():
    """A field that nobody knows is an error that guesses what was meant."""
    assert problem_of(number=1, sise="small") == "sise is not a field of Order. Did you mean size?"
    assert problem_of(number=1, zzz=1) == "zzz is not a field of Order. Remove it or correct its name"


def test_one_line_per_field():
    """All mistakes are told at once."""
    assert problem_of(number="x", size="huge", sise=1).count("\n") == 2


def test_secret_values_are_not_shown():
    """What is hidden in the repr is hidden in the error, and links lose their query."""
    assert "S3CR3T" not in problem_of(number=1, code=["S3CR3T"])
    assert "S3CR3T" not in problem_of(number="https://x.example/?sig=S3CR3T")
    assert repr(Order(number=1, code="S3CR3T", link="https://x.example/?sig=S3CR3T")) == (
        "Order(number=1, size='small', link='https://x.example/')"
    )


def test_made_models_do_not_change():
    """A checked model stays checked."""
    with pytest.raises(ValueError, match="frozen"):
        Order(number=1).number = 2  # type: ignore[misc]


@pytest.mark.parametrize("url", ["x", "ftp://a/b", "https://", "https://a b", "https://[", " https://a", 5, None])
def test_what_is_no_url(url: object):
    """Only absolute URLs of the schemes that are named pass."""
    assert url_problem(url, ("https",)) == "is not a URL. Give one that begins with https://"


def test_what_validators_let_through():
    """Good values come back as they are."""
    assert checked_url("wss://a/b", "https", "wss") == "wss://a/b"
    assert checked_url(None, "https") is None
    assert checked_text("x") == "x"
    assert checked_text(None) is None
    assert checked_extra({"a": [1]}, {"b"}) == {"a": [1]}
    assert present(a=0, b=None, c="") == {"a": 0, "c": ""}
