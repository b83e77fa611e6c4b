"""What the service says of keywords about rooms and transports that cannot be meant: in their own names."""

from typing import Any

import pytest
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.transports.daily.transport import DailyTransport

from pipecat_lemonslice import LemonSliceVideoService
from pipecat_lemonslice.errors import ConfigurationError


def refusal(**kwargs: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        LemonSliceVideoService(api_key="key-0123", agent_id="agent", **kwargs)
    return str(caught.value)


class OwnTransport(BaseTransport):
    def input(self) -> Any:
        raise NotImplementedError

    def output(self) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("transport", "kind"),
    [
        (OwnTransport(), "OwnTransport"),
        (TransportParams(), "TransportParams"),
        ("https://x.daily.co/r", "str"),
        (DailyTransport, "the class DailyTransport"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_transport_that_cannot_be_shared_is_refused(transport: Any, kind: str) -> None:
    """The error says which can, and to leave it out for others."""
    said = refusal(transport=transport)
    assert said.startswith("transport: ")
    assert kind in said
    assert "DailyTransport" in said
    assert "leave it out" in said.lower()


async def test_the_browsers_transport_is_refused_likewise() -> None:
    """The one that people give by mistake."""
    pytest.importorskip("aiortc", reason="the browser's transport is an extra of Pipecat")
    from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
    from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport

    connection = SmallWebRTCConnection()
    said = refusal(transport=SmallWebRTCTransport(connection, TransportParams()))
    assert "SmallWebRTCTransport" in said
    await connection.disconnect()


@pytest.mark.parametrize("url", ["x.daily.co/r", "http://x.daily.co/r", "", "https://", 7])
def test_an_address_that_is_none_is_named_as_it_was_given(url: Any) -> None:
    """The keyword is daily_room_url, and so the error calls it."""
    said = refusal(daily_room_url=url)
    assert said.startswith("daily_room_url ")
    assert " room_url" not in said


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"daily_token": "S3CR3T-token"}, ("daily_token needs daily_room_url",)),
        ({"daily_token": "", "daily_room_url": "https://x.daily.co/r"}, ("daily_token is empty",)),
        ({"daily_token": 7, "daily_room_url": "https://x.daily.co/r"}, ("daily_token", "string")),
    ],
)
def test_what_is_wrong_with_a_token_is_said_in_its_own_name(kwargs: dict[str, Any], words: tuple[str, ...]) -> None:
    """And the token itself is not shown."""
    said = refusal(**kwargs)
    assert all(word in said for word in words), said
    assert " room_url" not in said
    assert "S3CR3T" not in said
