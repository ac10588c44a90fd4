"""An answer on its way to the review queue, and who is told of what becomes of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.core.plain import plain_results
from sightline.core.results import Result
from sightline.monitor.feedback import Quality
from sightline.monitor.review_items import Prediction

Array = NDArray[Any]


class Answered(Protocol):
    """What is asked of an answered picture; the service's own `Answered` is one."""

    @property
    def model(self) -> str:
        """Name of the package."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def request_id(self) -> str:
        """What the client was told."""

    @property
    def index(self) -> int:
        """Which picture of the request."""

    @property
    def data(self) -> bytes:
        """The file as it was sent; empty for a bare tensor."""

    @property
    def pixels(self) -> Array:
        """(H, W, 3) uint8 RGB, or (H, W)."""

    @property
    def results(self) -> Mapping[str, Result]:
        """By task."""

    @property
    def embedding(self) -> Array | None:
        """(D,), or None."""


class Tally(Protocol):
    """Who counts what the queue does; `metrics.Metrics` is one."""

    def review_kept(self, model: str, reason: str, n: int) -> None:
        """Pictures were found worth a look."""

    def review_lost(self, cause: str, n: int) -> None:
        """Answers were not looked at, or not stored, or dropped to make room."""

    def review_up(self, up: bool) -> None:
        """Whether the store answers."""

    def quality(self, model: str, version: str, found: Quality) -> None:
        """How good the answers were whose labels came."""


class Silent:
    """Counts nothing."""

    def review_kept(self, model: str, reason: str, n: int) -> None:
        """Nothing."""

    def review_lost(self, cause: str, n: int) -> None:
        """Nothing."""

    def review_up(self, up: bool) -> None:
        """Nothing."""

    def quality(self, model: str, version: str, found: Quality) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An answer that waits to be looked at; pixels only where there is no file."""

    model: str
    version: str
    request_id: str
    index: int
    created: float
    size_wh: tuple[int, int]
    data: bytes
    pixels: Array | None
    results: Mapping[str, Result]
    embedding: Array | None
    source: str
    cost: int

    @classmethod
    def of(cls, picture: Answered, source: str) -> Waiting:
        """Of an answered picture."""
        pixels = None if picture.data else picture.pixels
        height, width = picture.pixels.shape[:2]
        cost = len(picture.data) + (pixels.nbytes if pixels is not None else 0)
        cost += sum(_bytes(result) for result in picture.results.values())
        return cls(
            picture.model, picture.version, picture.request_id, picture.index, time.time(), (width, height),
            picture.data, pixels, picture.results, picture.embedding, source, cost,
        )  # fmt: skip

    def prediction(self) -> Prediction:
        """As the store keeps it."""
        return Prediction(
            self.model, self.version, self.request_id, self.index, self.created, self.size_wh,
            plain_results(self.results),
        )  # fmt: skip


def _bytes(result: Result) -> int:
    values = (getattr(result, f.name) for f in fields(result))
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))
