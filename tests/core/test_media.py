"""Reading pictures: always upright RGB bytes, or an error that says why."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core.errors import MediaError
from sightline.core.media import decode_picture, parse_header, probe, read_map, read_picture, write_picture

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")

NOISE = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)


def coded(picture: Any, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright_once(kind: str, orientation: int) -> None:
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :16], stored[16:, 32:] = (250, 0, 0), (0, 0, 250)
    exif = Image.Exif()
    exif[274] = orientation
    data = coded(Image.fromarray(stored), kind, exif=exif)
    want = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    found = decode_picture(data)
    assert found.shape == want.shape and parse_header(data).size_wh == want.shape[1::-1]
    assert np.abs(found.astype(int) - want).mean() < 4


@pytest.mark.parametrize(
    ("picture", "kind", "colour"),
    [
        (Image.new("L", (8, 6), 77), "jpeg", (77, 77, 77)),
        (Image.new("CMYK", (8, 6), (0, 255, 255, 0)), "jpeg", (254, 0, 0)),
        (Image.new("RGBA", (8, 6), (10, 20, 30, 0)), "png", (10, 20, 30)),
        (Image.new("LA", (8, 6), (10, 20)), "png", (10, 10, 10)),
        (Image.new("1", (8, 6), 1), "png", (255, 255, 255)),
        (Image.new("RGB", (8, 6), (200, 100, 50)).quantize(4), "png", (200, 100, 50)),
        (Image.new("RGB", (8, 6), (200, 100, 50)), "bmp", (200, 100, 50)),
        (Image.new("RGB", (8, 6), (200, 100, 50)), "webp", (200, 100, 50)),
        (Image.new("RGB", (30_000, 2), (200, 100, 50)), "png", (200, 100, 50)),
    ],
)
def test_grey_alpha_cmyk_palettes_and_wide_pictures_become_rgb(picture: Any, kind: str, colour: Any) -> None:
    found = decode_picture(coded(picture, kind))
    assert found.dtype == np.uint8 and found.shape == (picture.height, picture.width, 3)
    assert np.abs(found[1, 1].astype(int) - colour).max() <= 3


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_their_upper_eight_and_maps_keep_all(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"a{suffix}"), np.full((6, 8), 0x1234, np.uint16))
    assert (read_picture(tmp_path / f"a{suffix}") == 0x12).all()
    assert (read_map(tmp_path / f"a{suffix}") == 0x1234).all()


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.995])
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "bmp"])
def test_a_truncated_picture_is_an_error_and_never_half_grey(kind: str, share: float) -> None:
    data = coded(Image.fromarray(NOISE), kind)
    with pytest.raises(MediaError):
        decode_picture(data[: int(len(data) * share)])


def test_a_preview_inside_a_truncated_jpeg_does_not_pass_for_its_end() -> None:
    preview = coded(Image.new("RGB", (8, 8)), "jpeg")
    data = coded(Image.fromarray(NOISE), "jpeg")
    app = b"\xff\xe2" + (len(preview) + 2).to_bytes(2, "big") + preview
    whole = data[:2] + app + data[2:]
    assert decode_picture(whole).shape == (60, 80, 3)
    with pytest.raises(MediaError, match="truncated"):
        decode_picture(whole[:-200])


def test_a_small_file_cannot_ask_for_a_large_memory(tmp_path: Path) -> None:
    data = coded(Image.new("1", (30_000, 30_000)), "png")
    assert len(data) < 200_000
    with pytest.raises(MediaError, match="30000x30000, over the limit of 200000000 pixels"):
        decode_picture(data)
    with pytest.raises(MediaError, match="over the limit of 100"):
        decode_picture(coded(Image.new("1", (20, 20)), "png"), max_pixels=100)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"GIF89a....", "is no picture we read"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "header is cut short"),
        (b"\x89PNG\r\n\x1a\n", "header is cut short"),
        (b"<html>", "is no picture"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_file(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a b\nc.jpg"
    path.write_bytes(content)
    for ask in (read_picture, probe):
        with pytest.raises(MediaError, match=words) as error:
            ask(path)
        assert str(path) in str(error.value)


def test_absent_files_and_folders_are_refused(tmp_path: Path) -> None:
    for ask in (read_picture, probe, read_map):
        for path in (tmp_path, tmp_path / "absent.png"):
            with pytest.raises(MediaError, match="cannot be"):
                ask(path)


def test_a_size_behind_a_large_profile_is_found(tmp_path: Path) -> None:
    data = coded(Image.fromarray(NOISE), "jpeg")
    app = b"\xff\xe2" + (65_000).to_bytes(2, "big") + bytes(64_998)
    (tmp_path / "a.jpg").write_bytes(data[:2] + app * 6 + data[2:])
    assert probe(tmp_path / "a.jpg").size_wh == (80, 60)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["jpeg", "png", "webp", "tiff", "bmp"]), st.data())
def test_damaged_bytes_give_pixels_or_an_error_of_ours(kind: str, data: st.DataObject) -> None:
    raw = bytearray(coded(Image.fromarray(NOISE[:12, :16]), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, min(len(raw) - 1, 200)))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode_picture(bytes(raw), max_pixels=1 << 20)
    except MediaError:
        return
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".jpg"])
def test_a_written_picture_reads_back_in_its_colours(tmp_path: Path, suffix: str) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:] = (200, 100, 50)
    write_picture(tmp_path / f"a{suffix}", pixels)
    assert np.abs(read_picture(tmp_path / f"a{suffix}").astype(int) - pixels).max() <= 4


def test_a_webp_whose_orientation_stands_behind_many_pixels_is_probed_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    noise = np.random.default_rng(0).integers(0, 255, (500, 700, 3), np.uint8)
    path = tmp_path / "large.webp"
    path.write_bytes(coded(Image.fromarray(noise), "webp", lossless=True, exif=exif))
    assert path.stat().st_size > 1 << 18
    assert probe(path).size_wh == (500, 700) == read_picture(path).shape[1::-1]
