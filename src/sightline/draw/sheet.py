"""Several pictures on one: contact sheets, and truth beside result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import UsageError
from sightline.core.records import Record
from sightline.core.results import Result
from sightline.draw.canvas import Array, as_rgb, resized
from sightline.draw.record import draw_record
from sightline.draw.result import draw_result, draw_results
from sightline.draw.text import Pixels, cut, put_text, text_size
from sightline.draw.theme import Theme, theme

GAP = 10


def fit_scale(size_wh: tuple[int, int], cell_wh: tuple[int, int]) -> float:
    """The scale at which a picture just fits a cell."""
    return min(cell_wh[0] / max(1, size_wh[0]), cell_wh[1] / max(1, size_wh[1]))


def contact_sheet(
    pictures: Sequence[Array],
    captions: Sequence[str] = (),
    *,
    columns: int = 0,
    cell_wh: tuple[int, int] = (320, 240),
    title: str = "",
    dark: bool = False,
) -> Pixels:
    """Pictures in a grid, each scaled to its cell, with a caption under each and a title above.

    To keep drawn names crisp, draw each picture at `fit_scale(size_wh, cell_wh)` first.

    Args:
        pictures: RGB (H, W, 3) uint8, any sizes; at least one.
        captions: one a picture, or none at all; too long ones are cut.
        columns: 0 chooses a grid about as wide as a screen.
        cell_wh: room of one picture in pixels.
        title: a line above all.
        dark: dark page instead of a light one.

    Raises:
        UsageError: no pictures, or captions that do not match them.
    """
    if not pictures:
        raise UsageError("a contact sheet needs at least one picture")
    if captions and len(captions) != len(pictures):
        raise UsageError(f"{len(captions)} captions for {len(pictures)} pictures")
    look = theme(dark)
    columns = columns or max(1, min(len(pictures), round(math.sqrt(len(pictures) * 1.6))))
    rows = math.ceil(len(pictures) / columns)
    text = max(12.0, cell_wh[0] / 24)
    line = text_size("X", text)[1] if captions else 0
    head = round(line * 1.8) if title and captions else (round(text * 2.4) if title else 0)
    step_x, step_y = cell_wh[0] + GAP, cell_wh[1] + line + GAP
    page = np.empty((head + rows * step_y + GAP, columns * step_x + GAP, 3), np.uint8)
    page[:] = look.page
    if title:
        put_text(page, cut(title, text * 1.3, page.shape[1] - 2 * GAP), (GAP, GAP), text * 1.3, look.ink)
    for index, picture in enumerate(pictures):
        x, y = GAP + index % columns * step_x, head + GAP + index // columns * step_y
        _cell(page, as_rgb(picture), (x, y), cell_wh)
        if captions:
            put_text(page, cut(captions[index], text, cell_wh[0]), (x, y + cell_wh[1]), text, look.quiet)
    return page


def _cell(page: Pixels, picture: Pixels, corner_xy: tuple[int, int], cell_wh: tuple[int, int]) -> None:
    scale = fit_scale((picture.shape[1], picture.shape[0]), cell_wh)
    small = resized(picture, scale)[: cell_wh[1], : cell_wh[0]]
    height, width = small.shape[:2]
    x = corner_xy[0] + (cell_wh[0] - width) // 2
    y = corner_xy[1] + (cell_wh[1] - height) // 2
    page[y : y + height, x : x + width] = small


def side_by_side(pictures: Sequence[Array], captions: Sequence[str], *, dark: bool = False) -> Pixels:
    """Pictures of one height in a row, a caption above each."""
    look = theme(dark)
    panes = [as_rgb(p) for p in pictures]
    height = max(p.shape[0] for p in panes)
    panes = [resized(p, height / p.shape[0]) if p.shape[0] != height else p for p in panes]
    text = max(12.0, 7.5 * max(max(p.shape[:2]) for p in panes) ** 0.6 / 25)
    columns = [_titled(pane, caption, text, look) for pane, caption in zip(panes, captions, strict=True)]
    gap = np.empty((columns[0].shape[0], max(4, round(text / 2)), 3), np.uint8)
    gap[:] = look.page
    row: list[Array] = []
    for column in columns:
        row += [column, gap]
    return np.concatenate(row[:-1], axis=1)


def _titled(pane: Pixels, caption: str, text: float, look: Theme) -> Pixels:
    band = np.empty((text_size("X", text)[1] + 4, pane.shape[1], 3), np.uint8)
    band[:] = look.page
    put_text(band, cut(caption, text, pane.shape[1] - 4), (2, 2), text, look.ink)
    return np.concatenate([band, pane])


def draw_comparison(
    picture: Array,
    record: Record,
    result: Result | Mapping[str, Result],
    classes: Sequence[str],
    *,
    maps: Mapping[str, NDArray[Any]] | None = None,
    min_score: float = 0.0,
    scale: float = 1.0,
    dark: bool = False,
) -> Pixels:
    """Truth on the left, result on the right; arguments as `draw_record` and `draw_result`."""
    truth = draw_record(picture, record, classes, maps=maps, scale=scale, dark=dark)
    if isinstance(result, Mapping):
        found = draw_results(picture, result, min_score=min_score, scale=scale, dark=dark)
    else:
        found = draw_result(picture, result, min_score=min_score, scale=scale, dark=dark)
    return side_by_side([truth, found], ["truth", "result"], dark=dark)
