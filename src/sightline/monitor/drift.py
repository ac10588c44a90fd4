"""Whether a window of pictures comes from the same world as a package's reference: a permutation test over
every statistic at once.

Were the window from the reference's world, its pictures could be exchanged with the reference's. So the two
are pooled and divided anew, again and again, and each division is measured as the real one was. That a
window from the same world is called drifted has then at most the stated chance, whatever the distributions
and however few the pictures (Fisher 1935; Phipson and Smyth 2010 for the count). All statistics are held
to one limit, that of the largest of them (Westfall and Young 1993, max-T), so that looking at several
costs no extra alarms.

Measures: greatest distance of distribution functions (Kolmogorov 1933) for what has an order, population
stability index for classes, maximum mean discrepancy with a Gaussian kernel (Gretton et al. 2012) for
embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import PackageError, UsageError
from sightline.core.manifest import Manifest
from sightline.core.observation import EDGES, POOLED, SCALARS, Moments, Sample
from sightline.core.reference import moments_of
from sightline.monitor.report import Distribution, DriftReport, DriftRow, Measure
from sightline.monitor.sentences import sentence, told_once

Array = NDArray[Any]

ALPHA = 0.01
ROUNDS = 999
# A window is flagged at half the stated rate: the test is exact, so at the full rate every second count of
# false alarms would lie above it. The rest is for a reference that its model's thresholds were chosen on.
MARGIN = 0.5
# Under these the test could say little: so many pictures must be in the reference, and in a window.
LEAST_REFERENCE = 30
LEAST_WINDOW = 20
# With fewer groups there are too few divisions to tell a rare one.
LEAST_GROUPS = 30


# Bins of a drawn distribution.
DRAWN = 24


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a package remembers of its validation set.

    Attributes:
        package: name and version.
        classes: names.
        sample: at most `core.reference.KEPT` of its pictures.
        moments: of the embedding, or None.
    """

    package: str
    classes: tuple[str, ...]
    sample: Sample
    moments: Moments | None

    @classmethod
    def of(cls, manifest: Manifest) -> Baseline:
        """The reference in a package's manifest.

        Raises:
            PackageError: it holds none, one that is broken, or one of too few pictures.
        """
        value, where = manifest.reference, f"{manifest.name} {manifest.version}"
        if "sample" not in value:
            raise PackageError(
                "holds no reference to measure drift against", where=where, remedy="export it again"
            )
        sample = Sample.from_json(value["sample"], where=where)
        if len(sample) < LEAST_REFERENCE:
            raise PackageError(
                f"its reference holds {len(sample)} pictures, drift needs {LEAST_REFERENCE}",
                where=where,
                remedy="export it with more held-out pictures",
            )
        return cls(where, tuple(value["classes"]), sample, moments_of(value))


def compare(
    baseline: Baseline,
    window: Sample,
    *,
    source: str = "",
    alpha: float = ALPHA,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> DriftReport:
    """Compare a window of pictures with a reference.

    Args:
        baseline: of the package.
        window: at least `LEAST_WINDOW` pictures, from `observation.stack`.
        source: what the report calls the window.
        alpha: the chance that a window from the same world is called drifted.
        rounds: divisions tried; with 999 the smallest p-value is 0.001.
        seed: of the divisions; one seed and window give one report.

    Raises:
        UsageError: the window is too small, or `rounds` too few for `alpha`.
    """
    if len(window) < LEAST_WINDOW:
        raise UsageError(
            f"{len(window)} pictures are too few to compare, it takes {LEAST_WINDOW}", where=source
        )
    level = MARGIN * alpha
    if level * (rounds + 1) < 1:
        raise UsageError(f"{rounds} rounds cannot show a rate of {alpha:g}")
    blocks, notes = _blocks(baseline.sample, window)
    inside = _divisions(blocks, len(window), rounds, np.random.default_rng(seed))
    share = inside / inside.sum(axis=1, keepdims=True)
    rest = (1 - inside) / (1 - inside).sum(axis=1, keepdims=True)
    taken, missing = _statistics(baseline.sample, window, share, rest)
    # Rounded, so that what is equal stays equal; what is the same in all pictures counts for nothing.
    values = np.stack([t.values for t in taken], axis=1).astype(np.float64).round(6)
    middle, spread = values.mean(axis=0), values.std(axis=0)
    scores = (values - middle) / np.where(spread > 1e-5, spread, np.inf)
    most = scores.max(axis=1)
    limit = np.sort(most)[::-1][int(level * (rounds + 1))]
    rows = []
    for index, (taken_one, score) in enumerate(zip(taken, scores[0], strict=True)):
        p = float((most >= score).mean())
        reach = float(middle[index] + limit * spread[index])
        rows.append((p, -float(score), _row(taken_one, p, reach, p <= level, baseline)))
    strongest = [row for _, _, row in sorted(rows, key=lambda r: r[:2])]
    return DriftReport(
        baseline.package,
        source,
        len(window),
        len(baseline.sample),
        alpha,
        tuple(told_once(strongest)),
        tuple(d for t in taken if (d := t.distribution(baseline.classes)) is not None),
        (*notes, *missing),
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """One statistic over every division.

    Attributes:
        name: of the statistic.
        measure: of its size.
        values: (rounds + 1,), the real division first; PSI and MMD under a root, which evens their tails.
        was: the reference's values or counts.
        now: the window's.
        deviations: of classes: each one's distance from usual in standard deviations (C,).
    """

    name: str
    measure: Measure
    values: Array
    was: Array
    now: Array
    deviations: Array | None = None

    @property
    def means(self) -> tuple[float | None, float | None]:
        """Mean of the reference and of the window."""
        if self.measure != "KS":
            return None, None
        if self.name in SCALARS:
            return float(self.was.mean()), float(self.now.mean())
        middles = (EDGES[self.name][1:] + EDGES[self.name][:-1]) / 2
        was, now = (float(middles @ c / c.sum()) if c.sum() else None for c in (self.was, self.now))
        return was, now

    def distribution(self, classes: tuple[str, ...]) -> Distribution | None:
        """Shares over bins, for drawing."""
        if self.measure == "MMD":
            return None
        edges, was, now = (), self.was, self.now
        if self.name in SCALARS:
            bins = _bins(np.concatenate([was, now]), whole=self.name == "objects")
            was, now = (np.histogram(side, bins)[0] for side in (was, now))
            edges = tuple(bins.round(4).tolist())
        elif self.measure == "KS":
            edges = tuple(EDGES[self.name].round(6).tolist())
        shares = [tuple((side / max(side.sum(), 1)).round(6).tolist()) for side in (was, now)]
        return Distribution(self.name, edges, classes if self.measure == "PSI" else (), *shares)


def _bins(values: Array, *, whole: bool) -> Array:
    """About `DRAWN` bins over what was seen; of whole numbers where the values are."""
    low, high = float(values.min()), float(values.max())
    if whole:
        step = max(1, int(np.ceil((high - low + 1) / DRAWN)))
        return np.arange(low, high + step + 1, step)
    return np.linspace(low, max(high, low + 1e-3), DRAWN + 1)


def _row(taken: Taken, p: float, reach: float, drifted: bool, baseline: Baseline) -> DriftRow:
    size = float(taken.values[0])
    if taken.measure == "PSI":
        size, reach = size**2, reach**2
    was, now = taken.means
    words = sentence(taken, baseline.classes) if drifted else ""
    return DriftRow(taken.name, taken.measure, size, reach, p, drifted, was, now, words)


def _blocks(reference: Sample, window: Sample) -> tuple[Array, list[str]]:
    """A number for each picture, reference first: pictures of one number are exchanged together.

    Pictures of one video or session are alike. Where the reference knows groups, whole groups are exchanged,
    and the window, whose own may be unknown, goes in runs of the same length.
    """
    n, size = len(reference), len(window)
    groups = len(np.unique(reference.group))
    if groups == n:
        return np.arange(n + size), []
    if groups < LEAST_GROUPS:
        note = f"the reference holds {groups} groups only: its pictures were taken as independent"
        return np.arange(n + size), [note]
    known = len(np.unique(window.group)) < size
    run = max(1, round(n / groups))
    own = window.group if known else np.arange(size) // run
    return np.concatenate([reference.group, reference.group.max() + 1 + own]), []


def _divisions(blocks: Array, size: int, rounds: int, random: np.random.Generator) -> Array:
    """Which pictures are in the window, (rounds + 1, N) of 0 and 1; the first is the real division."""
    n = len(blocks)
    inside = np.zeros((rounds + 1, n), np.float32)
    inside[0, n - size :] = 1
    numbers, index, counts = np.unique(blocks, return_inverse=True, return_counts=True)
    if len(numbers) == n:
        order = random.random((rounds, n)).argpartition(size, axis=1)[:, :size]
        np.put_along_axis(inside[1:], order, 1, axis=1)
        return inside
    for row in inside[1:]:
        order = random.permutation(len(numbers))
        total = counts[order].cumsum()
        last = max(1, int(np.abs(total - size).argmin()) + 1)
        chosen = np.zeros(len(numbers), np.float32)
        chosen[order[:last]] = 1
        row[:] = chosen[index]
    return inside


def _statistics(
    reference: Sample, window: Sample, share: Array, rest: Array
) -> tuple[list[Taken], list[str]]:
    """Every statistic that both sides have, and notes on those that one has and the other has not."""
    taken, notes = [], []
    for column in fields(Sample):
        name = column.name
        was, now = getattr(reference, name), getattr(window, name)
        if name == "group" or not _known(was) or (was.ndim == 2 and not was.any()):
            continue
        if not _known(now):
            notes.append(f"{name} was not compared: the source does not give it")
            continue
        both = np.concatenate([was, now]).astype(np.float32)
        taken.append(_TAKE[name](name, both, was, now, share, rest))
    if not taken:
        raise UsageError("nothing that the reference knows can be seen in the source")
    return taken, notes


def _known(column: Array) -> bool:
    """Whether every picture of a column gives its value."""
    return bool(column.size) and not np.isnan(column).any()


def _ordered(name: str, both: Array, was: Array, now: Array, share: Array, rest: Array) -> Taken:
    """KS of one value a picture."""
    order = both.argsort(kind="stable")
    last = np.append(np.diff(both[order]) > 0, True)  # ties are one step
    steps = (share - rest)[:, order].cumsum(axis=1)[:, last]
    return Taken(name, "KS", np.abs(steps).max(axis=1), was, now)


def _pooled(name: str, both: Array, was: Array, now: Array, share: Array, rest: Array) -> Taken:
    """KS of values that pictures have several of, over their bins."""
    inside, outside = _shares(share @ both), _shares(rest @ both)
    values = np.abs((inside - outside).cumsum(axis=1)).max(axis=1)
    return Taken(name, "KS", values, was.sum(axis=0, dtype=np.int64), now.sum(axis=0, dtype=np.int64))


def _classes(name: str, both: Array, was: Array, now: Array, share: Array, rest: Array) -> Taken:
    """Root of PSI over the class shares; half a mark a class keeps an absent one finite."""
    sides = [_shares(side @ both * len(both) + 0.5) for side in (share, rest)]
    gap = sides[0] - sides[1]
    values = np.sqrt((gap * np.log(sides[0] / sides[1])).sum(axis=1))
    deviations = (gap[0] - gap.mean(axis=0)) / np.maximum(gap.std(axis=0), 1e-9)
    old, new = (side.sum(axis=0, dtype=np.int64) for side in (was, now))
    return Taken(name, "PSI", values, old, new, deviations)


def _embedding(name: str, both: Array, was: Array, now: Array, share: Array, rest: Array) -> Taken:
    """MMD; the kernel is as wide as the median distance."""
    squares = (both**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * both @ both.T, 0)
    width = float(np.median(distances[np.triu_indices(len(both), 1)])) or 1.0
    contrast = share - rest
    values = np.einsum("bi,bi->b", contrast @ np.exp(-distances / width), contrast)
    return Taken(name, "MMD", np.sqrt(np.maximum(values, 0)), was, now)


def _shares(counts: Array) -> Array:
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12))


_TAKE: Mapping[str, Any] = {
    **dict.fromkeys(SCALARS, _ordered),
    **dict.fromkeys(POOLED, _pooled),
    "classes": _classes,
    "embedding": _embedding,
}
