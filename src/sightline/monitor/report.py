"""`DriftReport`: whether a window of pictures is still like the validation set, and what moved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sightline.core.files import write_json

Measure = Literal["KS", "PSI", "MMD"]


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One statistic of a window against the reference.

    Attributes:
        statistic: `brightness`, `sharpness`, `score`, `box_size`, `objects`, `classes` or `embedding`.
        measure: KS (greatest distance of the two distribution functions, 0..1), PSI (population stability
            index, from 0) or MMD (maximum mean discrepancy, from 0).
        size: value of that measure.
        limit: the size from which on this statistic would have been called drifted.
        p: adjusted for all statistics looked at together: drifted at half the report's `alpha` and below.
        drifted: whether it is.
        was: the reference's mean (of `classes` and `embedding`: none).
        now: the window's mean.
        sentence: what moved, in words; empty where nothing did.
    """

    statistic: str
    measure: Measure
    size: float
    limit: float
    p: float
    drifted: bool
    was: float | None = None
    now: float | None = None
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram of the reference and of the window over the same bins, as shares that sum to 1.

    Attributes:
        statistic: which.
        edges: bin edges, one more than bins; empty for classes, whose bins are `names`.
        names: of the bins, where they are classes.
        was: shares of the reference.
        now: shares of the window.
    """

    statistic: str
    edges: tuple[float, ...]
    names: tuple[str, ...]
    was: tuple[float, ...]
    now: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class DriftReport:
    """A window of pictures compared with a package's reference.

    Attributes:
        package: name and version.
        source: what was looked at.
        pictures: of the window.
        reference_pictures: of the reference's sample.
        alpha: the stated false-alarm rate: the chance that a window from the same world is called drifted.
        rows: a statistic each, the strongest first.
        distributions: for drawing.
        notes: what limits the comparison: a small reference, statistics that could not be taken.
    """

    package: str
    source: str
    pictures: int
    reference_pictures: int
    alpha: float
    rows: tuple[DriftRow, ...]
    distributions: tuple[Distribution, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether any statistic drifted."""
        return any(row.drifted for row in self.rows)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What moved, in words; empty where nothing did."""
        return tuple(row.sentence for row in self.rows if row.drifted and row.sentence)

    def row(self, statistic: str) -> DriftRow:
        """The row of one statistic; raises KeyError where it was not taken."""
        for row in self.rows:
            if row.statistic == statistic:
                return row
        raise KeyError(statistic)

    def to_json(self) -> dict[str, Any]:
        """Plain values, `drifted` and `sentences` among them."""
        return {"drifted": self.drifted, "sentences": list(self.sentences), **asdict(self)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> DriftReport:
        """Read what `to_json` wrote."""
        kept = {k: v for k, v in value.items() if k not in ("drifted", "sentences")}
        listed = ("edges", "names", "was", "now")
        distributions = tuple(
            Distribution(d["statistic"], *(tuple(d[name]) for name in listed)) for d in value["distributions"]
        )
        rows = tuple(DriftRow(**row) for row in value["rows"])
        return cls(**{**kept, "rows": rows, "distributions": distributions, "notes": tuple(value["notes"])})

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        write_json(path, self.to_json())
