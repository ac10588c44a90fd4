"""Crops for the fine stage of a two-stage locator, drawn from what the coarse stage really does.

Plain random crops about the truth teach the fine stage errors that the coarse one does not make, and hide
those that it does. So the trained coarse stage answers its own training frames first, and each crop is
centred where it would have put the window: near the thing with its real errors, on what it mistook for the
thing, and on the next best place of its heatmap. Every few epochs the crops of which the fine stage's own
loss was highest are drawn more often (hard example mining, Shrivastava et al. 2016).

What is drawn depends on the seed, the epoch and the losses saved at the last re-mining, which are kept in the
run's folder: a training that was cut short draws the same crops when it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.core.errors import UsageError
from sightline.core.files import fingerprint, written_whole
from sightline.core.geometry import invert, move_points
from sightline.core.problem import MineSection
from sightline.core.records import Record, Sample
from sightline.core.specs import InputSpec
from sightline.models.base import Model
from sightline.train.placed import PlacedStore
from sightline.train.sampling import by_loss, drawn_rows

F64 = NDArray[np.float64]
Point = tuple[float, float]

KINDS = ("found", "mistaken", "lost", "background")
FOUND_SHARE = 0.4  # of the window's side: nearer than that the coarse stage found the thing
LOST_SHARE = 0.15  # of the window's side: spread of the places where a hidden thing is looked for
BATCH = 8


@dataclass(frozen=True, slots=True)
class Glance:
    """What the coarse stage said of one frame, in source pixels.

    Attributes:
        xy: its point.
        visible: its probability that the thing is in sight.
        second_xy: the best place of its heatmap away from that point; None where it gives no heatmap.
    """

    xy: Point
    visible: float
    second_xy: Point | None = None


@torch.inference_mode()
def glances(
    model: Model, store: PlacedStore, samples: Sequence[Sample], apart_px: float, device: torch.device
) -> list[Glance]:
    """What a coarse model says of samples whose pictures are in a store.

    Args:
        model: one class; its raw tensor `heat` (B, 1, h, w), where it has one, gives the second places.
        store: holds the samples' pictures for the model's inputs.
        samples: in the order of the answers.
        apart_px: least distance of the second place from the first, source pixels.
        device: where the model runs.
    """
    model.to(device).eval()
    inputs = model.signature.inputs
    width_height = next(iter(inputs.values())).size_wh
    out: list[Glance] = []
    for start in range(0, len(samples), BATCH):
        rows = [store.placed(sample, inputs) for sample in samples[start : start + BATCH]]
        placed = {name: np.stack([row[0][name] for row in rows]) for name in inputs}
        raw = model.raw({name: torch.from_numpy(value).to(device) for name, value in placed.items()})
        decoded = model.decode(raw)
        points = decoded["locate.points"][:, 0].float().cpu().numpy()
        visible = decoded["locate.visible"][:, 0].float().cpu().numpy()
        heat = raw["heat"][:, 0].float().cpu().numpy() if "heat" in raw else None
        for i, (_, matrix, _) in enumerate(rows):
            back = invert(matrix)
            second = None
            if heat is not None:
                apart = apart_px * float(np.linalg.norm(matrix[:, 0]))
                second = _xy(move_points(_second(heat[i], points[i], width_height, apart), back))
            out.append(Glance(_xy(move_points(points[i], back)), float(visible[i]), second))
    return out


def _second(heat: NDArray[Any], first_xy: NDArray[Any], size_wh: tuple[int, int], apart: float) -> F64:
    """The place of the highest cell of a heatmap (h, w) at least `apart` placed pixels from a point."""
    height, width = heat.shape
    ys, xs = np.mgrid[:height, :width]
    xs, ys = (xs + 0.5) * size_wh[0] / width, (ys + 0.5) * size_wh[1] / height
    far = np.hypot(xs - first_xy[0], ys - first_xy[1]) >= apart
    at = int(np.argmax(np.where(far, heat, -np.inf)))
    return np.array([xs.flat[at], ys.flat[at]], np.float64)


def _xy(point: NDArray[Any]) -> Point:
    return float(point[0]), float(point[1])


@dataclass(frozen=True, slots=True)
class Crop:
    """A window of a training frame: the sample with its centre, and why it was taken (`KINDS`)."""

    sample: Sample
    kind: str


def crops_of(
    samples: Sequence[Sample], seen: Sequence[Glance], spec: InputSpec, section: MineSection, seed: int
) -> list[Crop]:
    """The pool of crops of some frames.

    `found`: about the coarse answer where it was near the thing, about the thing where it was not.
    `mistaken`: about a coarse answer that was nowhere near, and about every answer on a frame where the
    thing is out of sight. `lost`: about the place where a hidden thing was last seen. `background`: about
    the second best place, on a share of the frames. With `crops: random` there are only windows about the
    truth, jittered evenly (`found`), and windows anywhere for frames without (`background`).
    """
    side = min(spec.size_wh)
    last = _last_seen(samples)
    out: list[Crop] = []
    for index, (sample, glance) in enumerate(zip(samples, seen, strict=True)):
        random = np.random.Generator(np.random.Philox(key=seed, counter=[0, index, 0, 1 << 33]))
        truth = truth_of(sample.target)
        size_wh = np.array(next(iter(sample.inputs.values()))[-1].size_wh, np.float64)
        if section.crops == "random":
            spread = section.jitter * side * random.uniform(-1, 1, 2)
            centre = random.uniform(0, 1, 2) * size_wh if truth is None else np.array(truth) + spread
            out.append(_crop(sample, centre, "background" if truth is None else "found"))
            continue
        out += _mined(sample, glance, truth, last[index], side, section, random)
    return out


def _mined(
    sample: Sample,
    glance: Glance,
    truth: Point | None,
    last: Point | None,
    side: int,
    section: MineSection,
    random: np.random.Generator,
) -> list[Crop]:
    out: list[Crop] = []
    found = truth is not None and np.hypot(*np.subtract(glance.xy, truth)) <= FOUND_SHARE * side
    if truth is not None:
        out.append(_crop(sample, glance.xy if found else truth, "found"))
    if not found:
        out.append(_crop(sample, glance.xy, "mistaken"))
    if truth is None and last is not None:
        out.append(_crop(sample, np.array(last) + random.normal(0, LOST_SHARE * side, 2), "lost"))
    if glance.second_xy is not None and random.random() < section.background:
        out.append(_crop(sample, glance.second_xy, "background"))
    return out


def _crop(sample: Sample, centre: Any, kind: str) -> Crop:
    return Crop(replace(sample, centre=(float(centre[0]), float(centre[1]))), kind)


def truth_of(record: Record) -> Point | None:
    """Where the one thing is in sight on a record, or None."""
    for mark in record.annotations:
        if mark.point is not None and mark.visible:
            return mark.point
    return None


def _last_seen(samples: Sequence[Sample]) -> list[Point | None]:
    """For each sample the place where its video last showed the thing, before it or at it."""
    order = sorted(range(len(samples)), key=lambda i: (samples[i].target.media, samples[i].target.frame))
    out: list[Point | None] = [None] * len(samples)
    media, last = "", None
    for i in order:
        record = samples[i].target
        last = truth_of(record) or (last if record.media == media else None)
        media, out[i] = record.media, last
    return out


class MinedSampler:
    """Epochs of crops, more of those whose loss was high.

    Args:
        crops: the pool.
        section: the share drawn by loss, and how often to mine again.
        seed: of the draws.
        folder: where the losses of each re-mining are kept.
        share: crops an epoch, as a share of the pool's number.
    """

    def __init__(
        self, crops: Sequence[Crop], section: MineSection, seed: int, folder: Path, share: float = 1.0
    ) -> None:
        self.section, self.seed, self.folder = section, seed, folder
        self.size, self.length = len(crops), max(1, round(share * len(crops)))

    def epoch(self, epoch: int, losses: NDArray[np.float32]) -> NDArray[np.int64]:
        """Rows (length, 2) of index and repeat, shuffled; see `sampling.Sampler.epoch`."""
        return drawn_rows(self.expected(self._mined(epoch, losses)), self.length, self.seed, epoch)

    def expected(self, losses: NDArray[np.float32]) -> F64:
        """How often (N,) each crop is drawn in an epoch, on average."""
        plain = np.full(self.size, 1 / self.size)
        hard = self.section.hard if self.section.crops == "mined" else 0.0
        shares = (1 - hard) * plain + hard * by_loss(losses)
        expected: F64 = shares * self.length
        return expected

    def _mined(self, epoch: int, losses: NDArray[np.float32]) -> NDArray[np.float32]:
        """The losses at the last re-mining: kept in a file, since by now they have moved on."""
        first = epoch - epoch % self.section.every
        path = self.folder / f"losses-{first:04d}.npy"
        if epoch == first:
            self.folder.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as part, part.open("wb") as file:
                np.save(file, losses)
            return losses
        try:
            found: NDArray[np.float32] = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"cannot be read ({error}), so the crops of epoch {epoch} are not known",
                where=path,
                remedy="train the fine stage again in another folder",
            ) from error
        return found


@dataclass(frozen=True, slots=True)
class Mined:
    """Everything the training of a fine stage takes from the coarse one.

    Attributes:
        train: the pool of crops of the training part.
        val: one window a frame of the validation part, where the coarse stage would put it.
        section: how crops are drawn.
    """

    train: tuple[Crop, ...]
    val: tuple[Sample, ...]
    section: MineSection

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over every crop and its centre."""
        rows = [(c.sample.id, c.sample.centre, c.kind) for c in self.train]
        return fingerprint([rows, [(s.id, s.centre) for s in self.val], self.section.model_dump()])

    def counts(self) -> dict[str, int]:
        """Crops of the pool by kind."""
        return {kind: sum(c.kind == kind for c in self.train) for kind in KINDS}
