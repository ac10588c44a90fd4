"""Small real files: pictures with odd names, bad ones, and videos made here."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from export.tiny_models import TinyModel
from sightline.core.specs import InputSpec
from sightline.export.writing import package_model

FRAMES = 23


def write_video(path: Path, frames: int = FRAMES, size_wh: tuple[int, int] = (160, 120)) -> Path:
    """A moving square over noise, 25 frames a second, H.264."""
    random = np.random.default_rng(0)
    width, height = size_wh
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"  # type: ignore[union-attr]
        for index in range(frames):
            picture = random.integers(0, 60, (height, width, 3)).astype(np.uint8)
            picture[20:50, 3 * index : 3 * index + 30] = (250, 40, 40)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))  # type: ignore[union-attr]
        container.mux(stream.encode(None))  # type: ignore[union-attr]
    return path


def write_png(path: Path, seed: int = 0, size_wh: tuple[int, int] = (70, 50)) -> Path:
    picture = np.random.default_rng(seed).integers(0, 256, (size_wh[1], size_wh[0], 3)).astype(np.uint8)
    done, data = cv2.imencode(".png", picture)
    assert done
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())
    return path


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "square.mp4")


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_model(TinyModel("detect").eval(), tmp_path_factory.mktemp("p") / "detect")


@pytest.fixture(scope="session")
def clip_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from video.clip_models import ClipModel

    spec = InputSpec((64, 48), frames=3, stride=2)
    return package_model(ClipModel(spec).eval(), tmp_path_factory.mktemp("p") / "clip")
