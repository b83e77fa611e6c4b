"""The journey bench counts something; its figures are for people to read."""

from tests.bench.journey import measure


def test_every_journey_passes_modules_of_the_package() -> None:
    """Each journey is counted on a running call, and so is the speech that runs on."""
    journeys, second = measure()
    assert all(calls.entered > 0 and calls.changes > 0 for calls in journeys)
    assert second.on_the_loop.total() > 0
