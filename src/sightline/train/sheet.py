"""Sheets to look at before and after training: what the network sees, and where a locator looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import ModelError
from sightline.core.problem import Problem
from sightline.core.records import Annotation, Record, Rle, Sample
from sightline.core.results import Points
from sightline.data.samples import samples
from sightline.draw import contact_sheet, draw_record
from sightline.draw.heat import draw_heat
from sightline.draw.result import draw_result
from sightline.train.augment import draw, generator
from sightline.train.batches import Pictures
from sightline.train.labels import Labeller
from sightline.train.run import Run, build_model

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset

Pixels = NDArray[np.uint8]
# Beside the picture as it is placed stand so many draws of its change.
DRAWS = 5
LEAST_SIDE = 220


def augmentation_sheet(
    problem: Problem, dataset: Dataset, ids: Sequence[str], *, draws: int = DRAWS, dark: bool = False
) -> Pixels:
    """A row a record: as it is placed, then as training sees it in the first epochs, labels drawn on.

    Args:
        problem: its model's inputs and its augmentation, seed and all.
        dataset: holds the records.
        ids: records to show; the last frame of a clip is shown, and its caption says whether it is `still`.
        draws: of the change beside the plain picture.
        dark: dark page.

    Raises:
        DatasetError: no sample can be made of the records.
        ModelError: the model reads no colour picture.
    """
    signature = build_model(problem, dataset.classes).signature
    views = samples(dataset, ids, signature.inputs)
    name = _colour_input(signature.inputs)
    section = problem.train.augment
    labeller = Labeller(signature.tasks, dataset.classes, dataset.read_map, min_visible=section.min_visible)
    seed = problem.train.seed
    plain = Pictures(dataset, views, signature.inputs, labeller)
    changed = Pictures(dataset, views, signature.inputs, labeller, section=section, seed=seed)
    pictures: list[Pixels] = []
    captions: list[str] = []
    for index, view in enumerate(views):
        for epoch in range(-1, draws):
            inputs, target = (plain if epoch < 0 else changed).element(max(epoch, 0), index)
            pixels = np.asarray(inputs[name], np.uint8)
            frame = pixels[-1] if pixels.ndim == 4 else pixels
            pictures.append(draw_target(frame, target, dataset.classes))
            # Where mosaics may come before the change is drawn there are no clips, and nothing is still.
            still = epoch >= 0 and draw(generator(seed, epoch, index), section).still
            captions.append(view.id if epoch < 0 else f"epoch {epoch + 1}" + ", still" * still)
    size = _cell(pictures[0]) if pictures else (1, 1)
    title = f"{problem.name}: as placed, and {draws} draws of its augmentation"
    return contact_sheet(pictures, captions, columns=draws + 1, cell_wh=size, title=title, dark=dark)


def draw_target(picture: Pixels, target: dict[str, Any], classes: Sequence[str]) -> Pixels:
    """A placed picture with its training target drawn on it."""
    height, width = picture.shape[:2]
    marks: list[Annotation] = []
    if "label" in target:
        marks.append(Annotation(int(target["label"])))
    masks = target.get("masks")
    for row, box in enumerate(target.get("boxes", ())):
        mask = Rle.encode(np.asarray(masks[row], bool)) if masks is not None else None
        x1, y1, x2, y2 = (float(v) for v in box)
        marks.append(Annotation(int(target["labels"][row]), (x1, y1, x2, y2), mask=mask))
    for row, (x, y) in enumerate(target.get("points", ())):
        if target["visible"][row] > 0:
            marks.append(Annotation(row, point=(float(x), float(y))))
    maps: dict[str, NDArray[Any]] = {
        task: np.asarray(target[task]) for task in ("segment", "depth") if task in target
    }
    return draw_record(picture, Record("", "", (width, height), tuple(marks)), classes, maps=maps)


def heat_sheet(run: Run, dataset: Dataset, ids: Sequence[str], *, dark: bool = False) -> Pixels:
    """Frames with a locator's heatmap over them and its answer, in the network's own pixels.

    Args:
        run: of a model that makes heatmaps.
        dataset: holds the records; a window at the picture's own scale is put about the truth.
        ids: records to show.
        dark: dark page.

    Raises:
        ModelError: the model makes no heatmap.
    """
    import torch

    model = run.model()
    signature = model.signature
    views = [_centred(view) for view in samples(dataset, ids, signature.inputs)]
    labeller = Labeller(signature.tasks, dataset.classes, dataset.read_map)
    placed = Pictures(dataset, views, signature.inputs, labeller)
    name = _colour_input(signature.inputs)
    pictures: list[Pixels] = []
    captions: list[str] = []
    for index, view in enumerate(views):
        inputs, target = placed.element(0, index)
        tensors = {key: torch.from_numpy(np.ascontiguousarray(v))[None] for key, v in inputs.items()}
        with torch.inference_mode():
            raw = model.raw(tensors)
            if "heat" not in raw:
                raise ModelError(f"{run.problem.model.name} makes no heatmap", where=run.folder)
            answer = model.decode(raw)
        # One map a class; the strongest of them in each cell.
        heat = raw["heat"][0].flatten(1).softmax(-1).reshape(raw["heat"][0].shape).amax(0).numpy()
        pixels = np.asarray(inputs[name], np.uint8)
        frame = draw_heat(pixels[-1] if pixels.ndim == 4 else pixels, heat)
        points = Points(
            answer["locate.points"][0].numpy(), answer["locate.visible"][0].numpy(), signature.classes
        )
        frame = draw_result(draw_target(frame, target, dataset.classes), points)
        pictures.append(frame)
        captions.append(f"{_off(target, points)}: {view.id}")
    title = f"{run.folder.name}: heatmaps, truth and answer"
    return contact_sheet(pictures, captions, cell_wh=_cell(pictures[0]), title=title, dark=dark)


def _off(target: dict[str, Any], points: Points) -> str:
    """How far the first answer is from the truth, in placed pixels."""
    if not target["visible"][0]:
        return "hidden"
    off = float(np.linalg.norm(points.points[0] - target["points"][0]))
    return f"{off:.1f} px off" if points.seen[0] else f"not seen, {off:.1f} px off"


def _centred(view: Sample) -> Sample:
    """A window is put about the truth, where there is one."""
    seen = [a.point for a in view.target.annotations if a.point is not None and a.visible]
    return replace(view, centre=seen[0]) if seen else view


def _colour_input(inputs: Any) -> str:
    for name, spec in inputs.items():
        if spec.pixels == "rgb8":
            return str(name)
    raise ModelError(f"the model reads {', '.join(inputs)}, none of them in colour")


def _cell(picture: Pixels) -> tuple[int, int]:
    """Room for a picture: its own size, or so much larger that its shorter side can be seen."""
    height, width = picture.shape[:2]
    scale = max(1.0, LEAST_SIDE / min(height, width))
    return round(width * scale), round(height * scale)
