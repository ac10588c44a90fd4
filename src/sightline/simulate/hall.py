"""What stands behind the shuttle: floor, lines, walls, people, lamps, and the net that is before it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.simulate import surfaces
from sightline.simulate.camera import Camera
from sightline.simulate.surfaces import FLOOR_X, FLOOR_Y, NET_Y, WALL_X, WALL_Y, WALL_Z, WIDTH, Colour, tint

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

NET_Z, NET_LOW, TAPE_M = 1.55, 0.79, 0.075
SHIFT = 4
FLOORS = (
    (46, 112, 78),
    (38, 96, 150),
    (160, 120, 78),
    (96, 100, 104),
    (126, 62, 62),
    (24, 68, 60),
    (70, 60, 110),
)


@dataclass(frozen=True, slots=True)
class Net:
    """The net as a layer: where it is, its colours times its cover, and what it lets through (0..255)."""

    xy: tuple[int, int]
    paint: U8
    through: U8

    def lay_over(self, picture: U8) -> None:
        """Draw it over all that is behind it, in place."""
        height, width = self.through.shape[:2]
        x, y = self.xy
        region = picture[y : y + height, x : x + width]
        region[:] = cv2.add(cv2.multiply(region, self.through, scale=1 / 255), self.paint)


@dataclass(frozen=True, slots=True)
class Hall:
    """One hall: the empty picture (H, W, 3) without the net, the net, and how bright white is (linear)."""

    empty: U8
    net: Net
    light: float


def draw_hall(rng: np.random.Generator, camera: Camera, crowd: float = 1.0) -> Hall:
    """A hall at random: floor, surround, walls, seats and banners, lamps and reflections, a colour cast.

    `crowd`, 0 to 1, is how much there is of what misleads: people, words, specks, things on the floor.
    """
    mat = np.array(FLOORS[rng.integers(len(FLOORS))]) + rng.integers(-14, 14, 3)
    dark = rng.uniform(0.35, 1.0) if rng.random() < 0.7 else 0.12
    surround = mat * rng.uniform(0.5, 1.0) if rng.random() < 0.6 else np.array(tint(rng, 20, 170))
    wall = np.array(tint(rng, 30, 150)) * dark
    picture = np.full((camera.size_wh[1], camera.size_wh[0], 3), np.clip(wall * 0.6, 0, 255), np.uint8)
    _behind(rng, picture, camera, _colour(wall), dark, crowd)
    _ground(picture, camera, surfaces.floor(rng, _colour(mat), _colour(surround), crowd))
    _reflections(rng, picture, camera)
    _furniture(rng, picture, camera, crowd)
    picture = _cast(rng, picture)
    blurred = cv2.GaussianBlur(picture, (0, 0), max(0.35, 0.6 * camera.size_wh[0] / 1920))
    return Hall(np.asarray(blurred, dtype=np.uint8), _net(rng, camera), float(rng.uniform(0.7, 1.1)))


def _colour(values: NDArray[np.generic]) -> Colour:
    red, green, blue = np.clip(np.asarray(values, dtype=float), 0, 255).astype(int)
    return int(red), int(green), int(blue)


def _seen(flat: U8, camera: Camera, corners: F64) -> tuple[U8, U8]:
    """A flat picture with its corners (clockwise from the left top) in space, as seen, and its mask."""
    height, width = flat.shape[:2]
    pixels, _ = camera.project(corners)
    square = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(square - 0.5, (pixels - 0.5).astype(np.float32))
    seen = cv2.warpPerspective(flat, matrix, camera.size_wh, flags=cv2.INTER_LINEAR)
    full = np.full((height, width), 255, np.uint8)
    mask = cv2.warpPerspective(full, matrix, camera.size_wh, flags=cv2.INTER_LINEAR)
    return np.asarray(seen, dtype=np.uint8), np.asarray(mask, dtype=np.uint8)


def _paste(picture: U8, seen: U8, mask: U8) -> None:
    share = mask[..., None].astype(np.float32) / 255
    picture[:] = np.rint(picture * (1 - share) + seen * share).astype(np.uint8)


def _ground(picture: U8, camera: Camera, flat: U8) -> None:
    """The floor, cut where it comes near the camera."""
    near = max(FLOOR_Y[0], float(camera.eye[1]) + 2.5)
    rows = round((FLOOR_Y[1] - near) * surfaces.FLOOR_SCALE)
    (left, right), far = FLOOR_X, FLOOR_Y[1]
    corners = np.array([(left, far, 0.0), (right, far, 0.0), (right, near, 0.0), (left, near, 0.0)])
    soft = cv2.GaussianBlur(flat[:rows], (0, 0), 0.8)
    _paste(picture, *_seen(np.asarray(soft, dtype=np.uint8), camera, corners))


def _behind(
    rng: np.random.Generator, picture: U8, camera: Camera, paint: Colour, dark: float, crowd: float
) -> None:
    """The far wall with all that hangs on it, the roof's lamps above it."""
    flat = surfaces.wall(rng, paint, crowd)
    flat = np.asarray(flat * min(1.0, 0.45 + 0.6 * dark), dtype=np.uint8)
    (left, right), (low, high) = WALL_X, WALL_Z
    y = WALL_Y
    corners = np.array([(left, y, high), (right, y, high), (right, y, low), (left, y, low)])
    _paste(picture, *_seen(flat, camera, corners))
    for _ in range(int((0.4 + 0.6 * crowd) * rng.integers(0, 9))):
        lamp = np.array([rng.uniform(-12, 12), rng.uniform(6, 17), rng.uniform(5.0, 9.5)])
        _lamp(picture, camera, lamp, rng.uniform(0.08, 0.35))


def _lamp(picture: U8, camera: Camera, place: F64, metres: float) -> None:
    """A lamp and the glow round it."""
    pixels, depth = camera.project(place)
    radius = max(1.0, camera.pixels(metres, float(depth[0])))
    x, y = (int(v) for v in np.rint(pixels[0]))
    reach = int(radius * 5) + 2
    if not (-reach < x < camera.size_wh[0] + reach and -reach < y < camera.size_wh[1] + reach):
        return
    x1, y1, x2, y2 = max(0, x - reach), max(0, y - reach), x + reach, y + reach
    region = picture[y1:y2, x1:x2]
    if not region.size:
        return
    ys, xs = np.mgrid[y1 : y1 + region.shape[0], x1 : x1 + region.shape[1]]
    far = np.hypot(xs - pixels[0, 0], ys - pixels[0, 1]) / radius
    glow = np.where(far < 1, 1.0, 0.5 * np.exp(-(far - 1) * 1.6))[..., None]
    region[:] = np.clip(region + 255 * glow, 0, 255).astype(np.uint8)


def _reflections(rng: np.random.Generator, picture: U8, camera: Camera) -> None:
    """Lamps mirrored in the floor: streaks that run towards the camera."""
    if rng.random() < 0.35:
        return
    height, width = picture.shape[:2]
    glow = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 7))):
        at, _ = camera.project(np.array([rng.uniform(-6, 6), rng.uniform(0, 15), 0.0]))
        x, y = (int(v) for v in np.rint(at[0]))
        size = (int(rng.uniform(0.004, 0.02) * width), int(rng.uniform(0.01, 0.07) * height))
        cv2.ellipse(glow, (x, y), size, 0, 0, 360, (float(rng.uniform(15, 90)),), -1)
    soft = cv2.GaussianBlur(glow, (0, 0), width / 1920 * rng.uniform(4, 18) + 0.3)
    picture[:] = np.clip(picture + soft[..., None], 0, 255).astype(np.uint8)


def _furniture(rng: np.random.Generator, picture: U8, camera: Camera, crowd: float) -> None:
    """People who sit on chairs beside the court, one of them high up perhaps; some wear white."""
    for number in range(int(crowd * rng.integers(0, 5))):
        x, y = float(rng.choice([-1, 1]) * rng.uniform(3.9, 6.5)), float(rng.uniform(1.0, 15.0))
        seat = 1.6 if number == 0 and rng.random() < 0.5 else 0.45
        if seat > 1:
            x, y = float(np.sign(x)) * 3.9, NET_Y
        inward = -float(np.sign(x))
        shirt = (235, 235, 235) if rng.random() < 0.3 else tint(rng, 15, 200)
        wood, trousers, skin = tint(rng, 10, 120), tint(rng, 10, 90), (196, 150, 122)
        chair, knee = np.array([x, y, seat]), np.array([x + 0.42 * inward, y - 0.05, seat + 0.03])
        for side in (-0.2, 0.2):
            for leg in (chair, knee):
                foot = np.array([leg[0], leg[1] + side, 0.0])
                bar(picture, camera, foot, foot + np.array([0, 0, seat]), 0.04, wood)
        bar(
            picture,
            camera,
            chair - (0.1 * inward, 0, 0),
            chair + np.array([-0.1 * inward, 0, 0.6]),
            0.12,
            wood,
        )
        neck = chair + np.array([0.05 * inward, 0.0, 0.55])
        bar(picture, camera, knee, knee + np.array([0.05 * inward, 0, -0.42]), 0.12, trousers)
        bar(picture, camera, chair + np.array([0, 0, 0.08]), knee, 0.16, trousers)
        bar(picture, camera, chair + np.array([0, 0, 0.1]), neck, 0.34, shirt)
        bar(picture, camera, neck, knee + np.array([0, 0, 0.08]), 0.07, skin)
        head, depth = camera.project(neck + np.array([0.02 * inward, 0, 0.24]))
        radius = round(camera.pixels(0.105, float(depth[0])) * (1 << SHIFT))
        centre = np.rint((head[0] - 0.5) * (1 << SHIFT)).astype(int).tolist()
        cv2.circle(picture, centre, radius, skin, -1, cv2.LINE_AA, SHIFT)
        centre[1] -= radius // 3
        cv2.circle(picture, centre, round(radius * 0.9), tint(rng, 10, 80), -1, cv2.LINE_AA, SHIFT)


def _cast(rng: np.random.Generator, picture: U8) -> U8:
    """Brightness, contrast and colour cast of this hall and camera."""
    gain = rng.uniform(0.75, 1.2) * (1 + rng.normal(0, 0.04, 3))
    power = rng.uniform(0.85, 1.2)
    table = np.clip(255 * (np.arange(256)[:, None] / 255) ** power * gain, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(picture, table[None]), dtype=np.uint8)


def bar(picture: U8, camera: Camera, a: F64, b: F64, metres: float, colour: Colour) -> None:
    """A bar of a given thickness between two points in space."""
    pixels, depth = camera.project(np.stack([a, b]))
    thick = max(1, round(camera.pixels(metres, float(depth.mean()))))
    ends = np.rint((pixels - 0.5) * (1 << SHIFT)).astype(int).tolist()
    cv2.line(picture, ends[0], ends[1], colour, thick, cv2.LINE_AA, SHIFT)


def _net(rng: np.random.Generator, camera: Camera) -> Net:
    """A mesh that lets most light through, a white tape on top, a post at each end."""
    width, height = camera.size_wh
    layer, cover = np.zeros((height, width, 3), np.uint8), np.zeros((height, width, 3), np.uint8)
    half = WIDTH / 2
    corners = np.array(
        [(-half, NET_Y, NET_LOW), (half, NET_Y, NET_LOW), (half, NET_Y, NET_Z), (-half, NET_Y, NET_Z)]
    )
    pixels, _ = camera.project(corners)
    shade = float(rng.uniform(0.12, 0.4))
    fixed = np.rint((pixels - 0.5) * (1 << SHIFT)).astype(np.int32)
    cv2.fillPoly(cover, [fixed], (shade * 255,) * 3, cv2.LINE_AA, SHIFT)
    cv2.fillPoly(layer, [fixed], tint(rng, 10, 60), cv2.LINE_AA, SHIFT)
    top = (0, 0, -TAPE_M / 2)
    for canvas, tape, post in ((layer, (240, 240, 238), tint(rng, 20, 90)), (cover, (255,) * 3, (255,) * 3)):
        bar(canvas, camera, corners[3] + top, corners[2] + top, TAPE_M, tape)
        for x in (-half, half):
            bar(canvas, camera, np.array([x, NET_Y, 0.0]), np.array([x, NET_Y, NET_Z]), 0.05, post)
    soft = cv2.GaussianBlur(cover, (3, 3), 0.6)
    x, y, w, h = cv2.boundingRect(soft[..., 0])
    part = (slice(y, y + h), slice(x, x + w))
    through = np.asarray(cv2.bitwise_not(soft[part]), dtype=np.uint8)
    paint = np.asarray(cv2.multiply(layer[part], soft[part], scale=1 / 255), dtype=np.uint8)
    return Net((x, y), paint, through)
