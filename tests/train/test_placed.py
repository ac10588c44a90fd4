from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sightline.core.errors import MediaError
from sightline.core.predictor import place_clip
from sightline.core.problem import AugmentSection
from sightline.core.records import Sample
from sightline.core.specs import InputSpec
from sightline.data.dataset import Dataset
from sightline.data.samples import read_inputs, samples
from sightline.train.batches import Pictures
from sightline.train.labels import Labeller
from sightline.train.placed import PlacedStore, fitting, reach, storable
from train.dots import SIZE_WH, dot_dataset

SMALL = {"clip": InputSpec((24, 16), fit="letterbox", frames=3)}
WINDOW = {"clip": InputSpec((32, 32), fit="native", frames=2)}
STILL = AugmentSection(flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0)


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dot_dataset(tmp_path_factory.mktemp("dots"), films=2, frames=9)


def views(dataset: Dataset, inputs: dict[str, InputSpec]) -> list[Sample]:
    return list(samples(dataset, [r.id for r in dataset.records], inputs))


def filled(dataset: Dataset, chosen: list[Sample], inputs: dict[str, InputSpec]) -> PlacedStore:
    store = PlacedStore(dataset, [(chosen, None)], inputs, "memory", 16, Path("unused"))
    store.fill()
    return store


def test_what_is_kept_of_a_shrunk_frame_places_to_the_same_pixels(dots: Dataset) -> None:
    chosen = views(dots, SMALL)
    store = filled(dots, chosen, SMALL)
    for sample in chosen[::4]:
        placed, matrix, size_wh = store.placed(sample, SMALL)
        want, where = place_clip(read_inputs(dots, sample, SMALL)["clip"], SMALL["clip"])
        assert np.array_equal(placed["clip"], want)
        assert np.allclose(matrix, where) and size_wh == SIZE_WH


def test_what_is_kept_of_a_window_is_an_exact_copy_also_where_it_leaves_the_frame(dots: Dataset) -> None:
    centres = [(5.0, 5.0), (48.3, 30.9), (95.0, 63.0)]
    chosen = [replace(s, centre=c) for s, c in zip(views(dots, WINDOW)[3:6], centres, strict=True)]
    store = filled(dots, chosen, WINDOW)
    for sample in chosen:
        placed, _, _ = store.placed(sample, WINDOW)
        want, _ = place_clip(read_inputs(dots, sample, WINDOW)["clip"], WINDOW["clip"], sample.centre)
        assert np.array_equal(placed["clip"], want)


def test_each_video_is_decoded_once_and_in_order(dots: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, int]] = []
    real = dots.read
    monkeypatch.setattr(dots, "read", lambda r: read.append((r.media, r.frame)) or real(r), raising=False)
    chosen = views(dots, SMALL)
    PlacedStore(dots, [(chosen, None)], SMALL, "memory", 16, Path("unused")).fill(threads=1)
    assert len(read) == len(set(read)) == len(dots.records)
    for media in {m for m, _ in read}:
        frames = [f for m, f in read if m == media]
        assert frames == sorted(frames)


def test_moved_elements_from_the_store_are_those_from_the_whole_frames(dots: Dataset) -> None:
    section = replace_section(translate=0.2, flip=0.5)
    chosen = [replace(s, centre=(48.0, 32.0)) for s in views(dots, WINDOW)]
    store = PlacedStore(dots, [(chosen, section)], WINDOW, "memory", 16, Path("unused"))
    store.fill()
    labeller = Labeller({"locate"}, dots.classes, dots.read_map)
    for index in (2, 7, 11):
        kept, whole = (
            Pictures(d, chosen, WINDOW, labeller, section=section, seed=3).element(1, index)
            for d in (store, dots)
        )
        assert np.array_equal(kept[0]["clip"], whole[0]["clip"])
        assert np.array_equal(kept[1]["points"], whole[1]["points"])


def replace_section(**changes: float) -> AugmentSection:
    return STILL.model_copy(update=changes)


def test_a_native_window_is_moved_by_whole_pixels_so_that_nothing_is_resampled(dots: Dataset) -> None:
    section = replace_section(translate=0.3)
    chosen = [replace(s, centre=(48.0, 32.0)) for s in views(dots, WINDOW)]
    labeller = Labeller({"locate"}, dots.classes, dots.read_map)
    pictures = Pictures(dots, chosen, WINDOW, labeller, section=section, seed=5)
    whole = read_inputs(dots, chosen[2], WINDOW)["clip"][-1]
    moved = pictures.element(0, 2)[0]["clip"][-1]
    found = [
        (x, y)
        for y in range(whole.shape[0] - 31)
        for x in range(whole.shape[1] - 31)
        if np.array_equal(whole[y : y + 32, x : x + 32], moved)
    ]
    assert found


def test_a_store_that_is_too_small_says_so(dots: Dataset) -> None:
    chosen = views(dots, {"clip": InputSpec((96, 64), fit="native", frames=1)})
    inputs = {"clip": InputSpec((96, 64), fit="native", frames=1)}
    store = PlacedStore(dots, [(chosen, None)], inputs, "memory", 0, Path("unused"))
    store.fill()
    with pytest.raises(MediaError, match="cache_mb"):
        store.placed(chosen[0], inputs)


def test_only_films_of_which_little_is_used_are_kept_placed(dots: Dataset) -> None:
    assert storable(views(dots, SMALL), SMALL) and storable(views(dots, WINDOW), WINDOW)
    large = {"clip": InputSpec((90, 60), fit="stretch", frames=3)}
    assert not storable(views(dots, large), large)
    unnumbered = tuple(replace(r, frame=-1) for r in views(dots, SMALL)[0].inputs["clip"])
    assert not storable([Sample({"clip": unnumbered}, unnumbered[-1])], SMALL)


def test_margins_reach_as_far_as_augmentation_may() -> None:
    assert reach(100, STILL) == 0
    assert reach(100, replace_section(translate=0.2)) >= 20
    assert reach(100, STILL.model_copy(update={"scale": (0.5, 1.0)})) >= 50


def test_samples_are_thinned_by_the_least_whole_step_that_fits() -> None:
    assert fitting(10 << 20, 10) == 1
    assert fitting((10 << 20) + 1, 10) == 2
    assert fitting(35 << 20, 10) == 4
