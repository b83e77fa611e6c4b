"""The avatar's token for the user's own room, minted with the user's Daily key where there is one."""

import os

import aiohttp
from pipecat.transports.daily.utils import DailyMeetingTokenParams, DailyMeetingTokenProperties, DailyRESTHelper

from pipecat_lemonslice.errors import SessionError, safe_line

DAILY_API_URL = "https://api.daily.co/v1"
MINT_SECONDS = 10.0


async def mint_token(room_url: str, avatar_name: str, user_id: str) -> str | None:
    """Mint a token with which the avatar may join.

    Args:
        room_url: Address of the room.
        avatar_name: User name that the avatar gets with it.
        user_id: The id by which the others in the room know who has joined with it.

    Returns:
        The token; None without ``DAILY_API_KEY``, for a room that is open.

    Raises:
        SessionError: Daily would not mint one.
    """
    key = os.environ.get("DAILY_API_KEY")
    if not key:
        return None
    properties = DailyMeetingTokenProperties(user_name=avatar_name, user_id=user_id)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=MINT_SECONDS)) as http:
            helper = DailyRESTHelper(
                daily_api_key=key,
                daily_api_url=os.environ.get("DAILY_API_URL") or DAILY_API_URL,
                aiohttp_session=http,
            )
            return await helper.get_token(room_url, owner=False, params=DailyMeetingTokenParams(properties=properties))
    except Exception as error:
        said = safe_line(str(error) or type(error).__name__, key)
    raise SessionError(f"Daily gave no token for the avatar: {said}. Check DAILY_API_KEY, or give daily_token")
