"""Rallies and scenes: what is drawn is where the label says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sightline.core.media import read_map, read_picture
from sightline.simulate.labelled import write_rallies
from sightline.simulate.rallies import simulate_rally
from sightline.simulate.scenes import CLASSES, simulate_scene, write_scenes


def test_equal_seeds_give_equal_frames() -> None:
    a = list(simulate_rally(5, frames=4))
    b = list(simulate_rally(5, frames=4))
    assert all(np.array_equal(x.pixels, y.pixels) and x.point == y.point for x, y in zip(a, b, strict=True))


def test_a_visible_shuttle_is_bright_at_its_point() -> None:
    frames = [f for seed in range(6) for f in simulate_rally(seed, frames=12, shutter=0.05) if f.visible]
    bright = [f.pixels[int(f.point[1]), int(f.point[0])].mean() > f.pixels.mean() for f in frames]
    assert len(frames) > 30 and np.mean(bright) > 0.9


def test_most_frames_show_the_shuttle_and_some_do_not() -> None:
    seen = [f.visible for seed in range(8) for f in simulate_rally(seed, frames=30)]
    assert 0.6 < np.mean(seen) < 0.99


def test_rallies_are_written_as_a_label_studio_export(tmp_path: Path) -> None:
    export = write_rallies(tmp_path, 2, frames=3, size_wh=(192, 108))
    tasks = json.loads(export.read_text())
    assert len(tasks) == 6
    pictures = sorted((tmp_path / "frames").iterdir())
    assert len(pictures) == 6 and read_picture(pictures[0]).shape == (108, 192, 3)


def test_a_scenes_maps_agree_with_its_things() -> None:
    for seed in range(5):
        scene = simulate_scene(seed)
        for thing in scene.things:
            assert (scene.segment[thing.mask] == thing.label).all()
            assert np.allclose(scene.depth[thing.mask] / 1000, thing.metres, atol=0.002)


def test_written_panoptic_maps_number_the_annotations(tmp_path: Path) -> None:
    reading = write_scenes(tmp_path, 3)
    assert reading.classes == CLASSES
    for record in reading.records:
        numbers = read_map(tmp_path / record.maps["panoptic"])[..., 0].astype(int)
        for i, mark in enumerate(record.annotations):
            assert mark.mask is not None and np.array_equal(numbers == i + 1, mark.mask.decode())
