"""Made-up finds and answered pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from sightline.core.results import ClassScores, Detections
from sightline.monitor.review_items import About, Find, Prediction
from sightline.monitor.review_looks import look_of

CLASSES = ("apple", "pear")
ABOUT = About(
    ("detect",), CLASSES, {"detect": 0.3}, {"detect.best_f1": {"value": 0.9, "low": 0.85, "high": 0.95}}
)


def picture(seed: int, width: int = 96, height: int = 64) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    done, data = cv2.imencode(suffix, pixels[:, :, ::-1])
    assert done
    return data.tobytes()


def prediction(request: str = "r", index: int = 0, created: float = 1000.0, **results: Any) -> Prediction:
    rows = results or {"detect": [{"class": "apple", "score": 0.5, "box": [10.0, 10.0, 30.0, 40.0]}]}
    return Prediction("fruit", "1", request, index, created, (96, 64), rows)


def find(seed: int, *, value: float = 0.7, reason: str = "uncertain", size: int = 0, **named: Any) -> Find:
    pixels = picture(seed)
    hash, thumb = look_of(pixels)
    data = b"x" * size if size else encoded(pixels)
    told = prediction(f"r{seed}", created=1000.0 + seed)
    return Find(told, {reason: value}, data, ".png", hash, thumb, **named)


@dataclass
class Shot:
    """An answered picture, as the service tells of it."""

    request_id: str
    pixels: np.ndarray
    results: Any
    index: int = 0
    model: str = "fruit"
    version: str = "1"
    data: bytes = b""
    embedding: Any = None


def detections(*rows: tuple[float, int, tuple[float, float, float, float]]) -> Detections:
    boxes = np.array([r[2] for r in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([r[0] for r in rows]), np.array([r[1] for r in rows], int), CLASSES)


def scores(*values: float) -> ClassScores:
    return ClassScores(np.array(values, np.float32), CLASSES)


@dataclass
class Counted:
    """Counts what a queue tells."""

    kept: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    up: list[bool] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)

    def review_kept(self, model: str, reason: str, n: int) -> None:
        self.kept[reason] = self.kept.get(reason, 0) + n

    def review_lost(self, cause: str, n: int) -> None:
        self.lost[cause] = self.lost.get(cause, 0) + n

    def review_up(self, up: bool) -> None:
        self.up.append(up)

    def quality(self, model: str, version: str, found: Any) -> None:
        self.told.append(found)
