"""Makes the bots' modules importable as the scripts see them: `offline.voice`, `local`."""

import sys
import warnings
from pathlib import Path

BOTS = Path(__file__).resolve().parents[2] / "bots"
if str(BOTS) not in sys.path:
    sys.path.insert(0, str(BOTS))

# Pipecat warns of deprecated classes, its own and those of websockets, while it defines others.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import pipecat.services.tts_service
    import pipecat.transports.websocket.server  # noqa: F401
