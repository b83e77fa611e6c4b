"""Where a response is heard: chosen when it begins, kept to its end."""

from typing import Any, cast

from pipecat_lemonslice.routes import Route, RouteChooser
from pipecat_lemonslice.stream import AvatarLink

LINK = cast("AvatarLink", cast("Any", object()))


def test_an_avatar_that_is_coming_is_waited_for() -> None:
    """No route is chosen while it may come, until it is given up."""
    routes = RouteChooser(8.0)
    assert routes.choose() is None
    assert routes.give_up_at(10.0) == 18.0
    assert routes.give_up_at(15.0) == 18.0
    routes.give_up()
    assert routes.choose() is Route.VOICE


def test_the_patience_can_change_while_it_is_spent() -> None:
    """A new ready_timeout counts from the same beginning."""
    routes = RouteChooser(8.0)
    routes.give_up_at(10.0)
    routes.ready_timeout = 2.0
    assert routes.give_up_at(11.0) == 12.0


def test_a_route_is_kept_to_the_end_of_the_response() -> None:
    """An avatar that comes in mid-response speaks the next one."""
    routes = RouteChooser(8.0)
    routes.give_up()
    assert routes.choose() is Route.VOICE
    routes.avatar_here(LINK)
    assert routes.choose() is Route.VOICE
    routes.current = None
    assert routes.choose() is Route.AVATAR
    assert routes.link is LINK


def test_an_avatar_that_goes_hands_its_response_over() -> None:
    """Only a response that was on its way to the avatar changes over."""
    routes = RouteChooser(8.0)
    routes.avatar_here(LINK)
    routes.choose()
    routes.avatar_gone()
    assert routes.link is None
    assert routes.current is None
    assert routes.choose() is Route.VOICE
    routes.avatar_here(LINK)
    routes.avatar_gone()
    assert routes.current is Route.VOICE


def test_a_lost_avatar_is_not_waited_for() -> None:
    """After a loss, speech is heard without the avatar until it is here again; giving up later changes nothing."""
    routes = RouteChooser(8.0)
    routes.avatar_gone()
    assert routes.choose() is Route.VOICE
    routes.current = None
    routes.avatar_here(LINK)
    routes.give_up()
    assert routes.choose() is Route.AVATAR
