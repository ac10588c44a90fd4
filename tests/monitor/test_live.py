"""Windows of live pictures: drift is believed when it persists, and watching never stands in the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.packages import NAME, pictures
from monitor.worlds import baseline, world
from sightline.core.manifest import Manifest
from sightline.core.predictor import Inputs
from sightline.core.reference import observed
from sightline.monitor.live import LiveDrift
from sightline.monitor.metrics import Metrics
from sightline.monitor.windows import DriftWatch, WindowOptions
from sightline.runtime.loading import load

OPTIONS = WindowOptions(window=30, persist=2, rounds=199)


def fed(watch: DriftWatch, count: int, seed: int, **moved: float) -> list[bool]:
    """Whether drift was believed after each window of so many pictures."""
    shots = world(count, seed, **moved)  # type: ignore[arg-type]
    return [watch.alarm for seen in shots if watch.take(seen) is not None]


def test_drift_is_believed_after_windows_in_a_row_and_over_after_as_many() -> None:
    watch = DriftWatch(baseline(world(80, 1)), OPTIONS)
    assert fed(watch, 60, 2) == [False, False]
    assert fed(watch, 90, 3, bright=0.7) == [False, True, True]
    assert fed(watch, 90, 4) == [True, False, False]
    assert watch.windows == 8 and len(watch.reports) == 8


def test_one_odd_window_is_not_believed() -> None:
    watch = DriftWatch(baseline(world(80, 1)), OPTIONS)
    for seed in (5, 6, 7):
        assert fed(watch, 30, seed, bright=0.7) == [False]
        assert fed(watch, 30, seed + 10) == [False]


def test_pictures_are_spread_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("sightline.monitor.windows.time.monotonic", lambda: clock[0])
    watch = DriftWatch(baseline(world(80, 1)), WindowOptions(every_s=0.5))
    taken = 0
    for _ in range(100):
        taken += watch.due()
        clock[0] += 0.05
    assert taken == 10


def test_options_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="a window takes 20 pictures"):
        WindowOptions(window=5)


@dataclass
class Answer:
    """What the service hands over."""

    pixels: np.ndarray[Any, Any]
    results: dict[str, Any]
    embedding: np.ndarray[Any, Any] | None = None
    model: str = NAME
    version: str = "3"
    data: bytes = field(default=b"", repr=False)


def answers(package: Path, count: int, seed: int, light: float) -> list[Answer]:
    """Answered pictures with their embeddings."""
    shots = pictures(count, seed, light=light)
    items: list[tuple[int, str, Inputs]] = [(i, "", {"image": p}) for i, p in enumerate(shots)]
    return [
        Answer(shots[i], results, seen.embedding) for i, seen, results in observed(load(package), iter(items))
    ]


def test_the_service_is_watched_from_its_answers(watched: Path) -> None:
    metrics, said = Metrics(), list[str]()
    manifest = Manifest.read(watched)
    drift = LiveDrift(metrics, lambda name, version: manifest, WindowOptions(30, rounds=199), said.append)
    first, *rest = answers(watched, 60, 8, 0.7)
    drift.answered(first)
    for answer in rest:
        drift._queue.put(answer)  # waits, where `answered` would leave out what comes too fast
    drift.close()
    samples = {
        (s.name, tuple(sorted(s.labels.values()))): s.value
        for family in text_string_to_metric_families(metrics.exposition()[0].decode())
        for s in family.samples
    }
    assert samples["sightline_drift_alarm", (NAME,)] == 1
    assert samples["sightline_drift_windows_total", (NAME, "yes")] == 2
    assert samples["sightline_picture_brightness_count", (NAME,)] >= 60
    assert len(said) == 1 and "fruit 3 has drifted: " in said[0] and "darker" in said[0]
    drift.retired(NAME, "3")
    assert 'sightline_drift_alarm{model="fruit"} 0.0' in metrics.exposition()[0].decode()


def test_a_model_without_a_reference_is_not_watched_and_says_so_once() -> None:
    said: list[str] = []
    drift = LiveDrift(Metrics(), lambda name, version: Manifest(name, version, {}), say=said.append)
    for _ in range(5):
        drift.answered(Answer(np.zeros((4, 4, 3), np.uint8), {}))
    drift.close()
    assert len(said) == 1 and "holds no reference" in said[0]
    assert drift.watch(NAME, "3") is None


def test_what_comes_too_fast_is_left_out_and_counted() -> None:
    metrics, base = Metrics(), world(40, 1)
    from sightline.core.reference import Reference

    reference = Reference(("red", "white", "plate"))
    for seen in base:
        reference.take(seen)
    manifest = Manifest(NAME, "3", {}, reference=reference.to_json())
    drift = LiveDrift(metrics, lambda name, version: manifest, WindowOptions(64))
    slow = np.zeros((2000, 2000, 3), np.uint8)
    for _ in range(300):
        drift.answered(Answer(slow, {}))
    drift.close()
    body = metrics.exposition()[0].decode()
    assert 'sightline_errors_total{kind="drift_skipped",model="fruit"}' in body


def test_an_odd_answer_does_not_end_the_watch(watched: Path) -> None:
    metrics, manifest = Metrics(), Manifest.read(watched)
    drift = LiveDrift(metrics, lambda name, version: manifest, WindowOptions(20, rounds=199))
    drift.answered(Answer(np.zeros((0, 4, 3), np.uint8), {}))
    for answer in answers(watched, 20, 9, 1.0):
        drift._queue.put(answer)
    drift.close()
    body = metrics.exposition()[0].decode()
    assert 'sightline_errors_total{kind="drift",model="fruit"} 1.0' in body
    assert 'sightline_drift_windows_total{flagged="no",model="fruit"} 1.0' in body
