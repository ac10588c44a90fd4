"""Plays a mode of a coarse-to-fine locator on a scripted truth."""

from __future__ import annotations

from collections.abc import Callable

from sightline.runtime.locating import XY, Coarse, Fine, Mode, Outcome, Seen, View

VIEW = View((1000, 500), (224, 224))
NOWHERE = Seen((500.0, 250.0), 0.1)
Truth = Callable[[int], XY | None]


def play(mode: Mode, truth: Truth, frames: int, *, models: int = 1) -> tuple[list[Outcome], list[str]]:
    """Outcomes and, for each frame, what was asked: `c` coarse, `f` a fine window, `v` one that votes.

    The coarse stage sees the object wherever it is, the fine one within its window.
    """
    states = [mode.start(VIEW)]
    outcomes: list[Outcome] = []
    asked: list[str] = []
    for frame in range(frames):
        back = min(mode.lag, len(states))
        plan = mode.plan(states[-back], back)
        letters, reply = "", None
        try:
            ask = next(plan)
            while True:
                reply, letter = answer(ask, truth(frame), models)
                letters += letter
                ask = plan.send(reply)
        except StopIteration as end:
            outcomes.append(end.value)
        asked.append(letters)
        states.append(mode.after(states[-1], outcomes[-1]))
    return outcomes, asked


def answer(ask: Coarse | Fine, at: XY | None, models: int) -> tuple[tuple[Seen, ...], str]:
    if isinstance(ask, Coarse):
        return (NOWHERE if at is None else Seen(at, 0.8),), "c"
    seen: list[Seen] = []
    for centre in ask.centres:
        inside = at is not None and max(abs(at[0] - centre[0]), abs(at[1] - centre[1])) < 112
        found = Seen(at, 0.9) if inside and at is not None else Seen(centre, 0.05)
        seen += [found] * (models if ask.vote else 1)
    return tuple(seen), ("v" if ask.vote else "f") * len(ask.centres)


def straight(frame: int) -> XY:
    return 200.0 + 10 * frame, 250.0
