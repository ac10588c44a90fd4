"""A picture being drawn on: lines, areas and tags whose size follows the picture's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.draw.text import Pixels, cut, put_text, text_size
from sightline.draw.theme import Colour, Theme, ink_on

Array = NDArray[Any]
Rect = tuple[int, int, int, int]

_SHIFT = 4
MIN_TEXT = 11.0
MIN_SIDE_FOR_TEXT = 48
# Beyond this many names a picture is a wall of text, and placing them costs more than drawing.
MAX_TAGS = 150


class Canvas:
    """A copy of a picture, enlarged or reduced by `scale`, that takes marks in the source's coordinates.

    Coordinates are continuous pixels of the source picture (see `core.geometry`). Line width and text
    grow with the picture, so that marks stay legible from 100 to 10,000 pixels; in pictures under
    48 pixels there is no room for text and tags are left out.

    Args:
        picture: (H, W, 3) uint8 RGB or (H, W) uint8; it is not changed.
        scale: output pixels a source pixel.
        theme: light or dark panels.
        sized_for: width and height that marks are sized for; the picture's own unless it is a part cut from
            a larger one.
    """

    def __init__(
        self, picture: Array, scale: float, theme: Theme, sized_for: tuple[int, int] | None = None
    ) -> None:
        self.scale, self.theme = scale, theme
        self.pixels = resized(as_rgb(picture), scale)
        height, width = self.pixels.shape[:2]
        self.size_wh = (width, height)
        unit = max(sized_for or (width, height)) ** 0.6 / 25
        self.line = max(1, round(unit))
        self.text = max(MIN_TEXT, 7.5 * unit)
        self.roomy = min(width, height) >= MIN_SIDE_FOR_TEXT
        self._taken: list[Rect] = []

    def to_output(self, points_xy: Array) -> NDArray[np.float64]:
        """Source coordinates (..., 2) in output pixels, continuous."""
        return np.asarray(points_xy, np.float64) * self.scale

    def _fixed(self, points_xy: Array) -> NDArray[np.int32]:
        """OpenCV's fixed-point pixel-centre coordinates, kept in the range it can take."""
        far = 4.0 * max(self.size_wh) + 100
        centred = np.clip(self.to_output(points_xy) - 0.5, -far, far)
        return np.round(centred * (1 << _SHIFT)).astype(np.int32)

    def outline(
        self,
        ring_xy: Array,
        colour: Colour,
        *,
        closed: bool = True,
        width: int = 0,
        dashed: bool = False,
        halo: bool = True,
    ) -> None:
        """A polyline, as a rule over a darker or lighter halo, so that it shows on any ground."""
        width = width or self.line
        pieces = self._dashes(ring_xy) if dashed else [self._fixed(ring_xy).reshape(-1, 1, 2)]
        closed = closed and not dashed
        if halo:
            cv2.polylines(self.pixels, pieces, closed, ink_on(colour), width + 2, cv2.LINE_AA, _SHIFT)
        cv2.polylines(self.pixels, pieces, closed, colour, width, cv2.LINE_AA, _SHIFT)

    def taper(self, pieces: list[tuple[Array, int]], colour: Colour) -> None:
        """Line pieces (2, 2), each of its own width, over one halo, so that joints do not show."""
        fixed = [(self._fixed(ends).reshape(-1, 1, 2), width) for ends, width in pieces]
        for extra, ink in ((2, ink_on(colour)), (0, colour)):
            for ends, width in fixed:
                cv2.polylines(self.pixels, [ends], False, ink, width + extra, cv2.LINE_AA, _SHIFT)

    def _dashes(self, ring_xy: Array) -> list[NDArray[np.int32]]:
        ring = np.vstack([ring_xy, ring_xy[:1]])
        step = max(1e-6, 5.0 * self.line / self.scale)
        pieces = []
        for a, b in pairwise(ring):
            count = max(1, min(400, int(np.linalg.norm(b - a) / step)))
            stops = np.linspace(0, 1, count + 1)
            ends = a + (b - a) * stops[:, None]
            pieces += [self._fixed(ends[i : i + 2]).reshape(-1, 1, 2) for i in range(0, count, 2)]
        return pieces

    def box(
        self, box_xyxy: Array, colour: Colour, *, width: int = 0, dashed: bool = False, halo: bool = True
    ) -> None:
        """A rectangle; the other arguments as `outline`."""
        # On pixel centres: a smoothed thin line between two pixels would lose its colour to its halo.
        snapped = (np.floor(self.to_output(np.asarray(box_xyxy))) + 0.5) / self.scale
        x1, y1, x2, y2 = (float(v) for v in snapped)
        corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
        self.outline(corners, colour, width=width, dashed=dashed, halo=halo)

    def ring(self, centre_xy: Array, radius: float, colour: Colour, *, width: int = 0) -> None:
        """A circle of a radius in output pixels."""
        x, y = (int(v) for v in self._fixed(np.asarray(centre_xy)))
        r, w = round(radius * (1 << _SHIFT)), width or self.line
        cv2.circle(self.pixels, (x, y), r, ink_on(colour), w + 2, cv2.LINE_AA, _SHIFT)
        cv2.circle(self.pixels, (x, y), r, colour, w, cv2.LINE_AA, _SHIFT)

    def dot(self, centre_xy: Array, radius: float, colour: Colour) -> None:
        """A filled circle of a radius in output pixels."""
        x, y = (int(v) for v in self._fixed(np.asarray(centre_xy)))
        edge = radius + 1
        cv2.circle(self.pixels, (x, y), round(edge * (1 << _SHIFT)), ink_on(colour), -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(self.pixels, (x, y), round(radius * (1 << _SHIFT)), colour, -1, cv2.LINE_AA, _SHIFT)

    def tint(self, mask: NDArray[np.bool_], colour: Colour, share: float = 0.45) -> None:
        """Blend a colour into the pixels of a source-sized mask (H, W)."""
        region = self._sized(mask.astype(np.uint8)).astype(bool)
        mixed = self.pixels[region] * (1 - share) + np.array(colour, np.float32) * share
        self.pixels[region] = np.round(mixed).astype(np.uint8)

    def mask_outline(self, mask: NDArray[np.bool_], colour: Colour, *, width: int = 0) -> None:
        """The border of a source-sized mask (H, W)."""
        region = self._sized(mask.astype(np.uint8))
        rings, _ = cv2.findContours(region, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(self.pixels, rings, -1, ink_on(colour), (width or self.line) + 2, cv2.LINE_AA)
        cv2.drawContours(self.pixels, rings, -1, colour, width or self.line, cv2.LINE_AA)

    def recolour(self, colours: Pixels, known: NDArray[np.bool_], share: float) -> None:
        """Blend source-sized colours (H, W, 3) where `known` (H, W); the rest turns grey."""
        over = self._sized(colours)
        region = self._sized(known.astype(np.uint8))[:, :, None]
        grey = self.pixels.mean(axis=2, keepdims=True) * 0.7 + 38
        mixed = np.where(region, self.pixels * (1 - share) + over * share, grey)
        self.pixels = np.ascontiguousarray(np.round(mixed).clip(0, 255).astype(np.uint8))

    def _sized(self, layer: Array) -> Array:
        if layer.shape[1::-1] == self.size_wh:
            return layer
        out: Array = cv2.resize(layer, self.size_wh, interpolation=cv2.INTER_NEAREST)
        return out

    def tag(self, text: str, box_xyxy: Array, colour: Colour) -> None:
        """A name beside a box, on a ground of its own, where it hides no other name."""
        if not self.roomy or not text or len(self._taken) >= MAX_TAGS:
            return
        x1, y1, x2, y2 = self.to_output(np.asarray(box_xyxy).reshape(2, 2)).ravel()
        text = cut(text, self.text, self.size_wh[0] - 6)
        width, height = text_size(text, self.text)
        width += round(self.text * 0.5)
        spots = [(x1, y1 - height), (x1, y2), (x2 - width, y1 - height), (x1, y1), (x2 - width, y2), (x2, y1)]
        best = min((self._inside(x, y, width, height) for x, y in spots), key=self._hidden)
        if self._hidden(best) <= 0.25 * width * height:
            self.plate(text, best, colour)

    def plate(self, text: str, rect: Rect, colour: Colour) -> None:
        """Text on a filled rectangle (x, y, width, height) in output pixels."""
        x, y, width, height = rect
        cv2.rectangle(self.pixels, (x, y), (x + width - 1, y + height - 1), colour, -1)
        put_text(self.pixels, text, (x + self.text * 0.25, y), self.text, ink_on(colour))
        self._taken.append(rect)

    def _inside(self, x: float, y: float, width: int, height: int) -> Rect:
        left = int(np.clip(x, 0, max(0, self.size_wh[0] - width)))
        top = int(np.clip(y, 0, max(0, self.size_wh[1] - height)))
        return left, top, width, height

    def _hidden(self, rect: Rect) -> float:
        """Largest area of another tag that this rectangle covers."""
        x, y, w, h = rect
        return max(
            (
                max(0, min(x + w, a + c) - max(x, a)) * max(0, min(y + h, b + d) - max(y, b))
                for a, b, c, d in self._taken
            ),
            default=0,
        )

    def legend(self, entries: list[tuple[str, Colour, float | None]]) -> None:
        """A panel of names in the corner, each with its colour and, where given, a bar for a share 0..1."""
        if not self.roomy or not entries:
            return
        line = text_size("X", self.text)[1]
        room = max(1, (self.size_wh[1] - 4) // line)
        entries = entries[:room]
        names = [cut(name, self.text, self.size_wh[0] * 0.7) for name, _, _ in entries]
        bar = round(self.text * 4) if any(share is not None for *_, share in entries) else 0
        width = round(max(text_size(n, self.text)[0] for n in names) + self.text * 2 + bar)
        width, height = min(width, self.size_wh[0]), line * len(entries) + 4
        self.panel((0, 0, width, height))
        for i, (name, (_, colour, share)) in enumerate(zip(names, entries, strict=True)):
            y = 2 + i * line
            inset = round(line * 0.25)
            corner, end = (inset, y + inset), (line - inset, y + line - inset)
            cv2.rectangle(self.pixels, corner, end, colour, -1)
            put_text(self.pixels, name, (line, y), self.text, self.theme.ink)
            if share is not None:
                left = width - bar
                far = left + max(1, round((bar - inset) * min(1.0, share)))
                cv2.rectangle(self.pixels, (left, y + inset), (far, y + line - inset), colour, -1)

    def panel(self, rect: Rect) -> None:
        """A nearly opaque ground for text, (x, y, width, height) in output pixels."""
        x, y, w, h = rect
        part = self.pixels[y : y + h, x : x + w].astype(np.float32)
        ground = np.array(self.theme.panel, np.float32)
        self.pixels[y : y + h, x : x + w] = np.round(part * 0.15 + ground * 0.85).astype(np.uint8)
        self._taken.append(rect)


def as_rgb(picture: Array) -> Pixels:
    """uint8 RGB (H, W, 3) of a colour, grey or 16-bit picture (stretched to its own range)."""
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8:
        top = max(float(pixels.max(initial=0)), 1e-9)
        pixels = (pixels.astype(np.float32) * (255 / top)).astype(np.uint8)
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def resized(picture: Pixels, scale: float) -> Pixels:
    """A copy `scale` times as large, area-averaged down, cubic up."""
    height, width = picture.shape[:2]
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size_wh == (width, height):
        return picture.copy()
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size_wh, interpolation=method), np.uint8)
