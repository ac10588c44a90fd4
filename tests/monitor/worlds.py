"""Made-up observations of a detector's pictures, from a world whose parameters can be moved."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline.core.observation import Appearance, Observation, Sample, binned, stack
from sightline.core.reference import Reference, moments_of
from sightline.monitor.drift import Baseline

CLASSES = ("red", "white", "plate")
DIMENSIONS = 96


def world(
    n: int,
    seed: int,
    *,
    bright: float = 1.0,
    blur: float = 0.0,
    shares: tuple[float, ...] = (0.8, 0.12, 0.08),
    shift: float = 0.0,
    rate: float = 12.0,
    score: float = 0.0,
    group: int = 1,
) -> list[Observation]:
    """So many pictures; runs of `group` of them share a mood, as frames of one video do."""
    random = np.random.default_rng(seed)
    seen = []
    for index in range(n):
        if index % group == 0:
            mood = random.normal(0, 1, 3)
        own = mood if group > 1 else random.normal(0, 1, 3)
        count = int(random.poisson(rate))
        look = Appearance(
            bright * (140 + 12 * own[0]),
            bright * (40 + 4 * own[1]),
            6 - blur + 0.4 * own[2],
        )
        scores = np.clip(random.beta(8, 2, count) - score, 0, 1)
        labels = random.choice(3, count, p=np.array(shares) / sum(shares))
        sides = np.clip(random.normal(0.18, 0.03, count), 0, 1)
        vector = random.normal(0, 1, DIMENSIONS) * np.linspace(0.2, 2, DIMENSIONS) + shift
        classes = {int(k): int(c) for k, c in zip(*np.unique(labels, return_counts=True), strict=True)}
        name = f"v{seed}-{index // group}" if group > 1 else ""
        seen.append(
            Observation(
                look, count, binned("score", scores), binned("box_size", sides), classes, vector, name
            )
        )
    return seen


def baseline(seen: list[Observation]) -> Baseline:
    """What a package would remember of them."""
    reference = Reference(CLASSES)
    for one in seen:
        reference.take(one)
    value: dict[str, Any] = reference.to_json()
    return Baseline("cells 1", CLASSES, Sample.from_json(value["sample"], where="made"), moments_of(value))


def window(base: Baseline, seen: list[Observation]) -> Sample:
    """A window as the live side makes it."""
    return stack(seen, len(base.classes), base.moments)
