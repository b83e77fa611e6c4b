"""What a user must and must not set in ``DailyParams`` so that an avatar can join the bot's own room.

The parameters are only read, once, before anything is started.
"""

from typing import cast

from pipecat.transports.daily.transport import DailyParams, DailyTransport

from pipecat_lemonslice._pipecat import transport_params
from pipecat_lemonslice.errors import ConfigurationError
from pipecat_lemonslice.rooms._shared_room import TRACK


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


def _params(transport: DailyTransport) -> DailyParams:
    return cast("DailyParams | None", transport_params(transport)) or DailyParams(audio_out_enabled=True)


def _kind(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"


def _wrong(line: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"transport: write DailyParams({line}); {why}")
