"""Truth that comes late: labels for past answers, and the quality that they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import UsageError
from sightline.monitor.review_items import About, Plain, Prediction
from sightline.monitor.review_reasons import paired

if TYPE_CHECKING:
    from sightline.monitor.store import Store

Array = NDArray[Any]

# Live metric -> where the package's promise stands. A package is deployed at one threshold, so its boxes are
# held to the F1 that export measured for the best one, and not to an average over all thresholds.
METRICS = {
    "classify": ("classify.accuracy", "classify.accuracy"),
    "detect": ("detect.f1", "detect.best_f1"),
    "locate": ("locate.within_4px", "locate.within_4px"),
}
WITHIN_PX = 4.0
ROUNDS = 500
SEED = 20263
MOST_MARKS = 10_000


@dataclass(frozen=True, slots=True)
class Quality:
    """A live metric beside what its package promised.

    Attributes:
        metric: its name, `task.metric`.
        value: on the pictures whose labels came.
        low: of its 95% interval over pictures.
        high: of the same.
        n: pictures.
        promised: what export measured, with its own interval: value, low, high; empty where it did not.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    promised: tuple[float, ...] = ()

    @property
    def worse(self) -> bool:
        """Whether the whole interval lies under the promised one."""
        return len(self.promised) == 3 and self.high < self.promised[1]


def check_labels(value: Any, about: About) -> Plain:
    """Labels of one picture by task, as they are stored.

    `{"classify": CLASS}`, `{"detect": [{"class": CLASS, "box": [x1, y1, x2, y2]}]}`, `{"locate":
    [{"class": CLASS, "point": [x, y]}]}`, where a point that is hidden has `null`; for a package of one
    task the value alone. Pixels of the picture that was sent, upright.

    Raises:
        UsageError: a task that the package has not or that cannot be scored, a class it does not know, or
            another shape.
    """
    scored = [task for task in about.tasks if task in METRICS]
    if not isinstance(value, Mapping) and len(scored) == 1:
        value = {scored[0]: value}
    if not isinstance(value, Mapping) or not value:
        raise UsageError(f"labels must be an object by task, of {', '.join(scored) or 'none'}")
    found: Plain = {}
    for task, mark in value.items():
        if task not in scored:
            raise UsageError(f"labels of {str(task)[:40]!r} are not scored; those of {', '.join(scored)} are")
        found[task] = _CHECKS[task](mark, about.classes)
    return found


def _class(value: Any, classes: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in classes:
        raise UsageError(f"class {str(value)[:40]!r} is not one of {', '.join(classes)[:200]}")
    return value


def _numbers(value: Any, count: int, what: str) -> list[float]:
    right = isinstance(value, list) and len(value) == count
    if not right or any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        raise UsageError(f"{what} must be a list of {count} numbers")
    numbers = [float(v) for v in value]
    if not np.isfinite(numbers).all():
        raise UsageError(f"{what} holds a number that is not finite")
    return numbers


def _rows(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise UsageError("labels must be a list of objects")
    if len(value) > MOST_MARKS:
        raise UsageError(f"{len(value)} marks on one picture, at most {MOST_MARKS} are taken")
    return value


def _boxes(value: Any, classes: Sequence[str]) -> list[Plain]:
    rows = []
    for row in _rows(value):
        box = _numbers(row.get("box"), 4, "box")
        if box[2] <= box[0] or box[3] <= box[1]:
            raise UsageError(f"box {box} has no area; it is x1, y1, x2, y2")
        rows.append({"class": _class(row.get("class"), classes), "box": box})
    return rows


def _points(value: Any, classes: Sequence[str]) -> list[Plain]:
    rows = []
    for row in _rows(value):
        name = row.get("class", classes[0] if len(classes) == 1 else None)
        point = None if row.get("point") is None else _numbers(row["point"], 2, "point")
        rows.append({"class": _class(name, classes), "point": point})
    return rows


_CHECKS: dict[str, Callable[[Any, Sequence[str]], Any]] = {
    "classify": _class,
    "detect": _boxes,
    "locate": _points,
}


def tell(
    store: Store,
    rows: Sequence[tuple[str, int, Any]],
    latest: Callable[[str, int], Prediction | None] | None = None,
    abouts: Mapping[tuple[str, str], About] | None = None,
) -> tuple[int, list[str]]:
    """Store labels for past answers.

    Args:
        store: where predictions are, and labels go.
        rows: request id, index and labels, as `check_labels` reads them.
        latest: finds an answer by its request id and index; the store's own way unless given.
        abouts: packages by name and version that are known already.

    Returns:
        How many were taken, and the request ids that nobody knows.

    Raises:
        UsageError: labels that cannot be taken; none of the rows is then.
        StorageError: the store does not answer.
    """
    find = latest or store.prediction
    known: dict[tuple[str, str], About] = {}
    checked: list[tuple[Prediction, Plain]] = []
    unknown: list[str] = []
    for request_id, index, labels in rows:
        prediction = find(request_id, index)
        key = (prediction.model, prediction.version) if prediction is not None else ("", "")
        if prediction is not None and key not in known:
            known |= abouts if abouts and key in abouts else store.packages()
        if prediction is None or key not in known:
            unknown.append(request_id)
            continue
        try:
            checked.append((prediction, check_labels(labels, known[key])))
        except UsageError as error:
            raise UsageError(error.what, where=f"request {request_id[:64]}, picture {index}") from error
    if checked:
        store.tell(checked)
    return len(checked), unknown


def live_quality(rows: Sequence[tuple[Prediction, Mapping[str, Any]]], about: About) -> list[Quality]:
    """Quality of a package on the pictures whose labels came, a row for each task that can be scored.

    `classify.accuracy` with Wilson's interval (1927). `detect.f1` pools boxes of all pictures, matched at an
    overlap of one half; `locate.within_4px` is the share of points in sight that were answered so near.
    Both with the percentile bootstrap over pictures.
    """
    found = []
    for task in about.tasks:
        told = [(p.results[task], labels[task]) for p, labels in rows if task in labels and task in p.results]
        if not told or task not in METRICS:
            continue
        name, promise = METRICS[task]
        counts = np.array([_COUNTS[task](answer, label) for answer, label in told], float)
        if not counts[:, 1].sum():
            continue
        value = float(counts[:, 0].sum() / counts[:, 1].sum())
        low, high = wilson(counts[:, 0].sum(), len(told)) if task == "classify" else _bootstrap(counts)
        given = about.quality.get(promise, {})
        promised = tuple(float(given[k]) for k in ("value", "low", "high")) if _whole(given) else ()
        found.append(Quality(name, value, low, high, len(told), promised))
    return found


def _whole(row: Mapping[str, Any]) -> bool:
    return all(isinstance(row.get(k), int | float) for k in ("value", "low", "high"))


def _right(answer: Plain, label: str) -> tuple[float, float]:
    return float(answer["class"] == label), 1.0


def _f1_parts(answer: list[Plain], label: list[Plain]) -> tuple[float, float]:
    """Twice the hits, and boxes answered plus boxes there: their ratio over many pictures is F1."""
    hits = paired(*_arrays(answer), *_arrays(label))
    return 2.0 * hits, float(len(answer) + len(label))


def _arrays(rows: list[Plain]) -> tuple[Array, Array]:
    boxes = np.array([row["box"] for row in rows], float).reshape(-1, 4)
    return boxes, np.array([row["class"] for row in rows], object)


def _near(answer: list[Plain], label: list[Plain]) -> tuple[float, float]:
    """Points in sight that were answered within `WITHIN_PX`, and points in sight."""
    told = {row["class"]: row for row in answer if row["seen"]}
    there = [row for row in label if row["point"] is not None]
    near = [
        row["class"] in told
        and float(np.hypot(*np.subtract(told[row["class"]]["point"], row["point"]))) <= WITHIN_PX
        for row in there
    ]
    return float(sum(near)), float(len(there))


_COUNTS: dict[str, Callable[[Any, Any], tuple[float, float]]] = {
    "classify": _right,
    "detect": _f1_parts,
    "locate": _near,
}


def wilson(hits: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95% interval of a share (Wilson 1927)."""
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, middle - half), min(1.0, middle + half)


def _bootstrap(counts: Array) -> tuple[float, float]:
    """95% interval of a ratio of sums over pictures."""
    random = np.random.default_rng(SEED)
    drawn = random.integers(0, len(counts), (ROUNDS, len(counts)))
    sums = counts[drawn].sum(axis=1)
    values = sums[:, 0] / np.maximum(sums[:, 1], 1e-9)
    low, high = np.percentile(values[sums[:, 1] > 0], (2.5, 97.5))
    return float(low), float(high)
