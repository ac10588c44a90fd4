"""Pictures made of several: mosaic and copy-paste, each source still resampled once.

Mosaic follows Bochkovskiy et al. 2020 (YOLOv4), copy-paste Ghiasi et al. 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.geometry import Matrix, box_areas, fill_polygons, move_points, placement, warp
from sightline.core.problem import AugmentSection
from sightline.core.records import Record
from sightline.core.specs import InputSpec
from sightline.data.counting import VOID
from sightline.train.augment import Random, draw, on_canvas, recolour
from sightline.train.labels import LEAST_SIDE_PX, Labeller, Target, mark_mask, tightened

Array = NDArray[Any]
Source = tuple[Array, Record]
Mask = NDArray[np.bool_]

DENSE = {"segment": VOID, "depth": 0}
PASTE_SHARE = 0.5  # of the other picture's objects


def mosaic(
    sources: Sequence[Source], spec: InputSpec, section: AugmentSection, random: Random, labeller: Labeller
) -> tuple[Array, Target]:
    """Four pictures that meet in one point, seen through one random change.

    Each is scaled to fit the canvas and has one corner at the meeting point; what leaves the canvas is
    cut.

    Returns:
        The canvas (H, W, 3) or (H, W), and the targets of all four.
    """
    change = draw(random, section)
    meeting = random.uniform(0.3, 0.7, 2) * spec.size_wh
    canvas = np.full(spec.shape(1)[1:], spec.pad, spec.dtype)
    targets: list[Target] = []
    regions: list[Mask] = []
    for corner, (picture, record) in enumerate(sources):
        tile = _tile((picture.shape[1], picture.shape[0]), spec.size_wh, meeting, corner)
        matrix = on_canvas(tile, change.move, spec.size_wh)
        regions.append(_paint(canvas, picture, matrix))
        targets.append(labeller(record, matrix, spec.size_wh))
    return recolour(canvas, change), merged(targets, regions)


def _tile(source_wh: tuple[int, int], size_wh: tuple[int, int], meeting: Array, corner: int) -> Matrix:
    """Scale a picture to fit the canvas, with one of its corners at the meeting point."""
    scale = min(size_wh[0] / source_wh[0], size_wh[1] / source_wh[1])
    left, above = corner % 2 == 0, corner < 2
    x = meeting[0] - (source_wh[0] * scale if left else 0.0)
    y = meeting[1] - (source_wh[1] * scale if above else 0.0)
    return np.array([[scale, 0.0, x], [0.0, scale, y]])


def _paint(canvas: Array, picture: Array, matrix: Matrix) -> Mask:
    """Warp a picture onto the canvas where it falls; returns the pixels (H, W) that it covers."""
    height, width = canvas.shape[:2]
    region = np.zeros((height, width), bool)
    w, h = picture.shape[1], picture.shape[0]
    quad = move_points(np.array([[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]]), matrix)
    x1, y1 = np.floor(np.clip(quad.min(axis=0), 0, (width, height))).astype(int)
    x2, y2 = np.ceil(np.clip(quad.max(axis=0), 0, (width, height))).astype(int)
    if x2 <= x1 or y2 <= y1:
        return region
    shifted = matrix - np.array([[0.0, 0.0, x1], [0.0, 0.0, y1]])
    inside = fill_polygons((quad - (x1, y1),), (x2 - x1, y2 - y1))
    pixels = warp(picture, shifted, (int(x2 - x1), int(y2 - y1)))
    canvas[y1:y2, x1:x2][inside] = pixels[inside]
    region[y1:y2, x1:x2] = inside
    return region


def merged(targets: Sequence[Target], regions: Sequence[Mask]) -> Target:
    """One target of several on one canvas: rows one after the other, maps each in its own region."""
    out: Target = {}
    for name in {name: None for target in targets for name in target}:
        if name not in DENSE:
            out[name] = np.concatenate([t[name] for t in targets if name in t])
            continue
        first = next(t[name] for t in targets if name in t)
        out[name] = np.full_like(first, DENSE[name])
        for target, region in zip(targets, regions, strict=True):
            if name in target:
                out[name][region] = target[name][region]
    return out


def copy_paste(
    canvas: Array,
    target: Target,
    source: Source,
    spec: InputSpec,
    section: AugmentSection,
    random: Random,
    labeller: Labeller,
) -> tuple[Array, Target]:
    """Objects of another picture, cut out by their outlines and put on top.

    Marks without an outline (plain boxes) and crowds are not pasted. Objects below keep what is left
    of them, or go where less than `min_visible` is left.
    """
    picture, record = source
    change = draw(random, section)
    placed = placement((picture.shape[1], picture.shape[0]), spec)
    matrix = on_canvas(placed, change.move, spec.size_wh)
    outlined = [a for a in record.annotations if a.kind in ("polygon", "mask") and not a.crowd]
    chosen = [a for a in outlined if random.random() < PASTE_SHARE]
    masks = [mark_mask(a, record.size_wh, matrix, spec.size_wh) for a in chosen]
    pairs = [(a.label, mask) for a, mask in zip(chosen, masks, strict=True) if mask.any()]
    if not pairs:
        return canvas, target
    on_top = np.any([mask for _, mask in pairs], axis=0)
    moved = recolour(warp(picture, matrix, spec.size_wh, pad=spec.pad), change)
    canvas = np.where(on_top if canvas.ndim == 2 else on_top[:, :, None], moved, canvas)
    return canvas, _covered(target, pairs, on_top, labeller.min_visible)


def _covered(target: Target, pairs: list[tuple[int, Mask]], on_top: Mask, least: float) -> Target:
    """The targets after objects were put on top of them."""
    out = dict(target)
    if "segment" in out:
        out["segment"] = out["segment"].copy()
        for label, mask in pairs:
            out["segment"][mask] = label
    if "depth" in out:
        out["depth"] = np.where(
            on_top, np.float32(0), out["depth"]
        )  # how far the pasted thing was is not known here
    if "boxes" not in out:
        return out
    keep = _left(out, on_top) >= least
    if "masks" in out:
        out["masks"] = out["masks"] & ~on_top
    rows = {name: out[name][keep] for name in ("boxes", "labels", "crowd", "masks") if name in out}
    if "masks" in rows:
        rows["boxes"] = tightened(rows["boxes"], rows["masks"]).astype(np.float32)
    added = np.stack([mask for _, mask in pairs])
    boxes = tightened(np.tile([0.0, 0.0, *on_top.shape[::-1]], (len(pairs), 1)), added)
    large = (boxes[:, 2:] - boxes[:, :2] >= LEAST_SIDE_PX).all(axis=1)
    fresh: Target = {
        "boxes": boxes.astype(np.float32)[large],
        "labels": np.array([label for label, _ in pairs], np.int64)[large],
        "crowd": np.zeros(int(large.sum()), bool),
        "masks": added[large],
    }
    return out | {name: np.concatenate([rows[name], fresh[name]]) for name in rows}


def _left(target: Target, on_top: Mask) -> Array:
    """Share (N,) of each object's pixels, or of its box where it has no mask, still in sight."""
    if "masks" in target:
        whole = target["masks"].sum(axis=(1, 2))
        hidden = (target["masks"] & on_top).sum(axis=(1, 2))
    else:
        whole = box_areas(target["boxes"])
        corners = np.round(target["boxes"]).astype(int)
        hidden = np.array([on_top[y1:y2, x1:x2].sum() for x1, y1, x2, y2 in corners], np.float64)
    share: Array = 1.0 - hidden / np.maximum(whole, 1.0)
    return share
