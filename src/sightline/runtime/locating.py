"""Which stage of a coarse-to-fine locator runs where: modes as pure functions of what was seen.

A mode plans one frame as a generator: it asks for a stage, is sent what that stage saw, and returns an
`Outcome`. What it remembers between frames is a value (`start`, `after`), so that a plan depends on
nothing else: the same answers give the same questions, at any speed and on any number of threads.
`coarse_to_fine` runs the stages; tests play them from a script.

Points are (x, y) in source pixels. `ahead` is how many frames lie between the last one a state knows and
the one that is planned, 1 when it is the next: a mode with `lag` 2 plans two frames at once.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeAlias

from sightline.core.errors import PackageError

XY = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one stage saw: a point, and the probability that it is in sight."""

    xy: XY
    score: float


@dataclass(frozen=True, slots=True)
class Coarse:
    """Ask the coarse stage about the whole frame; one `Seen` is sent back."""


@dataclass(frozen=True, slots=True)
class Fine:
    """Ask the fine stage about windows; a `Seen` for each centre is sent back.

    With `vote` every fine model is asked: centre by centre, a `Seen` for each model.
    """

    centres: tuple[XY, ...]
    vote: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer for one frame, and what it took.

    Attributes:
        seen: the answer; `score` says whether it is in sight.
        coarse: runs of the coarse stage.
        fine: windows given to a fine stage.
        calibrated: whether the mode found the object anew, with the coarse stage.
        withdrawn: how many answers, this one and those before it, are taken back: they were no object.
    """

    seen: Seen
    coarse: int = 0
    fine: int = 0
    calibrated: bool = False
    withdrawn: int = 0


Seens: TypeAlias = tuple[Seen, ...]
Plan: TypeAlias = Generator[Coarse | Fine, Seens, Outcome]


@dataclass(frozen=True, slots=True)
class View:
    """What a mode must know of the pictures and the stages.

    Attributes:
        size_wh: of the pictures.
        window_wh: of the fine stage's window.
        least: probability from which on a point counts as in sight.
    """

    size_wh: tuple[int, int]
    window_wh: tuple[int, int]
    least: float = 0.5


class Mode(Protocol):
    """How frames are planned; settings in, no state of its own."""

    @property
    def lag(self) -> int:
        """How many frames may be planned at once."""

    def start(self, view: View) -> Any:
        """The state before the first frame."""

    def plan(self, state: Any, ahead: int) -> Plan:
        """Ask for stages until the frame `ahead` of the state is answered."""

    def after(self, state: Any, outcome: Outcome) -> Any:
        """The state once the next frame's outcome is known; outcomes come in order."""


@dataclass(frozen=True, slots=True)
class Past:
    """The last outcomes, oldest first, and how long ago a calibration was."""

    view: View
    outcomes: tuple[Outcome, ...] = ()
    uncalibrated: int = 0

    def visible(self, outcome: Outcome) -> bool:
        """Whether an outcome counts as in sight."""
        return outcome.seen.score >= self.view.least

    def then(self, outcome: Outcome, keep: int) -> Past:
        """One frame later."""
        since = 0 if outcome.calibrated else self.uncalibrated + 1
        return replace(self, outcomes=(*self.outcomes, outcome)[-keep:], uncalibrated=since)


@dataclass(frozen=True, slots=True)
class Each:
    """Coarse, then fine at its place, on every frame alone: the slowest mode, the reference for accuracy."""

    lag: int = 2

    def start(self, view: View) -> Past:
        """Nothing is remembered."""
        return Past(view)

    def plan(self, state: Past, ahead: int) -> Plan:
        """Coarse, then fine."""
        (found,) = yield Coarse()
        (seen,) = yield Fine((found.xy,))
        return Outcome(seen, coarse=1, fine=1, calibrated=True)

    def after(self, state: Past, outcome: Outcome) -> Past:
        """Nothing is remembered."""
        return state


@dataclass(frozen=True, slots=True)
class Calibration:
    """Coarse, then fine at three corners around its place, on every frame; the fine models vote.

    Attributes:
        radius: of the circle through the corners, over the picture's sides.
    """

    radius: float = 0.06
    lag: int = 2

    def start(self, view: View) -> Past:
        """Only the view is remembered."""
        return Past(view)

    def plan(self, state: Past, ahead: int) -> Plan:
        """Calibrate."""
        return (yield from calibrate(state.view, self.radius))

    def after(self, state: Past, outcome: Outcome) -> Past:
        """Nothing is remembered."""
        return state


@dataclass(frozen=True, slots=True)
class Fast:
    """Fine only, about the last point; a calibration every `every` frames.

    Attributes:
        every: frames from one calibration to the next.
        radius: see `Calibration`.
    """

    every: int = 8
    radius: float = 0.06

    @property
    def lag(self) -> int:
        """A frame is planned from the one before it."""
        return 1

    def start(self, view: View) -> Past:
        """Before the first frame."""
        return Past(view)

    def plan(self, state: Past, ahead: int) -> Plan:
        """Fine at the last point, or a calibration where one is due."""
        if not state.outcomes or state.uncalibrated + 1 >= self.every:
            return (yield from calibrate(state.view, self.radius))
        (seen,) = yield Fine((state.outcomes[-1].seen.xy,))
        return Outcome(seen, fine=1)

    def after(self, state: Past, outcome: Outcome) -> Past:
        """Remember the last point."""
        return state.then(outcome, 1)


@dataclass(frozen=True, slots=True)
class Smart:
    """As `Fast`, and a calibration of the frame whose fine answer looks wrong.

    That is: newly invisible, `invisible` frames so in a row, a jump of `jump` or more, or a turn of
    `angle` degrees or more between two steps. `most` calibrations that such doubt caused within `within`
    frames withdraw those frames' answers.

    Attributes:
        every: frames from one calibration to the next at most.
        radius: see `Calibration`.
        invisible: frames in a row without the object after which it is looked for anew, and again.
        jump: distance between two points, over the picture's sides.
        angle: degrees.
        most: calibrations within `within` frames that mean nothing can be trusted.
        within: frames.
    """

    every: int = 8
    radius: float = 0.06
    invisible: int = 4
    jump: float = 0.03
    angle: float = 15.0
    most: int = 4
    within: int = 6

    @property
    def lag(self) -> int:
        """A frame is planned from the one before it."""
        return 1

    def start(self, view: View) -> Past:
        """Before the first frame."""
        return Past(view)

    def plan(self, state: Past, ahead: int) -> Plan:
        """Fine at the last point; a calibration where one is due or that answer looks wrong."""
        if not state.outcomes or state.uncalibrated + 1 >= self.every:
            return self._held(state, (yield from calibrate(state.view, self.radius)))
        (seen,) = yield Fine((state.outcomes[-1].seen.xy,))
        if not self.doubts(state, Outcome(seen)):
            return Outcome(seen, fine=1)
        found = yield from calibrate(state.view, self.radius)
        return self._held(state, replace(found, fine=found.fine + 1))

    def doubts(self, state: Past, now: Outcome) -> bool:
        """Whether a fine answer calls for a calibration."""
        run = [*state.outcomes, now]
        if not state.visible(now):
            if state.visible(run[-2]):
                return True
            last = run[-self.invisible :]
            return len(last) == self.invisible and not any(map(state.visible, last))
        if not state.visible(run[-2]):
            return False
        size_wh = state.view.size_wh
        step = _step(run[-2].seen.xy, now.seen.xy, size_wh)
        if math.hypot(*step) >= self.jump:
            return True
        if len(run) < 3 or not state.visible(run[-3]):
            return False
        return turn_degrees(_step(run[-3].seen.xy, run[-2].seen.xy, size_wh), step) >= self.angle

    def after(self, state: Past, outcome: Outcome) -> Past:
        """Remember as many frames as any rule looks back to."""
        return state.then(outcome, max(self.within - 1, self.invisible, 3))

    def _held(self, state: Past, outcome: Outcome) -> Outcome:
        """An outcome that withdraws the last frames where calibrations come too often."""
        recent = [*state.outcomes, outcome][-self.within :]
        if sum(past.calibrated for past in recent) < self.most:
            return outcome
        return replace(outcome, withdrawn=len(recent))


def calibrate(view: View, radius: float) -> Plan:
    """Coarse, then fine at three corners of a triangle about its place, in the votes of all fine models.

    In sight where more than half of the votes say so: then the score is those votes' mean, and the point
    is their median, which one corner that saw something else does not move far.
    """
    (found,) = yield Coarse()
    votes = yield Fine(corners(found.xy, radius, view.size_wh), vote=True)
    for_it = [vote for vote in votes if vote.score >= view.least]
    if 2 * len(for_it) <= len(votes):
        against = [vote.score for vote in votes if vote.score < view.least]
        score = sum(against) / len(against)
        return Outcome(Seen(found.xy, score), coarse=1, fine=len(votes), calibrated=True)
    xy = (_median([vote.xy[0] for vote in for_it]), _median([vote.xy[1] for vote in for_it]))
    score = sum(vote.score for vote in for_it) / len(for_it)
    return Outcome(Seen(xy, score), coarse=1, fine=len(votes), calibrated=True)


def corners(xy: XY, radius: float, size_wh: tuple[int, int]) -> tuple[XY, XY, XY]:
    """Corners of a triangle about a point; the circle through them has `radius` over the picture's sides."""
    a, b, c = (
        (
            xy[0] + radius * size_wh[0] * math.cos(math.radians(degrees)),
            xy[1] + radius * size_wh[1] * math.sin(math.radians(degrees)),
        )
        for degrees in (90, 210, 330)
    )
    return a, b, c


def turn_degrees(before: XY, now: XY) -> float:
    """Angle in [0, 180] between two steps; 0 where one of them is no step."""
    if not (any(before) and any(now)):
        return 0.0
    cross = before[0] * now[1] - before[1] * now[0]
    dot = before[0] * now[0] + before[1] * now[1]
    return abs(math.degrees(math.atan2(cross, dot)))


def settings_of(kind: type[Any], settings: dict[str, Any], *, where: object = "pipeline") -> Any:
    """A mode from the settings of a manifest.

    Raises:
        PackageError: a setting it does not have, or one that is no number.
    """
    known = {field.name for field in fields(kind)}
    for name, value in settings.items():
        if name not in known:
            raise PackageError(
                f"mode {kind.__name__.lower()} has no setting {name!r}",
                where=where,
                remedy=f"known: {', '.join(sorted(known)) or 'none'}",
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise PackageError(f"setting {name!r} must be a number, not {value!r}", where=where)
    return kind(**settings)


def _step(before: XY, now: XY, size_wh: tuple[int, int]) -> XY:
    """From one point to another, over the picture's sides."""
    return (now[0] - before[0]) / size_wh[0], (now[1] - before[1]) / size_wh[1]


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
