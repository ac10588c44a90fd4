"""Observations from what `sightline predict` wrote: answers without pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.errors import FormatError
from sightline.core.observation import MAP_MARKS, POOLED, Observation, binned


def read_predictions(path: Path, classes: Sequence[str]) -> Iterator[Observation]:
    """One observation for each line of a JSON Lines file; lines of faults are left out.

    Raises:
        FormatError: a line is no prediction, or names a class that the package does not know.
    """
    index = {name: i for i, name in enumerate(classes)}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
                if "fault" not in value:
                    yield _observation(value, index)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise FormatError(
                    f"is no prediction ({error!r})",
                    where=f"{path}:{number}",
                    remedy="give the .jsonl that sightline predict --out wrote with this package",
                ) from error


def _observation(value: dict[str, Any], index: dict[str, int]) -> Observation:
    width, height = value["size_wh"]
    score, box_size = (binned(name, []) for name in POOLED)
    objects, marks = -1, dict[int, int]()
    for task, answer in value["results"].items():
        rows = [answer] if task == "classify" else answer if isinstance(answer, list) else []
        if task in ("detect", "instances", "panoptic"):
            objects = max(objects, 0) + len(rows)
        score = score + binned("score", [row["score"] for row in rows if "score" in row])
        if task in ("detect", "instances"):
            boxes = np.array([row["box"] for row in rows], float).reshape(-1, 4)
            spans = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
            box_size = box_size + binned("box_size", np.sqrt(spans.prod(axis=1) / max(width * height, 1)))
        for row in rows if task != "locate" else []:
            label, count = index[row["class"]], _count(task, row)
            marks[label] = marks.get(label, 0) + count
    return Observation(None, objects, score, box_size, marks, None, _group(value))


def _count(task: str, row: dict[str, Any]) -> int:
    """Marks that a row counts as; a class of a dense map by its share of the picture."""
    if task != "segment":
        return 1
    height, width = row["mask"]["size"]
    inside: int = sum(row["mask"]["counts"][1::2])
    return max(1, round(inside / max(1, int(height) * int(width)) * MAP_MARKS))


def _group(value: dict[str, Any]) -> str:
    """Frames of one video are of one group."""
    return str(value["source"]) if "index" in value else ""
