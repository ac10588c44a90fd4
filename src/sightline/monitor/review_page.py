"""The review queue as one page that opens offline: each picture with its answers drawn on it, and why."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightline.core.errors import SightlineError
from sightline.core.media import decode_picture
from sightline.draw import draw_results
from sightline.monitor.review_export import results_of
from sightline.monitor.review_items import About, Item
from sightline.monitor.store import Store

# Longest side of a picture on the page, and quality of its JPEG.
SIDE, QUALITY = 720, 82
MEANING = {
    "uncertain": "the answer was hardly better than another",
    "novel": "unlike the pictures the package was measured on",
    "unstable": "the answer came or went between two frames",
    "flagged": "a client said so",
}


def page(store: Store, items: Sequence[Item]) -> str:
    """HTML of items, in their order."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    abouts = store.packages()
    cards = [_card(store, item, abouts) for item in items]
    reasons = {name: sum(name in item.reasons for item in items) for name in MEANING}
    template = environment.get_template("review_page.html.j2")
    return template.render(cards=cards, counts=store.counts(), reasons=reasons, meaning=MEANING)


def _card(store: Store, item: Item, abouts: dict[tuple[str, str], About]) -> dict[str, Any]:
    told = item.prediction
    about = abouts.get((told.model, told.version))
    fault = ""
    source = ""
    try:
        source = _drawn(store.picture(item.id), item, about) if item.bytes else ""
    except SightlineError as error:
        fault = str(error)
    when = datetime.fromtimestamp(told.created, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    reasons = sorted(item.reasons.items(), key=lambda pair: -pair[1])
    return {"item": item, "told": told, "source": source, "fault": fault, "when": when, "reasons": reasons}


def _drawn(data: bytes, item: Item, about: About | None) -> str:
    pixels: Any = decode_picture(data)
    if about is not None:
        pixels = draw_results(pixels, results_of(item, about))
    scale = min(1.0, SIDE / max(pixels.shape[:2]))
    if scale < 1:
        size_wh = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        pixels = cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(
        ".jpg", np.ascontiguousarray(pixels[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()
