"""How long it takes from the server's stamp on a delta to its delivery."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from benchmarks.answers import STAMP_LENGTH

_STAMPS = re.compile(r'@(\d{10}\.\d{6})')


def percentiles(values: Sequence[float], *which: float) -> list[float]:
    """Return percentiles of the values, by the nearest rank.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError('nothing was delivered while it was measured')
    ordered = sorted(values)
    return [ordered[min(len(ordered) - 1, int(len(ordered) * part / 100))] for part in which]


class Delays:
    """Takes the deltas of all streams, and keeps the delays of those that were sent in a window of time."""

    def __init__(self, opens: float, closes: float) -> None:
        self._opens = opens
        self._closes = closes
        self.delays: list[float] = []

    def __call__(self, delivered: str | bytes) -> None:
        now = time.monotonic()
        if len(delivered) == STAMP_LENGTH:
            sent = float(delivered[1:])
            if self._opens <= sent < self._closes:
                self.delays.append(now - sent)
            return
        # Several deltas at once, or bytes that nobody has decoded.
        text = delivered if isinstance(delivered, str) else delivered.decode('latin-1')
        for stamp in _STAMPS.findall(text):
            if self._opens <= float(stamp) < self._closes:
                self.delays.append(now - float(stamp))

    def percentile(self, which: float) -> float:
        """Return one percentile, in seconds."""
        return percentiles(self.delays, which)[0]

    def summary(self) -> dict[str, float]:
        """Return the percentiles that are reported."""
        p50, p90, p999 = percentiles(self.delays, 50, 90, 99.9)
        return {'p50': p50, 'p90': p90, 'p999': p999, 'max': max(self.delays)}
