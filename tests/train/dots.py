"""Little films of one bright dot that flies about, with its track beside: labels of a locator at no cost."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from sightline.data.dataset import Dataset
from sightline.data.importing import import_dataset

SIZE_WH = (96, 64)
HIDDEN_EVERY = 5  # every so many frames the dot is not there


def dot_films(folder: Path, films: int = 4, frames: int = 12, size_wh: tuple[int, int] = SIZE_WH) -> Path:
    """Write H.264 films and ball-track CSVs into a folder."""
    folder.mkdir(parents=True)
    for number in range(films):
        rows = ["Frame,Visibility,X,Y"]
        with av.open(str(folder / f"film{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(30))
            stream.width, stream.height = size_wh
            stream.pix_fmt, stream.options = "yuv420p", {"crf": "8", "preset": "ultrafast"}
            for index in range(frames):
                x, y, seen = dot(number, index, size_wh)
                picture = np.full((size_wh[1], size_wh[0], 3), 60, np.uint8)
                if seen:
                    picture[y - 2 : y + 3, x - 2 : x + 3] = 240
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                rows.append(f"{index},{int(seen)},{x if seen else 0},{y if seen else 0}")
            container.mux(stream.encode(None))
        (folder / f"film{number}_ball.csv").write_text("\n".join(rows) + "\n")
    return folder


def dot(number: int, index: int, size_wh: tuple[int, int] = SIZE_WH) -> tuple[int, int, bool]:
    """Where the dot is in a frame, and whether it is there."""
    width, height = size_wh
    x = 8 + (number * 17 + index * 5) % (width - 16)
    y = 8 + (number * 11 + index * 3) % (height - 16)
    return x, y, index % HIDDEN_EVERY != HIDDEN_EVERY - 1


def dot_dataset(folder: Path, films: int = 4, frames: int = 12) -> Dataset:
    """The films as a dataset."""
    return import_dataset(dot_films(folder / "films", films, frames), folder / "dataset", "ball-track")[0]
