"""Champion and challenger on the same held-out records: what moved, and by how much for sure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sightline.core.errors import DatasetError
from sightline.core.predictor import AnyPredictor
from sightline.evaluate.bootstrap import FEW_GROUPS
from sightline.evaluate.evaluation import scored
from sightline.evaluate.metrics import MEASURES
from sightline.evaluate.scores import Scores, compare

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset

ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One figure on one held-out set.

    Attributes:
        held_out: name of the set.
        metric: `task.metric`.
        champion: figure of what is in use.
        challenger: figure of what would take its place.
        difference: challenger minus champion.
        low: lower end of the 95% interval of the difference (paired bootstrap over groups).
        high: upper end.
        p: two-sided, of no difference.
        better: 1 where the challenger is better by what counts and the interval excludes 0, -1 where it is
            worse, else 0.
    """

    held_out: str
    metric: str
    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    p: float
    better: int

    def __str__(self) -> str:
        word = {1: "better", -1: "worse", 0: "not surely different"}[self.better]
        return (
            f"{self.held_out} held-out set: {self.metric} "
            f"{self.champion:.4g} -> {self.challenger:.4g}, {word} "
            f"(difference {self.difference:+.4g}, 95% interval {self.low:+.4g} to {self.high:+.4g})"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two predictors on some held-out sets.

    Attributes:
        rows: a figure on a set each.
        samples: of each set that hold truth.
        groups: of each set.
        lost: figures the champion has on a set and the challenger has not, as `SET: METRIC`.
        notes: what limits the comparison.
    """

    rows: tuple[Row, ...]
    samples: dict[str, int]
    groups: dict[str, int]
    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def worse(self) -> tuple[Row, ...]:
        """Where the challenger is significantly worse."""
        return tuple(row for row in self.rows if row.better < 0)

    @property
    def better(self) -> tuple[Row, ...]:
        """Where it is significantly better."""
        return tuple(row for row in self.rows if row.better > 0)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "samples": self.samples,
            "groups": self.groups,
            "lost": list(self.lost),
            "notes": list(self.notes),
            "rows": [asdict(row) for row in self.rows],
        }


def compare_on(
    champion: AnyPredictor,
    challenger: AnyPredictor,
    dataset: Dataset,
    sets: Mapping[str, Sequence[str]],
    metrics: Sequence[str] = (),
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    least: float = 0.0,
    films: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Score both on each set and compare them pair by pair.

    Args:
        champion: what is in use.
        challenger: what would take its place.
        dataset: holds the truth.
        sets: ids of held-out records by the name of the set; empty ones are told and left out.
        metrics: to compare beside the headline ones.
        rounds: bootstrap resamples of whole groups.
        seed: of the resamples.
        least: a difference up to this counts for nothing, however sure it is.
        films: whether whole films run through the predictors' streams.
        progress: called with what is done, samples done and in all.

    Raises:
        DatasetError: no set holds a record.
    """
    if not any(sets.values()):
        raise DatasetError("no record is held out to compare on", where=dataset.root)
    rows: list[Row] = []
    lost: list[str] = []
    samples: dict[str, int] = {}
    groups: dict[str, int] = {}
    notes = []
    for name, ids in sets.items():
        if not ids:
            notes.append(f"the {name} held-out set is empty: nothing is known of it")
            continue
        was, now = (
            scored(predictor, dataset, ids, films=films, progress=_counting(progress, f"{who} on {name}"))
            for who, predictor in (("champion", champion), ("challenger", challenger))
        )
        found, gone = _rows(name, was, now, metrics, rounds, seed, least)
        rows, lost = rows + found, lost + gone
        samples[name] = max(len(ids) for ids in was.ids.values())
        groups[name] = max(len(set(names)) for names in was.groups.values())
        if groups[name] < FEW_GROUPS:
            notes.append(
                f"the {name} held-out set has {groups[name]} groups: "
                f"with under {FEW_GROUPS} a loss may go unseen"
            )
    return Comparison(tuple(rows), samples, groups, tuple(lost), tuple(notes))


def _rows(
    name: str, was: Scores, now: Scores, metrics: Sequence[str], rounds: int, seed: int, least: float
) -> tuple[list[Row], list[str]]:
    """The figures of one set, and those that only the champion has."""
    old, new = was.values(), now.values()
    wanted = [m for m in old if m in metrics or (m in MEASURES and MEASURES[m].headline)]
    gaps = compare(now, was, rounds, seed)
    rows = []
    for m in wanted:
        gap = gaps.get(m)
        if m in new and gap is not None:
            better = gap.better if abs(gap.value) > least else 0
            rows.append(Row(name, m, old[m], new[m], gap.value, gap.low, gap.high, gap.p, better))
    return rows, [f"{name}: {m}" for m in wanted if m not in new]


def _counting(
    progress: Callable[[str, int, int], None] | None, what: str
) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(what, done, total)
