"""Results held against truth, sample by sample: what every report, comparison and validation stands on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sightline.core.errors import ModelError, UsageError
from sightline.core.records import Record
from sightline.core.results import ClassScores, DepthMap, Points, Result
from sightline.core.specs import Signature
from sightline.evaluate.bootstrap import Difference, Estimate, difference, resampled, summary
from sightline.evaluate.metrics import FAMILIES
from sightline.evaluate.metrics.base import Family, ReadMap, Values


class Scores:
    """The metric families of some tasks, fed the same samples.

    Model and data agree on classes by name: results are renumbered to the data's classes, and classes that
    only the model knows follow after them (nothing in the truth can be of those).

    Args:
        tasks: tasks to score; those without a metric family are refused.
        classes: the data's class names.
        answers: the model's class names, in its own order; the data's where absent.
        thresholds: smallest score of an answer that counts, by task.
        stuff: classes without instances (panoptic).

    Raises:
        ModelError: a task has no metrics, or model and data share no class name.
    """

    def __init__(
        self,
        tasks: Iterable[str],
        classes: Sequence[str],
        *,
        answers: Sequence[str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        stuff: Sequence[str] = (),
    ) -> None:
        names = tuple(classes) if answers is None else tuple(answers)
        extra = tuple(n for n in names if n not in set(classes))
        if classes and names and len(extra) == len(names):
            raise ModelError(
                f"the model's classes {list(names[:5])} share no name with the data's {list(classes[:5])}",
                remedy="rename the data's classes on import (data.classes in problem.yaml)",
            )
        self.classes = (*classes, *extra)
        index = {name: i for i, name in enumerate(self.classes)}
        self._map = np.array([index[n] for n in names], np.int64)
        self._same = names == self.classes
        self.unknown = tuple(n for n in classes if n not in set(names))
        self.families: dict[str, Family] = {}
        for task in tasks:
            if task not in FAMILIES:
                raise ModelError(f"task {task!r} has no metrics; these have: {', '.join(FAMILIES)}")
            self.families[task] = FAMILIES[task](self.classes, thresholds, stuff)
        self.ids: dict[str, list[str]] = {task: [] for task in self.families}
        self.groups: dict[str, list[str]] = {task: [] for task in self.families}
        self.without_truth: dict[str, int] = dict.fromkeys(self.families, 0)
        self.total = 0

    @classmethod
    def of(cls, signature: Signature, classes: Sequence[str]) -> Scores:
        """Scores for everything a predictor answers."""
        return cls(
            signature.tasks,
            classes,
            answers=signature.classes,
            thresholds=signature.thresholds,
            stuff=signature.stuff,
        )

    def add(self, record: Record, results: Mapping[str, Result], read_map: ReadMap) -> None:
        """Take one sample's truth and results by task."""
        self.total += 1
        for task, family in self.families.items():
            if task not in results:
                raise ModelError(f"gives no result for task {task!r}", where=record.id)
            if family.add(record, self.renumbered(results[task]), read_map):
                self.ids[task].append(record.id)
                self.groups[task].append(record.group or record.id)
            else:
                self.without_truth[task] += 1

    def renumbered(self, result: Result) -> Result:
        """A result in the classes of these scores."""
        if self._same or isinstance(result, DepthMap):
            return result
        values: dict[str, Any] = {"names": self.classes}
        if isinstance(result, ClassScores):
            values["scores"] = self._spread(result.scores)
        elif isinstance(result, Points):
            values |= {"visible": self._spread(result.visible), "points": self._spread(result.points)}
        else:
            values["classes"] = self._moved(result.classes)
        return replace(result, **values)

    def _moved(self, classes: Any) -> Any:
        """Class indices of the model as indices here; 255 in maps stays void."""
        if classes.dtype != np.uint8:
            return self._map[classes]
        table = np.full(256, 255, np.uint8)
        table[: len(self._map)] = self._map
        return table[classes]

    def _spread(self, rows: Any) -> Any:
        """Rows a class of the model put in the order of the classes here, zeros elsewhere."""
        if len(rows) != len(self._map):
            return rows
        out = np.zeros((len(self.classes), *rows.shape[1:]), rows.dtype)
        out[self._map] = rows
        return out

    def values(self) -> dict[str, float]:
        """Figures by `task.metric`; those that are not defined are left out."""
        return {
            f"{task}.{name}": value
            for task, family in self.families.items()
            if self.ids[task]
            for name, value in family.single().items()
            if not np.isnan(value)
        }

    def estimates(self, rounds: int = 1000, seed: int = 0) -> tuple[dict[str, Estimate], dict[str, Values]]:
        """Figures with intervals by `task.metric`, and all resamples by task.

        Args:
            rounds: bootstrap resamples over groups; 0 for none.
            seed: of the resamples.
        """
        out: dict[str, Estimate] = {}
        kept: dict[str, Values] = {}
        for task, family in self.families.items():
            if not self.ids[task]:
                continue
            kept[task] = resampled(family, self.groups[task], rounds, seed)
            found = summary(family.values(), kept[task], len(set(self.groups[task])))
            out |= {f"{task}.{name}": value for name, value in found.items()}
        return out, kept


def compare(a: Scores, b: Scores, rounds: int = 1000, seed: int = 0) -> dict[str, Difference]:
    """Paired bootstrap over groups of two predictors scored on the same samples, by `task.metric`.

    Raises:
        UsageError: the samples differ, or no task is common.
    """
    common = [task for task in a.families if task in b.families and a.ids[task]]
    if not common:
        raise UsageError("the two share no scored task")
    out: dict[str, Difference] = {}
    for task in common:
        if a.ids[task] != b.ids[task]:
            raise UsageError(
                f"the two were scored on different samples ({len(a.ids[task])} and {len(b.ids[task])})",
                where=task,
                remedy="score both on the same ids in the same order",
            )
        found = difference(a.families[task], b.families[task], a.groups[task], rounds, seed)
        out |= {f"{task}.{name}": value for name, value in found.items()}
    return out
