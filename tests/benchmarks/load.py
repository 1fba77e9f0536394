"""What was measured of one thing under load."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """Latencies in milliseconds; ``errors`` counts responses that were no success."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int = 0
