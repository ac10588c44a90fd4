"""4:2:0 frames: what they hold, and that their colours are the RGB path's."""

from typing import Any

import av
import cv2
import numpy as np
import pytest

from sightline.core.errors import MediaError, ModelError
from sightline.core.frames import to_rgb
from sightline.core.geometry import place
from sightline.core.picture import ColourMatrix, Yuv420, as_rgb, from_av, from_rgb, size_wh_of, to_grey
from sightline.core.predictor import Predictor
from sightline.core.results import Points
from sightline.core.specs import InputSpec, Signature

SIZE_WH = (322, 182)
# swscale truncates where we round, so it lies up to 3 levels lower.
MOST, MEAN = 3, 1.5


def smooth(rng: np.random.Generator, size_wh: tuple[int, int], low: int, high: int) -> Any:
    return cv2.resize(rng.integers(low, high, (9, 16), np.uint8), size_wh, interpolation=cv2.INTER_CUBIC)


def coded(name: str, colorspace: int, color_range: int, size_wh: tuple[int, int] = SIZE_WH) -> av.VideoFrame:
    """A frame of smooth colours, as a decoder would give it."""
    rng = np.random.default_rng(5)
    width, height = size_wh
    half_wh = ((width + 1) // 2, (height + 1) // 2)
    y, u, v = smooth(rng, size_wh, 20, 230), smooth(rng, half_wh, 90, 160), smooth(rng, half_wh, 90, 160)
    frame = av.VideoFrame(width, height, name)
    planes = [y, np.stack([u, v], 2).reshape(half_wh[1], -1)] if name == "nv12" else [y, u, v]
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.buffer_size // plane.line_size, plane.line_size), np.uint8)
        rows[: values.shape[0], : values.shape[1]] = values
        plane.update(rows.tobytes())
    frame.colorspace, frame.color_range = colorspace, color_range
    return frame


@pytest.mark.parametrize("colorspace", [1, 2, 5, 6])
@pytest.mark.parametrize(("name", "color_range"), [("yuv420p", 1), ("yuv420p", 2), ("yuvj420p", 2)])
def test_whole_frames_have_the_colours_of_the_rgb_path(name: str, color_range: int, colorspace: int) -> None:
    frame = coded(name, colorspace, color_range)
    picture = from_av(frame)
    assert isinstance(picture, Yuv420)
    assert picture.full_range == (color_range == 2)
    apart = np.abs(picture.rgb().astype(int) - to_rgb(frame))
    assert apart.max() <= MOST
    assert apart.mean() <= MEAN


def test_nv12_gives_the_same_planes_as_planar_frames() -> None:
    planar, packed = from_av(coded("yuv420p", 1, 1)), from_av(coded("nv12", 1, 1))
    assert isinstance(planar, Yuv420) and isinstance(packed, Yuv420)
    for plane in ("y", "u", "v"):
        np.testing.assert_array_equal(getattr(planar, plane), getattr(packed, plane))


def test_odd_sizes_keep_their_last_row_and_column() -> None:
    frame = coded("yuv420p", 1, 1, (321, 181))
    picture = from_av(frame)
    assert isinstance(picture, Yuv420)
    assert picture.size_wh == (321, 181)
    assert picture.rgb().shape == (181, 321, 3)


def test_frames_of_other_layouts_or_matrices_come_as_rgb() -> None:
    wide = coded("yuv420p", 1, 1).reformat(format="yuv444p")
    bt2020 = coded("yuv420p", 9, 1)
    for frame in (wide, bt2020):
        picture = from_av(frame)
        assert isinstance(picture, np.ndarray)
        np.testing.assert_array_equal(picture, to_rgb(frame))


def test_planes_of_a_frame_are_views_until_they_are_copied() -> None:
    picture = from_av(coded("yuv420p", 1, 1))
    assert isinstance(picture, Yuv420)
    assert not picture.y.flags.owndata
    mine = picture.copied()
    assert mine.y.flags.owndata
    np.testing.assert_array_equal(mine.y, picture.y)


@pytest.mark.parametrize("full", [True, False])
def test_a_grey_comes_back_as_the_level_it_was(full: bool) -> None:
    for level in (0, 114, 255):
        y, chroma = (
            np.full(shape, round(value), np.uint8)
            for shape, value in zip(((4, 6), (2, 3)), _grey(level, full), strict=True)
        )
        picture = Yuv420(y, chroma, chroma, "bt709", full)
        assert np.abs(picture.rgb().astype(int) - level).max() <= 1
        assert np.abs(to_grey(picture.y, full).astype(int) - level).max() <= 1


def _grey(level: float, full: bool) -> tuple[float, float]:
    tiny = np.zeros((1, 1), np.uint8)
    return Yuv420(tiny, tiny, tiny, "bt709", full).grey_level(level)


def test_both_kinds_of_picture_tell_their_size_and_pixels() -> None:
    picture = from_av(coded("yuv420p", 1, 1))
    assert size_wh_of(picture) == SIZE_WH == size_wh_of(as_rgb(picture))


def test_planes_that_are_not_half_size_are_refused() -> None:
    whole, half = np.zeros((4, 6), np.uint8), np.zeros((2, 3), np.uint8)
    with pytest.raises(MediaError, match="4:2:0"):
        Yuv420(whole, half, whole)
    with pytest.raises(MediaError, match="uint8"):
        Yuv420(whole.astype(np.uint16), half, half)  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="bt2020"):
        Yuv420(whole, half, half, "bt2020")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spec",
    [
        InputSpec((160, 96), fit="letterbox"),
        InputSpec((100, 100), fit="stretch"),
        InputSpec((60, 60), fit="crop"),
        InputSpec((400, 300), fit="letterbox"),
    ],
)
@pytest.mark.parametrize(("colorspace", "color_range"), [(1, 1), (5, 1), (1, 2), (6, 2)])
def test_scaled_planes_look_like_the_scaled_rgb_frame(
    spec: InputSpec, colorspace: int, color_range: int
) -> None:
    frame = coded("yuv420p", colorspace, color_range)
    placed, matrix = place(from_av(frame), spec)
    reference, same = place(to_rgb(frame), spec)
    apart = np.abs(placed.astype(int) - reference)
    np.testing.assert_array_equal(matrix, same)
    assert apart.mean() <= MEAN
    assert apart.max() <= 6


@pytest.mark.parametrize("centre", [(160, 90), (3, 5), (321, 181), (99.7, 41.2), (-500, 20)])
@pytest.mark.parametrize("colorspace", [1, 5])
def test_native_windows_of_planes_are_the_windows_of_the_rgb_frame(
    centre: tuple[float, float], colorspace: int
) -> None:
    spec, frame = InputSpec((64, 48), fit="native"), coded("yuv420p", colorspace, 1)
    placed, matrix = place(from_av(frame), spec, centre)
    reference, same = place(to_rgb(frame), spec, centre)
    np.testing.assert_array_equal(matrix, same)
    assert np.abs(placed.astype(int) - reference).max() <= MOST


def test_grey_inputs_read_the_luma_plane() -> None:
    frame, spec = coded("yuv420p", 1, 1), InputSpec((80, 45), pixels="grey8", fit="stretch")
    placed, _ = place(from_av(frame), spec)
    picture = from_av(frame)
    assert isinstance(picture, Yuv420)
    want, _ = place(to_grey(picture.y, False), spec)
    assert np.percentile(np.abs(placed.astype(int) - want), 99) <= 1  # the cubic overshoots are clipped


def test_depth_is_not_read_from_a_colour_frame() -> None:
    with pytest.raises(ModelError, match="depth16"):
        place(from_av(coded("yuv420p", 1, 1)), InputSpec((8, 8), pixels="depth16"))


def test_a_predictor_takes_planes_where_it_takes_rgb() -> None:
    signature = Signature(("locate",), ("head",), {"clip": InputSpec((32, 18), frames=2)})

    def infer(inputs: dict[str, Any]) -> dict[str, Any]:
        mean = inputs["clip"].astype(np.float32).mean((2, 3))
        return {"locate.points": mean[:, -1:, :2], "locate.visible": np.ones((len(mean), 1), np.float32)}

    predictor = Predictor(signature, infer)
    frame = coded("yuv420p", 1, 1)
    planes, rgb = from_av(frame), to_rgb(frame)
    a = predictor.predict([{"clip": [planes, planes]}])[0]["locate"]
    b = predictor.predict([{"clip": np.stack([rgb, rgb])}])[0]["locate"]
    assert isinstance(a, Points) and isinstance(b, Points)
    np.testing.assert_allclose(a.points, b.points, atol=20)  # 1 level is 10 px here
    stream = predictor.open_stream()
    np.testing.assert_array_equal(
        stream.push({"clip": planes})["locate"].points,  # type: ignore[union-attr]
        stream.submit({"clip": planes}).result()["locate"].points,  # type: ignore[union-attr]
    )
    with pytest.raises(ModelError, match="one 4:2:0 frame"):
        predictor.predict([{"clip": planes}])
    with pytest.raises(ModelError, match="several sizes"):
        predictor.predict([{"clip": [planes, rgb[:50]]}])


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_planes_from_rgb_give_it_back(matrix: ColourMatrix, full: bool) -> None:
    blocks = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    rgb = np.repeat(np.repeat(blocks, 2, 0), 2, 1)
    assert np.abs(from_rgb(rgb, matrix, full).rgb().astype(int) - rgb).max() <= 3
    with pytest.raises(MediaError, match="odd side"):
        from_rgb(rgb[:-1], matrix, full)
