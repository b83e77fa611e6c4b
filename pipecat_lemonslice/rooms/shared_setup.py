"""What an avatar needs to join the bot's own room: the right ``DailyParams``, and a token.

The parameters are only read, once, before anything is started. The token is minted with the user's Daily key.
"""

import os
from typing import cast

import aiohttp
from pipecat.transports.daily.transport import DailyParams, DailyTransport
from pipecat.transports.daily.utils import DailyMeetingTokenParams, DailyMeetingTokenProperties, DailyRESTHelper

from pipecat_lemonslice._pipecat import transport_params
from pipecat_lemonslice.errors import ConfigurationError, SessionError, safe_line
from pipecat_lemonslice.rooms.shared_room import TRACK

DAILY_API_URL = "https://api.daily.co/v1"
MINT_SECONDS = 10.0


def check_transport(transport: object) -> None:
    """Refuse a transport whose room an avatar cannot join.

    Raises:
        ConfigurationError: Says which can be shared, and what to do with others.
    """
    if not isinstance(transport, DailyTransport):
        raise ConfigurationError(
            f"transport: only Pipecat's DailyTransport can be shared with the avatar, {_kind(transport)} was given. "
            "Leave it out for every other transport: the avatar then has a room of its own, and the service brings "
            "its picture and voice"
        )


def check_params(transport: DailyTransport, *, tts_audio: bool) -> None:
    """Refuse a transport that cannot carry an avatar.

    Args:
        transport: The bot's.
        tts_audio: Whether speech is to be heard without the avatar where there is none.

    Raises:
        ConfigurationError: Says which line to write.
    """
    params = _params(transport)
    track = (params.custom_audio_track_params or {}).get(TRACK)
    if tts_audio and not params.audio_out_enabled:
        raise _wrong("audio_out_enabled=True", "the TTS audio needs it while there is no avatar (or fallback='silent')")
    if tts_audio and not params.microphone_out_enabled:
        raise _wrong("microphone_out_enabled=True", "the TTS audio needs it while there is no avatar")
    if TRACK in params.audio_out_destinations:
        raise _wrong("audio_out_destinations=[…] without 'stream'", "the service registers that destination itself")
    if track and track.channels != 1:
        raise _wrong("custom_audio_track_params={'stream': DailyCustomAudioTrackParams(channels=1)}", "speech is mono")


def track_sample_rate(transport: DailyTransport, pipeline_rate: int) -> int:
    """Return the rate in Hz that the track ``stream`` will have.

    Args:
        transport: The bot's.
        pipeline_rate: The pipeline's output sample rate.

    Raises:
        ConfigurationError: Speech at that rate cannot be paced; says which line to write.
    """
    params = _params(transport)
    track = (params.custom_audio_track_params or {}).get(TRACK)
    rate = (track.sample_rate if track else None) or params.audio_out_sample_rate or pipeline_rate
    if rate % 100:
        line = "custom_audio_track_params={'stream': DailyCustomAudioTrackParams(sample_rate=24000)}"
        raise _wrong(line, f"Daily cannot pace speech at {rate} Hz")
    return rate


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


def _params(transport: DailyTransport) -> DailyParams:
    return cast("DailyParams | None", transport_params(transport)) or DailyParams(audio_out_enabled=True)


def _kind(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"


def _wrong(line: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"transport: write DailyParams({line}); {why}")
