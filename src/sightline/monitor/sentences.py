"""What moved, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.monitor.report import DriftRow

Array = NDArray[Any]

CLASSES_NAMED = 3
# A class is named from so many standard deviations on.
FAR = 3.0
# Means closer than this share are called the same, and the spread is told instead.
SAME = 0.05

_FRACTIONS = {
    1 / 4: "a quarter",
    1 / 3: "a third",
    1 / 2: "half",
    2 / 3: "two thirds",
    3 / 4: "three quarters",
}


class Moved(Protocol):
    """What a sentence is made of; see `drift.Taken`."""

    @property
    def name(self) -> str:
        """Of the statistic."""

    @property
    def was(self) -> Array:
        """The reference's values or counts."""

    @property
    def now(self) -> Array:
        """The window's."""

    @property
    def deviations(self) -> Array | None:
        """Of classes: distance from usual, in standard deviations."""

    @property
    def means(self) -> tuple[float | None, float | None]:
        """Mean of the reference and of the window."""


def sentence(moved: Moved, classes: Sequence[str]) -> str:
    """One sentence on a statistic that drifted."""
    if moved.name == "classes":
        return class_shares(moved, classes)
    if moved.name == "embedding":
        return "pictures look different to the model: its features lie apart from the reference's"
    was, now = moved.means
    if was is None or now is None:
        return "" if moved.name == "box_size" else _begun_or_ended(now)
    return _WORDS[moved.name](was, now) or _spread(moved)


def told_once(rows: Sequence[DriftRow]) -> list[DriftRow]:
    """The rows without sentences that another one explains: less contrast weakens fine detail as much."""
    by = {row.statistic: row for row in rows if row.drifted}
    sharp, contrast = by.get("sharpness"), by.get("contrast")
    if sharp is None or contrast is None or None in (sharp.was, sharp.now, contrast.was, contrast.now):
        return list(rows)
    strength = float(np.exp(((sharp.now or 0) - (sharp.was or 0)) / 2))
    share = (contrast.now or 0) / max(contrast.was or 0, 1e-9)
    explained = share < 1 and 0.9 * share <= strength <= 1
    return [replace(row, sentence="") if row is sharp and explained else row for row in rows]


def _begun_or_ended(now: float | None) -> str:
    return "nothing is found any more" if now is None else "something is found where nothing was"


def _brightness(was: float, now: float) -> str:
    change = now / max(was, 1e-9) - 1
    if abs(change) < SAME:
        return ""
    word = "brighter" if change > 0 else "darker"
    return f"pictures are {abs(change):.0%} {word} (mean grey {now:.0f}, usually {was:.0f})"


def _contrast(was: float, now: float) -> str:
    change = now / max(was, 1e-9) - 1
    if abs(change) < SAME:
        return ""
    word = "higher" if change > 0 else "lower"
    return f"contrast is {abs(change):.0%} {word} (grey levels spread by {now:.0f}, usually {was:.0f})"


def _sharpness(was: float, now: float) -> str:
    # The logarithm of a variance: half of it is the logarithm of an amplitude.
    strength = float(np.exp((now - was) / 2))
    if abs(strength - 1) < SAME:
        return ""
    word = "sharper or noisier" if strength > 1 else "blurrier"
    return f"pictures are {word}: fine detail at {amount(strength)} its usual strength"


def _score(was: float, now: float) -> str:
    if abs(now - was) < 0.01:
        return ""
    return f"scores are {'higher' if now > was else 'lower'} ({now:.2f} on average, usually {was:.2f})"


def _box_size(was: float, now: float) -> str:
    change = now / max(was, 1e-9) - 1
    if abs(change) < SAME:
        return ""
    return f"objects are {abs(change):.0%} {'larger' if change > 0 else 'smaller'} in the picture"


def _objects(was: float, now: float) -> str:
    if abs(now - was) < 0.05 * max(was, 1e-9):
        return ""
    return f"{'more' if now > was else 'fewer'} objects in a picture ({now:.1f}, usually {was:.1f})"


def _spread(moved: Moved) -> str:
    """Means agree, the distributions do not."""
    if moved.name not in ("brightness", "contrast", "sharpness", "objects"):
        return f"{moved.name.replace('_', ' ')} is spread differently, around the same mean"
    low, high = (np.percentile(side, (10, 90)) for side in (moved.was, moved.now))
    return (
        f"{moved.name} is spread differently: most of it from {high[0]:.3g} to {high[1]:.3g}, "
        f"usually from {low[0]:.3g} to {low[1]:.3g}"
    )


def class_shares(moved: Moved, classes: Sequence[str]) -> str:
    """The classes that moved most, the furthest first."""
    if not moved.now.any():
        return ""
    was, now = (side / max(1, side.sum()) for side in (moved.was, moved.now))
    far = np.abs(moved.deviations) if moved.deviations is not None else np.abs(was - now)
    order = np.argsort(-far, kind="stable")
    named = [i for i in order[:CLASSES_NAMED] if far[i] >= FAR] or [order[0]]
    # Where one share goes, the others rise to fill it: what fell says more, unless nothing fell by much.
    fell = [i for i in named if now[i] < was[i] and ratio(now[i], was[i]) < 1 / (1 + SAME)]
    grew = [i for i in named if now[i] > was[i] and ratio(now[i], was[i]) > 1.25]
    kept = [*fell, *grew] or named
    return "; ".join(_class(classes[i], was[i], now[i]) for i in kept)


def ratio(now: float, was: float) -> float:
    """How many times the usual share."""
    return now / was if was > 0 else float("inf")


def _class(name: str, was: float, now: float) -> str:
    if now == 0:
        return f"class {name} is gone (usually {was:.1%} of all)"
    if was == 0:
        return f"class {name} is new ({now:.1%} of all)"
    return f"class {name} at {amount(ratio(now, was))} its usual share ({now:.1%}, usually {was:.1%})"


def amount(factor: float) -> str:
    """A factor in words that fit before 'its usual share'."""
    for value, word in _FRACTIONS.items():
        if abs(factor / value - 1) < 0.08:
            return word + (" of" if word != "half" else "")
    if factor >= 1.5:
        return f"{factor:.1f} times"
    return f"{factor:.0%} of"


_WORDS = {
    "brightness": _brightness,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "score": _score,
    "box_size": _box_size,
    "objects": _objects,
}
