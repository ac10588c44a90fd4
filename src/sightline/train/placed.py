"""Pictures kept as their inputs need them: every video decoded once, in order, and never sought in again.

A frame of 1080p weighs 6 MB, and reaching the frames of one clip in H.264 may mean decoding half a second of
film. Training needs far less: a small picture, or a window about a point. So each video is read once from its
start, and what its samples need of each frame goes into an arena that all loader processes share (`cache`):

* for inputs that shrink the picture, the frame after the whole-factor area reduction that the reference
  placing (`geometry.warp`) begins with: what remains to be done then gives the same pixels;
* for `native` inputs, an exact copy of the window about the sample's centre, with the margin that
  augmentation may reach into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import MediaError
from sightline.core.geometry import (
    Matrix,
    compose,
    identity,
    invert,
    place_track,
    placement,
    resample,
    window,
)
from sightline.core.media import VIDEO_SUFFIXES
from sightline.core.problem import AugmentSection
from sightline.core.records import Record, Sample
from sightline.core.specs import InputSpec
from sightline.data.samples import read_inputs, track_of
from sightline.train.cache import MEGABYTE, Cache

Array = NDArray[Any]
# Media, frame, window x y w h (zeros: all of it), factor to reduce by, grey level outside.
Wanted = tuple[str, int, tuple[int, int, int, int], int, int]

WHOLE = (0, 0, 0, 0)
NO_MOVE = AugmentSection(flip=0.0)
BYTES_A_PIXEL = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of a sample's pictures for one input.

    Attributes:
        frames: (T, H, W, 3) or (T, H, W), oldest first; T is 1 for a single picture.
        matrix: from the pixels of the source picture to those of `frames`.
        source_wh: width and height of the source picture.
    """

    frames: Array
    matrix: Matrix
    source_wh: tuple[int, int]


def seen_whole(dataset: Any, sample: Sample, inputs: Mapping[str, InputSpec]) -> dict[str, Seen]:
    """The pictures of a sample at their full size, read from the dataset; raises as `read_inputs` does."""
    out: dict[str, Seen] = {}
    pictures = {name: spec for name, spec in inputs.items() if spec.pixels != "track"}
    found = read_inputs(dataset, sample, pictures)
    for name, spec in pictures.items():
        frames = found[name] if spec.frames > 1 else found[name][None]
        out[name] = Seen(frames, identity(), (frames.shape[2], frames.shape[1]))
    return out


class PlacedStore:
    """Pictures of some samples as their inputs need them; raises for what was not asked for.

    Args:
        dataset: a `data.dataset.Dataset`; every other question goes to it.
        parts: samples, each part with the change its pictures may undergo (None: none).
        inputs: of the model, colour or grey pictures.
        kind: `memory` or `disk`.
        limit_mb: bound of the arena.
        folder: where the file of a disk store lies.
    """

    def __init__(
        self,
        dataset: Any,
        parts: Sequence[tuple[Sequence[Sample], AugmentSection | None]],
        inputs: Mapping[str, InputSpec],
        kind: Literal["memory", "disk"],
        limit_mb: int,
        folder: Path,
    ) -> None:
        self._dataset, self._inputs = dataset, dict(inputs)
        self._number: dict[Wanted, int] = {}
        self._records: list[tuple[Record, Wanted]] = []
        self._plans: dict[tuple[object, str], tuple[Wanted, ...]] = {}
        self.bytes = 0
        for samples, section in parts:
            for sample in samples:
                self._ask(sample, section or NO_MOVE)
        self.cache = Cache(len(self._number), limit_mb, folder if kind == "disk" else None)

    def _ask(self, sample: Sample, section: AugmentSection) -> None:
        for name, spec in self._inputs.items():
            if spec.pixels == "track":
                continue
            part, factor = wanted(sample, spec, section)
            rows: list[Wanted] = []
            for record in sample.inputs[name]:
                want = (record.media, record.frame, part, factor, spec.pad)
                rows.append(want)
                if want not in self._number:
                    self._number[want] = len(self._number)
                    self._records.append((record, want))
                    w, h = part[2:] if part != WHOLE else (d // factor for d in record.size_wh)
                    self.bytes += w * h * BYTES_A_PIXEL
            self._plans[_key(sample), name] = tuple(rows)

    def fill(self, *, threads: int = 2, progress: Callable[[int, int], None] | None = None) -> None:
        """Decode every video once and keep what was asked for; raises MediaError where one cannot be read."""
        by_media: dict[str, dict[int, list[tuple[Record, Wanted]]]] = {}
        for record, want in self._records:
            by_media.setdefault(record.media, {}).setdefault(record.frame, []).append((record, want))
        with ThreadPoolExecutor(max(1, threads)) as pool:
            for done, _ in enumerate(pool.map(self._read_through, by_media.values()), 1):
                if progress:
                    progress(done, len(by_media))

    def _read_through(self, frames: Mapping[int, list[tuple[Record, Wanted]]]) -> None:
        for frame in sorted(frames):
            picture = self._dataset.read(frames[frame][0][0])
            for _, want in frames[frame]:
                self.cache.put(self._number[want], part_of(picture, want))

    def seen(self, sample: Sample, inputs: Mapping[str, InputSpec]) -> dict[str, Seen]:
        """What the store holds for a sample, by input name.

        Raises:
            MediaError: the arena was too small for this sample's pictures.
        """
        out: dict[str, Seen] = {}
        for name, spec in inputs.items():
            if spec.pixels == "track":
                continue
            rows = self._plans[_key(sample), name]
            frames = np.stack([self._picture(want) for want in rows])
            if spec.pixels == "grey8":
                frames = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames])
            _, _, (x, y, *_), factor, _ = rows[0]
            matrix = np.array([[1 / factor, 0.0, -float(x)], [0.0, 1 / factor, -float(y)]])
            out[name] = Seen(frames, matrix, sample.inputs[name][-1].size_wh)
        return out

    def placed(
        self, sample: Sample, inputs: Mapping[str, InputSpec]
    ) -> tuple[dict[str, Array], Matrix, tuple[int, int]]:
        """A sample's inputs as the reference placing gives them, the first one's matrix and source size."""
        pictures, first, source_wh = self.seen(sample, inputs), identity(), (0, 0)
        out: dict[str, Array] = {}
        for index, (name, spec) in enumerate(inputs.items()):
            if spec.pixels == "track":
                out[name] = place_track(track_of(sample.inputs[name]), first)
                continue
            seen = pictures[name]
            matrix = placement(seen.source_wh, spec, sample.centre)
            there = compose(invert(seen.matrix), matrix)
            frames = [resample(frame, there, spec) for frame in seen.frames]
            out[name] = np.stack(frames) if spec.frames > 1 else frames[0]
            if index == 0:
                first, source_wh = matrix, seen.source_wh
        return out, first, source_wh

    def _picture(self, want: Wanted) -> Array:
        held = self.cache.get(self._number[want])
        if held is None:
            raise MediaError(
                f"frame {want[1]} is not in the store of decoded pictures",
                where=want[0],
                remedy="give train.cache_mb more",
            )
        return held

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_dataset":
            raise AttributeError(name)
        return getattr(self._dataset, name)


def _key(sample: Sample) -> object:
    return sample.id, sample.centre


def wanted(sample: Sample, spec: InputSpec, section: AugmentSection) -> tuple[tuple[int, int, int, int], int]:
    """The window (x, y, w, h) to keep of a sample's frames (zeros: all), and the factor to shrink by."""
    size_wh = next(iter(sample.inputs.values()))[-1].size_wh
    if spec.fit == "native":
        start = -placement(size_wh, spec, sample.centre)[:, 2]
        margin = np.array([reach(side, section) for side in spec.size_wh])
        x, y = (int(v) for v in start - margin)
        w, h = (int(v) for v in np.array(spec.size_wh) + 2 * margin)
        return (x, y, w, h), 1
    shrink = 1 / np.linalg.norm(placement(size_wh, spec)[:, :2], axis=0).max()
    return WHOLE, max(1, int(shrink / max(1.0, section.scale[1]) + 1e-6))


def reach(side: int, section: AugmentSection) -> int:
    """How far, in whole even pixels, a moved native window may reach beyond its own side."""
    widened = side * (1.5 if section.rotate or section.shear or section.rotate90 else 1.0)
    far = widened / section.scale[0] / 2 - side / 2 + section.translate * side / section.scale[0]
    return 2 * int(np.ceil(far / 2)) + (2 if far > 0 else 0)


def reduced(picture: Array, factor: int) -> Array:
    """A picture shrunk by a whole factor of area averaging, as `geometry.warp` begins; a remainder is cut."""
    if factor == 1:
        return picture
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    small: Array = cv2.resize(
        picture[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA
    )
    return small


def part_of(picture: Array, want: Wanted) -> Array:
    """What is kept of a picture."""
    (x, y, width, height), factor, pad = want[2:]
    if (width, height) == (0, 0):
        return reduced(picture, factor)
    return window(picture, (x, y), (width, height), pad=pad)


def storable(samples: Iterable[Sample], inputs: Mapping[str, InputSpec]) -> bool:
    """Whether samples are better kept as placed than decoded: frames of videos, of which little is used."""
    pictures = [spec for spec in inputs.values() if spec.pixels != "track"]
    if not all(spec.pixels in ("rgb8", "grey8") for spec in pictures):
        return False
    first = next(iter(samples), None)
    if first is None:
        return False
    records = [record for rows in first.inputs.values() for record in rows]
    films = all(r.frame >= 0 and Path(r.media).suffix.lower() in VIDEO_SUFFIXES for r in records)
    return films and all(spec.fit == "native" or wanted(first, spec, NO_MOVE)[1] > 1 for spec in pictures)


def fitting(sizes: int, limit_mb: int) -> int:
    """Keep every n-th sample: the least n with which pictures of `sizes` bytes in all fit the limit."""
    return max(1, -(-sizes // (limit_mb * MEGABYTE)))
