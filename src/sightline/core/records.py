"""One labelled picture or frame, and what is marked on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import DatasetError

EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rle:
    """A mask as run lengths down the columns, background first (the COCO way).

    Attributes:
        size_wh: width and height of the mask in pixels.
        counts: run lengths that sum to width x height.
    """

    size_wh: tuple[int, int]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        total = self.size_wh[0] * self.size_wh[1]
        if sum(self.counts) != total or min(self.counts, default=0) < 0:
            raise DatasetError(f"run lengths sum to {sum(self.counts)}, the mask has {total} pixels")

    @classmethod
    def encode(cls, mask: NDArray[np.bool_]) -> Rle:
        """Run lengths of a mask (H, W)."""
        flat = np.asarray(mask, dtype=bool).ravel(order="F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
        counts = ([0] if flat.size and flat[0] else []) + runs
        return cls((mask.shape[1], mask.shape[0]), tuple(counts if flat.size else []))

    def decode(self) -> NDArray[np.bool_]:
        """The mask (H, W)."""
        width, height = self.size_wh
        values = np.arange(len(self.counts)) % 2 == 1
        return np.repeat(values, self.counts).reshape((height, width), order="F")


@dataclass(frozen=True, slots=True)
class Annotation:
    """One thing marked on a picture. Which geometry is set says what kind of mark it is.

    None of `box`, `polygons`, `mask`, `point` set: a label of the whole picture. Coordinates are
    continuous pixels of the upright picture (EXIF orientation already applied).

    Attributes:
        label: class index, 0-based into the dataset's classes.
        box: x1, y1, x2, y2; also set for polygons and masks, as their hull or as the author gave it.
        polygons: rings (N, 2) of one object, even-odd.
        mask: the object's pixels.
        point: x, y.
        visible: false for a point known to be hidden (its coordinates then mean nothing).
        crowd: a region of many objects, neither hit nor miss.
        track: identity over frames, empty where there is none.
        attributes: anything else the author wrote, as text.
        source: where it was read: line, JSON pointer or annotation id.
    """

    label: int
    box: tuple[float, float, float, float] | None = None
    polygons: tuple[NDArray[np.float64], ...] = ()
    mask: Rle | None = None
    point: tuple[float, float] | None = None
    visible: bool = True
    crowd: bool = False
    track: str = ""
    attributes: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    source: str = ""

    @property
    def kind(self) -> str:
        """`mask`, `polygon`, `box`, `point` or `label`."""
        if self.mask is not None:
            return "mask"
        if self.polygons:
            return "polygon"
        if self.box is not None:
            return "box"
        return "point" if self.point is not None else "label"


@dataclass(frozen=True, slots=True)
class Record:
    """One picture, or one frame of a video, with its labels and where it came from.

    Attributes:
        id: unique in its dataset and stable between imports: the media name, and `#frame` for video.
        media: path inside the dataset's `media/` folder, or a URL not yet fetched; forward slashes.
        size_wh: width and height upright, in pixels; (0, 0) where it is not known.
        frame: index in the video, or -1 for a picture.
        group: what must stay on one side of a split: video, session, burst, source picture.
        sensor: which camera or sensor; empty where there is only one.
        time_s: seconds on that sensor's clock, or None.
        annotations: what is marked.
        maps: dense labels by task (`segment`, `panoptic`, `depth`): paths inside `media/`. A segment map
            is an 8-bit PNG of class indices, 255 is void. A panoptic map is a PNG whose R + 256 G +
            65536 B is the number of the annotation plus one (0 is void). A depth map is a 16-bit PNG
            in millimetres, 0 unknown.
        partition: the author's own split (`train`, `val`, `test`), empty where there is none.
        source: file, and line or pointer, the record was read from.
    """

    id: str
    media: str
    size_wh: tuple[int, int]
    annotations: tuple[Annotation, ...] = ()
    frame: int = -1
    group: str = ""
    sensor: str = ""
    time_s: float | None = None
    maps: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    partition: str = ""
    source: str = ""

    def boxes(self) -> NDArray[np.float32]:
        """Boxes (N, 4) xyxy of the annotations that have one."""
        rows = [a.box for a in self.annotations if a.box is not None]
        return np.array(rows, dtype=np.float32).reshape(-1, 4)

    def labels(self) -> NDArray[np.int64]:
        """Class indices (N,) of the annotations that have a box, beside `boxes`."""
        return np.array([a.label for a in self.annotations if a.box is not None], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a model reads at once: named inputs over records, and the record that holds the truth.

    A picture is `{"image": (record,)}`; a clip `{"clip": (oldest, ..., newest)}`; two sensors
    `{"image": (a,), "depth": (b,)}`; a track is the records of its past frames with their points.
    Samples are views: they hold no pixels.

    Attributes:
        inputs: records by input name.
        target: the record that holds the truth.
        centre: (x, y) in source pixels of the target, the middle of `native` windows; None is the middle
            of the picture.
    """

    inputs: Mapping[str, tuple[Record, ...]]
    target: Record
    centre: tuple[float, float] | None = None

    @property
    def id(self) -> str:
        """The id of the record that holds the truth."""
        return self.target.id

    @property
    def group(self) -> str:
        """The group that must stay together, for splits and for the bootstrap."""
        return self.target.group or self.target.id


def plain(annotation: Annotation) -> dict[str, Any]:
    """An annotation as plain values, without the fields left at their defaults."""
    out: dict[str, Any] = {"label": annotation.label, "kind": annotation.kind}
    if annotation.box is not None:
        out["box"] = list(annotation.box)
    if annotation.polygons:
        out["polygons"] = [ring.tolist() for ring in annotation.polygons]
    if annotation.mask is not None:
        out["mask"] = {"size_wh": list(annotation.mask.size_wh), "counts": list(annotation.mask.counts)}
    if annotation.point is not None:
        out["point"] = list(annotation.point)
        out["visible"] = annotation.visible
    return out
