"""Made pictures, and the marks on them as Label Studio's page would post them.

Every shape is painted into its picture first, in pixels, so that a test can ask whether what was read
lies on the painted pixels. Pictures are not square, so that a percent of the wrong side shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

SIZE_WH = (160, 90)
FRAMES, RATE = 12, 10
Result = dict[str, Any]
Picture = NDArray[np.uint8]

IMAGE = '<Image name="image" value="$image"/>'
CONFIGS = {
    "rectangle": f"""<View>{IMAGE}<RectangleLabels name="label" toName="image"><Label value="red cell"/>
<Label value="細胞"/></RectangleLabels></View>""",
    "polygon": f"""<View>{IMAGE}<PolygonLabels name="label" toName="image"><Label value="leaf"/>
</PolygonLabels></View>""",
    "brush": f"""<View>{IMAGE}<BrushLabels name="tag" toName="image"><Label value="stain"/>
<Label value="hole"/></BrushLabels></View>""",
    "keypoint": f"""<View>{IMAGE}<KeyPointLabels name="kp" toName="image"><Label value="ball"/>
</KeyPointLabels><Choices name="seen" toName="image"><Choice value="invisible"/></Choices></View>""",
    "choices": f"""<View>{IMAGE}<Choices name="kind" toName="image" choice="multiple"><Choice value="cat"/>
<Choice value="dog, small"/></Choices></View>""",
    "ellipse": f"""<View>{IMAGE}<EllipseLabels name="label" toName="image"><Label value="egg"/>
</EllipseLabels></View>""",
    "regions": f"""<View>{IMAGE}<Labels name="label" toName="image"><Label value="car"/></Labels>
<Rectangle name="box" toName="image"/><Polygon name="ring" toName="image"/>
<Choices name="state" toName="image" perRegion="true"><Choice value="parked"/></Choices>
<TextArea name="plate" toName="image" perRegion="true"/></View>""",
    "video": """<View><Video name="video" value="$video" frameRate="10"/>
<VideoRectangle name="box" toName="video"/><Labels name="label" toName="video"><Label value="ball"/></Labels>
<TimelineLabels name="phase" toName="video"><Label value="rally"/></TimelineLabels></View>""",
}


@dataclass
class Case:
    """One project: its pictures by name, and what the annotator posts for each."""

    media: dict[str, Picture | list[Picture]] = field(default_factory=dict)
    results: dict[str, list[Result]] = field(default_factory=dict)


def region(
    kind: str, value: dict[str, Any], name: str = "label", number: int = 1, to: str = "image"
) -> Result:
    head = {"id": f"r{number:03d}", "type": kind, "from_name": name, "to_name": to, "origin": "manual"}
    if to != "image" or kind in ("choices", "textarea"):
        return head | {"value": value}
    width, height = SIZE_WH
    return head | {"original_width": width, "original_height": height, "image_rotation": 0, "value": value}


def percent(x: float, y: float) -> tuple[float, float]:
    return x / SIZE_WH[0] * 100, y / SIZE_WH[1] * 100


def rectangle(x: float, y: float, w: float, h: float, turn: float = 0.0) -> dict[str, float]:
    """Corner, sides in pixels and clockwise degrees about that corner, in the page's units."""
    (px, py), (pw, ph) = percent(x, y), percent(w, h)
    return {"x": px, "y": py, "width": pw, "height": ph, "rotation": turn}


def turned(x: float, y: float, w: float, h: float, turn: float) -> NDArray[np.float64]:
    """The four corners in pixels of a rectangle turned clockwise (y runs down) about (x, y)."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return np.array([(x + c * a - s * b, y + s * a + c * b) for a, b in ((0, 0), (w, 0), (w, h), (0, h))])


def blank() -> Picture:
    return np.full((SIZE_WH[1], SIZE_WH[0], 3), 30, np.uint8)


def paint(picture: Picture, ring: NDArray[np.float64]) -> Picture:
    cv2.fillPoly(picture, [np.round((ring - 0.5) * 256).astype(np.int32)], (220, 220, 220), shift=8)
    return picture


TURNED = (100.0, 15.0, 40.0, 20.0, 30.0)
RING = np.array([[20.0, 10.0], [90.0, 25.0], [70.0, 80.0], [30.0, 60.0]])
ELLIPSE = (80.0, 45.0, 60.0, 20.0, 25.0)
BALL = (121.0, 33.5)


def rectangles() -> Case:
    case = Case()
    plain = np.array([[16.0, 9.0], [64.0, 9.0], [64.0, 36.0], [16.0, 36.0]])
    case.media["cells one.png"] = paint(paint(blank(), plain), turned(*TURNED))
    case.media["zellen_ü.png"] = blank()
    case.media["two opinions.png"] = blank()
    case.results["cells one.png"] = [
        region("rectanglelabels", rectangle(16, 9, 48, 27) | {"rectanglelabels": ["red cell"]}, number=1),
        region("rectanglelabels", rectangle(*TURNED) | {"rectanglelabels": ["細胞"]}, number=2),
    ]
    case.results["two opinions.png"] = case.results["cells one.png"]
    return case


def polygons() -> Case:
    points = [list(percent(x, y)) for x, y in RING]
    value = {"points": points, "closed": True, "polygonlabels": ["leaf"]}
    return Case({"leaf.png": paint(blank(), RING)}, {"leaf.png": [region("polygonlabels", value)]})


def brush_mask() -> NDArray[np.bool_]:
    mask = np.zeros((SIZE_WH[1], SIZE_WH[0]), np.uint8)
    cv2.circle(mask, (50, 40), 17, 1, -1)
    mask[3:7, 140:160] = 1
    return mask.astype(bool)


def brushes(encode: Callable[[NDArray[np.bool_]], list[int]]) -> Case:
    picture = blank()
    picture[brush_mask()] = 220
    value = {"format": "rle", "rle": encode(brush_mask()), "brushlabels": ["stain"]}
    return Case({"stain.png": picture}, {"stain.png": [region("brushlabels", value, "tag")]})


def keypoints() -> Case:
    seen = blank()
    cv2.circle(seen, (int(BALL[0]), int(BALL[1])), 2, (255, 255, 255), -1)
    x, y = percent(*BALL)
    value = {"x": x, "y": y, "width": 0.9, "keypointlabels": ["ball"]}
    hidden = region("choices", {"choices": ["invisible"]}, "seen", 2)
    media: dict[str, Picture | list[Picture]] = {"f0.png": seen, "f1.png": blank(), "f2.png": blank()}
    results = {"f0.png": [region("keypointlabels", value, "kp")], "f1.png": [hidden], "f2.png": []}
    return Case(media, results)


def choices() -> Case:
    both = region("choices", {"choices": ["cat", "dog, small"]}, "kind")
    one = region("choices", {"choices": ["cat"]}, "kind")
    return Case({"a.png": blank(), "b.png": blank()}, {"a.png": [one], "b.png": [both]})


def ellipse_ring(cx: float, cy: float, rx: float, ry: float, turn: float) -> NDArray[np.float64]:
    t = np.linspace(0, 2 * math.pi, 180, endpoint=False)
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    a, b = rx * np.cos(t), ry * np.sin(t)
    return np.stack([cx + c * a - s * b, cy + s * a + c * b], axis=1)


def ellipses() -> Case:
    (x, y), (rx, ry) = percent(*ELLIPSE[:2]), percent(*ELLIPSE[2:4])
    value = {"x": x, "y": y, "radiusX": rx, "radiusY": ry, "rotation": ELLIPSE[4], "ellipselabels": ["egg"]}
    picture = paint(blank(), ellipse_ring(*ELLIPSE))
    return Case({"egg.png": picture}, {"egg.png": [region("ellipselabels", value)]})


def regions() -> Case:
    """Geometry and labels as two controls that share a region, with a choice and a text for it."""
    box, points = rectangle(16, 9, 48, 27), {"points": [list(percent(x, y)) for x, y in RING]}
    result = [
        region("rectangle", box, "box", 1),
        region("labels", box | {"labels": ["car"]}, "label", 1),
        region("choices", box | {"choices": ["parked"]}, "state", 1),
        region("textarea", box | {"text": ["B-X 12"]}, "plate", 1),
        region("polygon", points, "ring", 2),
        region("labels", points | {"labels": ["car"]}, "label", 2),
    ]
    return Case({"street.png": blank()}, {"street.png": result})


def video() -> Case:
    """A ball in frames 1 to 8 (interpolated), hidden 9 and 10, back from 11 to the end, counted from 1."""
    keys = [(1, 8.0, True), (5, 48.0, True), (8, 60.0, False), (11, 90.0, True)]
    frames = []
    for i in range(FRAMES):
        frame = np.full((96, 160, 3), 40, np.uint8)
        x = np.interp(i + 1, [k[0] for k in keys], [k[1] for k in keys])
        if i + 1 not in (9, 10):
            frame[24:40, round(x) : round(x) + 16] = 230
        frames.append(frame)
    sequence = [
        {"frame": f, "enabled": on, "rotation": 0, "x": x / 1.6, "y": 25.0, "width": 10.0, "height": 100 / 6}
        | {"time": (f - 1) / RATE}
        for f, x, on in keys
    ]
    track = {"framesCount": FRAMES, "duration": FRAMES / RATE, "sequence": sequence, "labels": ["ball"]}
    line = {"ranges": [{"start": 3, "end": 6}], "timelinelabels": ["rally"]}
    result = [
        region("videorectangle", track, "box", 1, "video"),
        region("timelinelabels", line, "phase", 2, "video"),
    ]
    return Case({"clip.mp4": frames}, {"clip.mp4": result})


def write_media(folder: Path, case: Case) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, media in case.media.items():
        path = folder / name
        if isinstance(media, list):
            write_video(path, media)
        else:
            path.write_bytes(cv2.imencode(".png", media)[1].tobytes())
        paths.append(path)
    return paths


def write_video(path: Path, frames: list[Picture]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
