"""What a metric family is: it takes samples one by one, and answers with figures under any weighting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sightline.core.records import Record
from sightline.core.results import Result
from sightline.core.specs import Task

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Values = dict[str, F64]
ReadMap = Callable[[Record, str], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure a family gives, and how to read it.

    Attributes:
        name: without the task: `map50` of `detect.map50`.
        higher: true where more is better.
        text: what it is, one clause.
        unit: empty for a share, else `px`, `m`, `nats`.
        headline: whether it stands among the tiles and in the table of the command line.
    """

    name: str
    higher: bool
    text: str
    unit: str = ""
    headline: bool = False


class Family(ABC):
    """The metrics of one task.

    A family keeps for each sample the statistics its figures are made of, once. The figures of a resample are
    then a weighting of those statistics: nothing is predicted or matched again for the bootstrap.

    Args:
        classes: class names; truth and results index into them.
        thresholds: smallest score of an answer that counts, by task (the signature's).
        stuff: classes without instances (panoptic).
    """

    task: ClassVar[Task]
    measures: ClassVar[tuple[Measure, ...]]
    # The column of the class table that has intervals, and the per-class figure of `values` they come from.
    by_class: ClassVar[tuple[str, str] | None] = None

    def __init__(
        self, classes: Sequence[str], thresholds: Mapping[str, float] | None = None, stuff: Sequence[str] = ()
    ) -> None:
        self.classes = tuple(classes)
        self.thresholds = dict(thresholds or {})
        self.stuff = tuple(stuff)

    @abstractmethod
    def add(self, record: Record, result: Result, read_map: ReadMap) -> bool:
        """Take one sample. False: the record holds no truth for this task, and nothing was counted.

        Args:
            record: the truth; dense labels are read through `read_map(record, task)`.
            result: what the predictor answered, its classes already indexing `self.classes`.
            read_map: the dataset's reader of dense labels.
        """

    @abstractmethod
    def values(self, weights: F32 | None = None) -> Values:
        """Figures (R,) under each of R weightings; None is every sample once (R = 1).

        A figure that is not defined there (no object of that size) is NaN. Figures of each class have the
        shape (C, R) and names that are no measure's.

        Args:
            weights: (N, R) how often each of the N samples added counts, whole numbers from 0.
        """

    @abstractmethod
    def quality(self) -> F64:
        """How well each of the N samples did; higher is better, only the order means anything."""

    def caption(self, quality: float) -> str:
        """What is said of a sample of that quality under its picture."""
        return f"{quality:.2f}"

    def details(self) -> dict[str, Any]:
        """Plain values behind the figures for the report: tables, curves, matrices."""
        return {}

    def single(self) -> dict[str, float]:
        """Figures over all samples, each once."""
        return {name: float(value[0]) for name, value in self.values().items() if value.ndim == 1}


def ones(count: int) -> F32:
    """The weighting (N, 1) that counts each of N samples once."""
    return np.ones((count, 1), np.float32)


def share(part: Any, whole: Any) -> F64:
    """`part / whole`, NaN where the whole is nothing."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    out: F64 = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return out


def mean_known(values: F64, axis: int = 0) -> F64:
    """Mean over an axis, leaving out NaN; NaN where all are."""
    known = ~np.isnan(values)
    return share(np.where(known, values, 0.0).sum(axis=axis), known.sum(axis=axis).astype(np.float64))
