"""Text on pictures. OpenCV 5 draws every script; OpenCV 4 has Latin strokes only, so there the rest is
spelled by its nearest ASCII letters, or by `?`.
"""

from __future__ import annotations

import threading
import unicodedata
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.draw.theme import Colour

Pixels = NDArray[np.uint8]

_WEIGHT = 500
_CAPITAL_SHARE = 0.72
_local = threading.local()


def text_size(text: str, height: float) -> tuple[int, int]:
    """Width and line height in pixels that a line of text takes."""
    line = one_line(text)
    face = _face()
    if face is None:
        (width, _), _ = cv2.getTextSize(_ascii(line), cv2.FONT_HERSHEY_SIMPLEX, height / 30, 1)
        return int(width), round(height * 1.3)
    _, _, width, _ = cv2.getTextSize((0, 0), line or " ", (0, 0), face, round(height), _WEIGHT)
    return int(width), round(height * 1.3)


def put_text(pixels: Pixels, text: str, corner_xy: tuple[float, float], height: float, ink: Colour) -> None:
    """Draw a line of text whose box (see `text_size`) has its top-left corner at `corner_xy`."""
    line = one_line(text)
    # The baseline stands so that capitals are centred in the line.
    base = corner_xy[1] + (height * 1.3 + height * _CAPITAL_SHARE) / 2
    origin = (round(corner_xy[0]), round(base))
    face = _face()
    if face is None:
        thick = max(1, round(height / 14))
        strokes = _ascii(line)
        cv2.putText(pixels, strokes, origin, cv2.FONT_HERSHEY_SIMPLEX, height / 30, ink, thick, cv2.LINE_AA)
    else:
        cv2.putText(pixels, line, origin, ink, face, round(height), _WEIGHT)


def one_line(text: str) -> str:
    """Text without line breaks and other control characters."""
    return "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)


def cut(text: str, height: float, width: float) -> str:
    """Text shortened by an ellipsis until it is at most `width` pixels wide."""
    if text_size(text, height)[0] <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if text_size(text[:middle] + "...", height)[0] <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low] + "..." if low else ""


def _face() -> Any:
    """One font a thread, or None under OpenCV 4."""
    maker = getattr(cv2, "FontFace", None)
    if maker is None:
        return None
    if not hasattr(_local, "face"):
        _local.face = maker("sans")
    return _local.face


def _ascii(text: str) -> str:
    plain = (unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode() or "?" for c in text)
    return "".join(plain)
