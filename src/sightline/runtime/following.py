"""`track`, the default mode: fine where a motion model expects the object, coarse where that fails."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from sightline.runtime.locating import XY, Coarse, Fine, Outcome, Plan, Seen, View


@dataclass(frozen=True, slots=True)
class Motion:
    """Where something is and how it moves, in pixels and pixels a frame."""

    xy: XY
    velocity: XY = (0.0, 0.0)

    def after(self, frames: int, drag: float, fall: float) -> Motion:
        """Some frames later: quadratic drag takes `drag` x speed of the velocity each frame, weight adds
        `fall` downwards (Euler steps of dv/dt = -drag |v| v + fall).
        """
        (x, y), (vx, vy) = self.xy, self.velocity
        for _ in range(frames):
            # The implicit step: it never turns the velocity around, however fast.
            kept = 1.0 / (1.0 + drag * math.hypot(vx, vy))
            vx, vy = vx * kept, vy * kept + fall
            x, y = x + vx, y + vy
        return Motion((x, y), (vx, vy))

    def corrected(self, seen: XY, frames: int, gain: float) -> Motion:
        """Brought to where the thing was seen, `frames` after the last time (an alpha-beta filter whose
        alpha is 1: the fine stage is sharper than any prediction).
        """
        share = gain / frames
        vx = self.velocity[0] + share * (seen[0] - self.xy[0])
        vy = self.velocity[1] + share * (seen[1] - self.xy[1])
        return Motion(seen, (vx, vy))


@dataclass(frozen=True, slots=True)
class Followed:
    """What `Track` remembers.

    Attributes:
        view: of pictures and stages.
        motion: as of the frame it was last seen in; None while it is lost.
        age: frames since then.
        speed_known: whether it was seen twice, so that its velocity means something.
        frame: index of the last frame known, -1 before the first.
        rest: where it was last surely seen, and may still lie; None before that.
        doubted: whether the last answer was not where the motion led, and no coarse stage had looked.
    """

    view: View
    motion: Motion | None = None
    age: int = 0
    speed_known: bool = False
    frame: int = -1
    rest: XY | None = None
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Track:
    """Fine where the object is expected, coarse only where that fails.

    While it is followed, one fine window a frame is read at the predicted place. An answer near the edge
    of the window is read again about itself. Where the fine stage sees nothing, the coarse one looks over
    the whole frame, and the fine one confirms. After `patience` frames without it, it is lost: then only
    every `lost_every`-th frame is looked at, coarse; where that finds nothing, now and then the fine stage
    looks where the object was last surely seen, since what has come to rest is still there. Every
    `check_every` frames, and after an answer that was not where the motion led, the coarse stage looks all
    the same; where it and the fine stage disagree the better score wins, so that nothing false is followed
    for long.

    Attributes:
        lag: frames planned at once: 2 lets two run side by side, each planned from the last but one.
        drag: share of the velocity that drag takes in a frame, for each pixel a frame of it.
        fall: pixels a frame that weight adds to the velocity in each frame.
        gain: how far one answer corrects the velocity, 0..1.
        edge: share of the window's half that must lie between an answer and the window's edge.
        patience: frames for which it is still expected where it was heading.
        lost_every: while it is lost, frames from one look to the next.
        doubt_every: while it is expected but not seen, frames from one coarse look to the next.
        check_every: frames between two checks by the coarse stage while it is followed; 0 for none.
        coarse_least: score from which on a coarse answer is worth a fine window; low, since the fine
            stage decides.
        rest_every: while it is lost, looks from one at its last sure place to the next; 0 for none.
        sure: score from which on a place is such a one.
        doubt: share of the window's half that an answer may lie off the motion before it is checked; 0 for
            no such checks.
    """

    lag: int = 2
    drag: float = 0.002
    fall: float = 0.2
    gain: float = 0.8
    edge: float = 0.15
    patience: int = 4
    lost_every: int = 2
    doubt_every: int = 1
    check_every: int = 60
    coarse_least: float = 0.3
    rest_every: int = 2
    sure: float = 0.7
    doubt: float = 0.25

    def start(self, view: View) -> Followed:
        """Lost."""
        return Followed(view)

    def plan(self, state: Followed, ahead: int) -> Plan:
        """Fine where it is expected; coarse where it is not, or is not found."""
        frame = state.frame + ahead
        if state.motion is None:
            if frame % self.lost_every:
                return Outcome(Seen(_middle(state.view), 0.0))
            return (yield from self._look(state, frame // self.lost_every))
        centre = state.motion.after(state.age + ahead, self.drag, self.fall).xy
        centre = _inside(centre, state.view)
        (seen,) = yield Fine((centre,))
        outcome = Outcome(seen, fine=1)
        if seen.score >= state.view.least and not self._well_inside(seen.xy, centre, state.view):
            (seen,) = yield Fine((_inside(seen.xy, state.view),))
            outcome = Outcome(seen, fine=2)
        checked = state.doubted or (self.check_every and frame % self.check_every == 0)
        if seen.score >= state.view.least and not checked:
            return outcome
        if seen.score < state.view.least and frame % self.doubt_every:
            return outcome
        return (yield from self._search(state.view, outcome))

    def after(self, state: Followed, outcome: Outcome) -> Followed:
        """Move on by one frame."""
        frame, age = state.frame + 1, state.age + 1
        if outcome.seen.score < state.view.least:
            lost = state.motion is None or age > self.patience
            motion = None if lost else state.motion
            return replace(state, frame=frame, age=age, motion=motion, doubted=False)
        rest = outcome.seen.xy if outcome.seen.score >= self.sure else state.rest
        fresh = Followed(state.view, Motion(outcome.seen.xy), 0, False, frame, rest)
        if state.motion is None:
            return fresh
        expected = state.motion.after(age, self.drag, self.fall)
        half = min(state.view.window_wh) / 2
        away = math.dist(expected.xy, outcome.seen.xy)
        known = state.speed_known or away > half
        doubted = bool(self.doubt) and known and away > self.doubt * half and not outcome.calibrated
        if away > half:
            # Hit, or another thing: how it moved before says nothing any more.
            return replace(fresh, doubted=doubted)
        gain = self.gain if state.speed_known else 1.0
        motion = expected.corrected(outcome.seen.xy, age, gain)
        return replace(fresh, motion=motion, speed_known=True, doubted=doubted)

    def _look(self, state: Followed, look: int) -> Plan:
        """Coarse for what is lost, and where that is silent fine at its last sure place on some looks."""
        out = yield from self._search(state.view, Outcome(Seen(_middle(state.view), 0.0)))
        if out.seen.score >= state.view.least or state.rest is None:
            return out
        if not self.rest_every or look % self.rest_every:
            return out
        (seen,) = yield Fine((state.rest,))
        out = replace(out, fine=out.fine + 1)
        return replace(out, seen=seen) if seen.score > out.seen.score else out

    def _search(self, view: View, so_far: Outcome) -> Plan:
        """Coarse, and fine where it saw something that is not what the fine stage has already."""
        (found,) = yield Coarse()
        out = replace(so_far, coarse=1, calibrated=True)
        near = math.dist(found.xy, out.seen.xy) <= min(view.window_wh) / 8
        if found.score < self.coarse_least or (near and out.seen.score >= view.least):
            return out
        (seen,) = yield Fine((found.xy,))
        out = replace(out, fine=out.fine + 1)
        return replace(out, seen=seen) if seen.score > out.seen.score else out

    def _well_inside(self, xy: XY, centre: XY, view: View) -> bool:
        return all(
            abs(a - c) <= side / 2 * (1 - self.edge)
            for a, c, side in zip(xy, centre, view.window_wh, strict=True)
        )


def _inside(xy: XY, view: View) -> XY:
    """The nearest place within the picture; what flies out is expected at its edge."""
    return min(max(xy[0], 0.0), float(view.size_wh[0])), min(max(xy[1], 0.0), float(view.size_wh[1]))


def _middle(view: View) -> XY:
    return view.size_wh[0] / 2, view.size_wh[1] / 2
