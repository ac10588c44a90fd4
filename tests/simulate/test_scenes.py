"""Scenes: maps and marks agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sightline.core.media import read_map
from sightline.simulate.scenes import CLASSES, simulate_scene, write_scenes


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
