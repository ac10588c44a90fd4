"""What became of every frame of a live source."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from sightline.video.clock import Ages

_RECENT = 240
_RECENT_S = 3.0
FAULTS_KEPT = 20


@dataclass(slots=True)
class Tally:
    """Counts of one `watch`; each is written by one thread, and read by any.

    When it is over, `captured = answered + dropped + late + unread + left`, and `packets - decoded = lost`.

    Attributes:
        captured: frames that the sources gave.
        answered: frames whose results went to the sinks.
        dropped: frames that a newer one took the place of before they were looked at.
        late: frames older than the limit, when their turn or their answer came.
        unread: frames that could not be turned into pixels.
        left: frames in work when it was stopped.
        undrawn: answers that were not drawn because the drawing was behind.
        lost: packets that gave no frame: corrupt, or in the decoder when a connection broke.
        corrupt: packets that the decoder refused.
        disconnects: connections lost.
        longest_gap_s: the longest time from a loss to the next frame.
        clock_jumps: times the source's clock was not believed.
        faults: (source, reason), the last ones.
        ages: from capture to answer; live mode only.
        decoders: what decoded, in words, by source.
    """

    captured: int = 0
    answered: int = 0
    dropped: int = 0
    late: int = 0
    unread: int = 0
    left: int = 0
    undrawn: int = 0
    lost: int = 0
    corrupt: int = 0
    disconnects: int = 0
    longest_gap_s: float = 0.0
    clock_jumps: int = 0
    ages: Ages = field(default_factory=Ages)
    faults: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=FAULTS_KEPT))
    decoders: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    @property
    def gone(self) -> int:
        """Captured frames that have no answer, for whatever reason."""
        return self.dropped + self.late + self.unread + self.left

    @property
    def balanced(self) -> bool:
        """Whether every captured frame was answered or counted."""
        return self.captured == self.answered + self.gone

    @property
    def mean_rate(self) -> float:
        """Answers a second over the whole time."""
        seconds = self.seconds or time.monotonic() - self._began
        return self.answered / seconds if seconds else 0.0

    @property
    def rate(self) -> float:
        """Answers a second just now."""
        now = time.monotonic()
        recent = [at for at in list(self._recent) if now - at <= _RECENT_S]
        return (len(recent) - 1) / (now - recent[0]) if len(recent) > 1 else 0.0

    def answer(self, age_s: float | None) -> None:
        """Count one answer."""
        self.answered += 1
        self._recent.append(time.monotonic())
        if age_s is not None:
            self.ages.add(age_s)

    def finish(self) -> None:
        """Stop the clock."""
        self.seconds = time.monotonic() - self._began

    def plain(self) -> dict[str, Any]:
        """Plain values for a page or a table."""
        ages = {f"age_p{p}_ms": _ms(self.ages.percentile(p)) for p in (50, 99)} if len(self.ages) else {}
        names = (
            "captured", "answered", "dropped", "late", "unread", "left", "undrawn", "lost", "corrupt",
            "disconnects", "clock_jumps",
        )  # fmt: skip
        counts = {name: getattr(self, name) for name in names}
        decoder = "; ".join(dict.fromkeys(self.decoders.values()))
        return {"fps": round(self.rate, 1), **ages, **counts, "decoder": decoder}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
