"""Which frames are worth keeping: every so many, where something moved, at a cut, where a model doubts.

A rule is an object with `begin`, `why` and `kept`; a frame is kept where any rule says why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import cached_property
from statistics import median
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import UsageError
from sightline.core.predictor import RANKED, AnyPredictor, Predictor
from sightline.core.results import IN_SIGHT, ClassScores, Detections, Instances, Points, Result
from sightline.video.sources import Frame, Pixels

SMALL_WH = (160, 90)
TINY_WH = (32, 18)
# A grey level of 255 has to change by so much to count as moved: above coding noise and flicker.
MOVED_LEVELS = 18
CUT_LEVELS = 24.0
CUT_TIMES_USUAL = 3.0
USUAL_FRAMES = 12


class Look:
    """One frame as the rules see it; pixels are made once, and only where a rule asks for them."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    @cached_property
    def pixels(self) -> Pixels:
        """RGB (H, W, 3) uint8; raises MediaError where the frame cannot be read."""
        return self.frame.read()

    @cached_property
    def small(self) -> Pixels:
        """The frame at 160 x 90 in grey, blurred, whatever its shape."""
        grey = cv2.cvtColor(
            cv2.resize(self.pixels, SMALL_WH, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
        )
        return np.asarray(cv2.GaussianBlur(grey, (3, 3), 0), dtype=np.uint8)

    @cached_property
    def tiny(self) -> NDArray[np.float32]:
        """The frame at 32 x 18 in colour, float32."""
        return cv2.resize(self.pixels, TINY_WH, interpolation=cv2.INTER_AREA).astype(np.float32)


class Rule(Protocol):
    """Says why a frame is worth keeping."""

    name: str

    def begin(self) -> None:
        """A new source starts: forget the last one's frames."""

    def why(self, look: Look) -> str | None:
        """A reason in a few words, or None; called once for every frame, in order."""

    def kept(self, look: Look) -> None:
        """The frame was kept, for whatever reason."""


class Every:
    """One frame in so many, or one in so many seconds; the first of each video too.

    Pictures are counted over all of them, since each is a source of its own.

    Args:
        frames: one in so many; or
        seconds: one in so many seconds, by the frames' own times.

    Raises:
        UsageError: not exactly one is given, or it is not positive.
    """

    name = "every"

    def __init__(self, frames: int = 0, seconds: float = 0.0) -> None:
        if (frames > 0) == (seconds > 0) or min(frames, seconds) < 0:
            raise UsageError(f"every {frames} frames and {seconds} s: name one of the two, above 0")
        self._frames, self._seconds = frames, seconds
        self._pictures = 0
        self._next_s: float | None = None

    def begin(self) -> None:
        """A new source starts."""
        self._next_s = None

    def why(self, look: Look) -> str | None:
        """One in so many."""
        frame = look.frame
        if frame.index < 0:
            self._pictures += 1
            return self.name if self._frames and (self._pictures - 1) % self._frames == 0 else None
        if self._frames:
            return self.name if frame.index % self._frames == 0 else None
        if frame.time_s is None:
            return None
        if (
            self._next_s is None
            or frame.time_s >= self._next_s - 1e-6
            or frame.time_s < self._next_s - 2 * self._seconds
        ):
            self._next_s = frame.time_s + self._seconds
            return self.name
        return None

    def kept(self, look: Look) -> None:
        """Of no interest: what other rules keep does not move this one's beat."""


class Motion:
    """Frames that differ from the last one kept (at first: from the first one seen).

    Args:
        share: least share of the picture, 0..1, whose grey level changed by more than `MOVED_LEVELS`.
    """

    name = "motion"

    def __init__(self, share: float = 0.01) -> None:
        if not 0 < share < 1:
            raise UsageError(f"a share of {share} of the picture; it lies between 0 and 1")
        self._share = share
        self._last: Pixels | None = None

    def begin(self) -> None:
        """A new source starts."""
        self._last = None

    def why(self, look: Look) -> str | None:
        """Enough of the picture moved."""
        if self._last is None:
            self._last = look.small
            return None
        moved = float((cv2.absdiff(look.small, self._last) > MOVED_LEVELS).mean())
        return self.name if moved >= self._share else None

    def kept(self, look: Look) -> None:
        """The next frames are held against this one."""
        self._last = look.small


class Scenes:
    """The first frame of every scene: the picture changed at once, by much more than it usually does."""

    name = "scene"

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._usual: deque[float] = deque(maxlen=USUAL_FRAMES)

    def begin(self) -> None:
        """A new source starts, and with it a scene."""
        self._last = None
        self._usual.clear()

    def why(self, look: Look) -> str | None:
        """A cut, or the start of the source."""
        last, self._last = self._last, look.tiny
        if last is None:
            return self.name
        change = float(np.abs(look.tiny - last).mean())
        usual = median(self._usual) if self._usual else 0.0
        self._usual.append(change)
        return self.name if change > max(CUT_LEVELS, CUT_TIMES_USUAL * usual) else None

    def kept(self, look: Look) -> None:
        """Of no interest."""


class Unsure:
    """Frames about which a model is in doubt; its answers are kept as guesses for the annotator.

    Args:
        predictor: of a model with one input, of a task that scores its answers.
        least: doubt from which on a frame is kept, 0..1; see `doubt`.

    Raises:
        UsageError: no task of the model scores its answers.
    """

    name = "unsure"

    def __init__(self, predictor: AnyPredictor, least: float = 0.5) -> None:
        if not set(predictor.signature.tasks) & SCORED:
            raise UsageError(
                f"a model of {', '.join(predictor.signature.tasks)} gives no scores to doubt",
                remedy=f"it takes one of {', '.join(sorted(SCORED))}",
            )
        self._thresholds = dict(predictor.signature.thresholds)
        self._predictor = _keeping_doubtful(predictor)
        self._input = next(iter(predictor.signature.inputs))
        self._least = least
        self._stream: Any = None
        self.results: Mapping[str, Result] = {}

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The package's own, by task."""
        return self._thresholds

    def begin(self) -> None:
        """A new source has no past."""
        self._stream = self._predictor.open_stream()

    def why(self, look: Look) -> str | None:
        """The model doubts."""
        if self._stream is None or look.frame.index < 0:
            self.begin()
        self.results = self._stream.push({self._input: look.pixels})
        return self.name if doubt(self.results, self._thresholds) >= self._least else None

    def kept(self, look: Look) -> None:
        """Of no interest."""


SCORED = frozenset({"classify", "detect", "instances", "locate"})


def _keeping_doubtful(predictor: AnyPredictor) -> AnyPredictor:
    """The same model keeping rows from half its threshold on: what it nearly said counts too."""
    if not isinstance(predictor, Predictor):
        return predictor
    own = predictor.signature.thresholds
    return predictor.with_thresholds({t: v / 2 if t in RANKED else v for t, v in own.items()})


def doubt(results: Mapping[str, Result], thresholds: Mapping[str, float]) -> float:
    """How unsure a model is of its most doubtful answer, 0..1.

    A score at its threshold is all doubt, 1; at 0 or at 1 none; linear between. Of a classifier it is one
    less the margin between its best two classes (margin sampling; Scheffer, Decomain and Wrobel, 2001).
    """
    found = [0.0]
    for task, result in results.items():
        if isinstance(result, ClassScores):
            best = np.sort(result.scores)[::-1]
            found.append(1 - float(best[0] - best[1]) if len(best) > 1 else _closeness(best, IN_SIGHT))
        elif isinstance(result, Detections | Instances):
            found.append(_closeness(result.scores, thresholds.get(task, IN_SIGHT)))
        elif isinstance(result, Points):
            found.append(_closeness(result.visible, result.threshold))
    return max(found)


def _closeness(scores: NDArray[np.float32], threshold: float) -> float:
    if not scores.size:
        return 0.0
    below = scores / max(threshold, 1e-6)
    above = (1 - scores) / max(1 - threshold, 1e-6)
    return float(np.clip(np.minimum(below, above), 0, 1).max())
