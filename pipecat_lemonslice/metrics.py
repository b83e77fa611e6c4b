"""What a session has used, as a Pipecat metric of its own: Pipecat's usage metrics count tokens and characters."""

from pipecat.metrics.metrics import MetricsData


class AvatarUsageMetricsData(MetricsData):
    """The usage of one session, in a ``MetricsFrame`` when the session is over. Needs ``enable_usage_metrics``.

    Attributes:
        session_id: The session.
        seconds: How long it lasted, from its creation to its end.
        cost: Its cost in credits as LemonSlice says; None where unknown.
    """

    session_id: str
    seconds: float
    cost: float | None = None
