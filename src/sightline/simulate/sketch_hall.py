"""The hall and players of sketched rallies: few shapes, for small pictures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.simulate.camera import Camera
from sightline.simulate.hall import bar
from sightline.simulate.surfaces import court_lines

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

WIDTH, LENGTH, NET_Y, NET_Z = 6.1, 13.4, 6.7, 1.55
SHIFT = 4


@dataclass(frozen=True, slots=True)
class Look:
    """Colours of one hall, RGB 0..255."""

    floor: tuple[int, int, int]
    surround: tuple[int, int, int]
    wall: tuple[int, int, int]
    shirts: tuple[tuple[int, int, int], tuple[int, int, int]]


def draw_look(rng: np.random.Generator) -> Look:
    """A hall at random: green, blue, wood or grey floors; white shirts are common on purpose."""
    floors = [(46, 112, 78), (40, 84, 140), (150, 110, 70), (96, 100, 104), (120, 60, 60)]
    floor = np.array(floors[rng.integers(len(floors))]) + rng.integers(-18, 18, 3)
    surround = floor * rng.uniform(0.55, 0.95) + rng.integers(-10, 10, 3)
    wall = rng.integers(20, 110, 3)
    shirts = [(235, 235, 235) if rng.random() < 0.35 else _rgb(rng.integers(20, 235, 3)) for _ in range(2)]
    return Look(_rgb(floor), _rgb(surround), _rgb(wall), (shirts[0], shirts[1]))


def _rgb(values: NDArray[np.generic]) -> tuple[int, int, int]:
    red, green, blue = np.clip(np.asarray(values, dtype=float), 0, 255).astype(int)
    return int(red), int(green), int(blue)


def background(rng: np.random.Generator, camera: Camera, look: Look) -> U8:
    """The empty hall (H, W, 3)."""
    width, height = camera.size_wh
    picture = np.full((height, width, 3), look.wall, np.uint8)
    _clutter(rng, picture)
    fill_quad(picture, camera, [(-6, -2), (6, -2), (6, LENGTH + 3), (-6, LENGTH + 3)], look.surround)
    half = WIDTH / 2
    court = [(-half - 0.5, -0.5), (half + 0.5, -0.5), (half + 0.5, LENGTH + 0.5), (-half - 0.5, LENGTH + 0.5)]
    fill_quad(picture, camera, court, look.floor)
    for (x1, y1), (x2, y2) in court_lines():
        bar(picture, camera, np.array([x1, y1, 0.0]), np.array([x2, y2, 0.0]), 0.05, (232, 232, 228))
    _net(picture, camera)
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0.6), dtype=np.uint8)


def _clutter(rng: np.random.Generator, picture: U8) -> None:
    """Banners, seats and lights on the wall: shapes as bright and as small as a shuttle among them."""
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(4, 10))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height // 2))
        w, h = int(rng.integers(width // 30, width // 5)), int(rng.integers(height // 40, height // 9))
        colour = tuple(int(v) for v in rng.integers(15, 190, 3))
        cv2.rectangle(picture, (x, y), (x + w, y + h), colour, -1)
    for _ in range(int(rng.integers(0, 6))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height // 4))
        cv2.circle(picture, (x, y), max(1, height // 120), (250, 250, 240), -1, cv2.LINE_AA)


def fill_quad(
    picture: U8, camera: Camera, corners: list[tuple[float, float]], colour: tuple[int, int, int]
) -> None:
    """A polygon on the floor."""
    pixels, _ = camera.project(np.array([(x, y, 0.0) for x, y in corners]))
    cv2.fillPoly(picture, [np.round(pixels).astype(np.int32)], colour, cv2.LINE_AA)


def _net(picture: U8, camera: Camera) -> None:
    """A translucent mesh with a white tape on top."""
    veil = picture.copy()
    half = WIDTH / 2
    corners = np.array(
        [(-half, NET_Y, 0.76), (half, NET_Y, 0.76), (half, NET_Y, NET_Z), (-half, NET_Y, NET_Z)]
    )
    pixels, _ = camera.project(corners)
    cv2.fillPoly(veil, [np.round(pixels).astype(np.int32)], (30, 30, 30), cv2.LINE_AA)
    cv2.addWeighted(veil, 0.45, picture, 0.55, 0, dst=picture)
    bar(picture, camera, corners[3], corners[2], 0.075, (240, 240, 240))
    for x in (-half, half):
        bar(picture, camera, np.array([x, NET_Y, 0.0]), np.array([x, NET_Y, NET_Z]), 0.05, (60, 60, 60))


@dataclass(frozen=True, slots=True)
class Player:
    """Where a player is at one moment: feet, racket head, and which side of the net."""

    feet: F64
    racket: F64
    side: int


def draw_player(
    picture: U8, camera: Camera, player: Player, shirt: tuple[int, int, int], swing: float
) -> None:
    """Legs, trunk, head, arm and racket; `swing` (0..1) sets the stride."""
    x, y = player.feet[:2]
    hip, neck = np.array([x, y, 0.9]), np.array([x, y, 1.48])
    stride = 0.28 * np.sin(2 * np.pi * swing)
    skin, shorts = (196, 152, 122), (40, 40, 60)
    for sign in (-1, 1):
        foot = np.array([x + sign * (0.16 + abs(stride) * 0.5), y + sign * stride, 0.0])
        bar(picture, camera, hip, foot, 0.16, skin)
    bar(picture, camera, hip - np.array([0.0, 0.0, 0.2]), hip, 0.36, shorts)
    bar(picture, camera, hip, neck, 0.40, shirt)
    grip = neck + (player.racket - neck) * 0.55
    bar(picture, camera, neck, grip, 0.09, skin)
    bar(picture, camera, grip, player.racket, 0.03, (200, 200, 205))
    centre, depth = camera.project(np.stack([neck + np.array([0.0, 0.0, 0.2]), player.racket]))
    disc(picture, centre[0], camera.pixels(0.12, float(depth[0])), (90, 66, 50))
    disc(picture, centre[1], camera.pixels(0.11, float(depth[1])), (205, 205, 210), fill=False)


def disc(
    picture: U8, centre_xy: F64, radius: float, colour: tuple[int, int, int], *, fill: bool = True
) -> None:
    """An antialiased circle at a continuous position."""
    x, y = (int(v) for v in np.round((centre_xy - 0.5) * (1 << SHIFT)))
    scaled = max(1, round(radius * (1 << SHIFT)))
    cv2.circle(picture, (x, y), scaled, colour, -1 if fill else 1, cv2.LINE_AA, SHIFT)


def hides(camera: Camera, player: Player, point: F64) -> bool:
    """Whether a player's trunk or head stands between the camera and a point in space."""
    pixels, depth = camera.project(np.stack([point, [*player.feet[:2], 0.75], [*player.feet[:2], 1.75]]))
    if depth[0] <= depth[1]:
        return False
    half = camera.pixels(0.2, float(depth[1]))
    inside = abs(pixels[0, 0] - pixels[1, 0]) < half
    return bool(inside and pixels[2, 1] < pixels[0, 1] < pixels[1, 1])
