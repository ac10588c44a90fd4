"""What bad input gets: a 4xx with a reason, before anything is decoded."""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve.asking import ask, closed, encoded, form, make_service, picture, post, reason
from sightline.core.errors import UsageError
from sightline.serve import pictures
from sightline.serve.options import Limits
from sightline.serve.refusals import Refused
from sightline.serve.service import Service

PREDICT = "/predict/detect"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, pixels: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def a_zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("run.js", "alert(1)")
    return made.getvalue()


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding anything fails the test."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a refused picture was decoded")

    monkeypatch.setattr(pictures, "decode_picture", never)


BOMBS = {
    "a million pixels wide": (png_of(1_000_000, 1), 413, "too_large"),
    "over the pixel limit": (png_of(10_000, 10_000), 413, "too_large"),
    "few bytes, many pixels": (png_of(5_000, 5_000, bytes(100)), 413, "bomb"),
    "sides of zero": (png_of(0, 10), 422, "not_a_picture"),
    "empty": (b"", 422, "not_a_picture"),
    "text": (b"hello, world", 415, "not_a_picture"),
    "gif": (b"GIF89a" + bytes(40), 415, "not_a_picture"),
    "tiff, not allowed": (encoded(".tiff"), 415, "media_type"),
    "png cut short": (encoded()[:-20], 422, "truncated"),
    "jpeg cut short": (encoded(".jpg")[:-200], 422, "truncated"),
    "jpeg header only": (encoded(".jpg")[:30], 422, "not_a_picture"),
    "webp cut short": (encoded(".webp")[:-30], 422, "truncated"),
    "bmp cut short": (encoded(".bmp")[:40], 422, "truncated"),
    "jpeg with a zip behind": (encoded(".jpg") + a_zip(), 422, "polyglot"),
    "png with a zip behind": (encoded() + a_zip(), 422, "polyglot"),
    "png with text behind": (encoded() + b"<script>alert(1)</script>", 422, "polyglot"),
    "jpeg with a pdf in its head": (
        b"\xff\xd8\xff\xfe\x00\x10%PDF-1.7 strea" + encoded(".jpg")[2:], 422, "polyglot"
    ),
    "jpeg of many scans": (
        encoded(".jpg")[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * 100 + b"\xff\xd9",
        413, "too_large",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bad_file_is_refused_before_it_is_decoded(service: Service, undecoded: None, name: str) -> None:
    data, status, code = BOMBS[name]
    reason(post(service, PREDICT, data, "application/octet-stream"), status, code)


def test_cameras_may_put_a_second_picture_behind_the_first(service: Service) -> None:
    jpeg = encoded(".jpg")
    both = post(service, PREDICT, jpeg + encoded(".jpg", seed=4), "image/jpeg")
    assert both.json["results"] == post(service, PREDICT, jpeg, "image/jpeg").json["results"]


def test_a_blank_picture_is_no_bomb(service: Service) -> None:
    blank = png_of(1000, 1000, bytes(1000 * 3001))
    assert len(blank) < 4000
    assert post(service, PREDICT, blank).status == 200


def test_pixels_that_do_not_decode_are_refused(service: Service) -> None:
    reason(post(service, PREDICT, png_of(64, 64, b"short")), 422, "not_a_picture")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("text/plain", encoded()),
        ("application/xml", encoded()),
        ("image/svg+xml", b"<svg/>"),
        ("image/jpeg", encoded()),
        ("image/png", encoded(".jpg")),
    ],
)
def test_a_wrong_content_type_is_refused(service: Service, undecoded: None, kind: str, data: bytes) -> None:
    reason(post(service, PREDICT, data, kind), 415, "media_type")


def test_a_body_over_the_limit_is_refused_by_its_length_and_by_its_parts(packages: dict[str, Path]) -> None:
    small = make_service([str(packages["detect"])], limits=Limits(body_bytes=1000))
    reason(post(small, PREDICT, bytes(1001), "application/octet-stream"), 413, "too_large")
    parts = [bytes(400)] * 5
    reason(ask(small, "POST", PREDICT, parts=parts), 413, "too_large")
    lying = ask(small, "POST", PREDICT, headers={"content-length": "12x"}, parts=[b""])
    reason(lying, 400, "bad_header")
    assert small._budget.held == 0
    closed(small)


def test_large_bodies_share_one_budget(packages: dict[str, Path]) -> None:
    small = make_service([str(packages["detect"])], limits=Limits(buffered_bytes=100))
    answer = post(small, PREDICT, encoded())
    reason(answer, 429, "memory")
    assert answer.headers["retry-after"]
    closed(small)


def test_a_compressed_body_is_undone_within_the_limit(packages: dict[str, Path]) -> None:
    found = make_service([str(packages["detect"])], limits=Limits(body_bytes=100_000))
    plain = post(found, PREDICT, encoded())
    packed = post(found, PREDICT, gzip.compress(encoded()), content_encoding="gzip")
    assert packed.json["results"] == plain.json["results"]
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 100_000
    reason(post(found, PREDICT, bomb, content_encoding="gzip"), 413, "too_large")
    reason(post(found, PREDICT, b"\x1f\x8bnot", content_encoding="gzip"), 400, "encoding")
    reason(post(found, PREDICT, gzip.compress(encoded())[:-9], content_encoding="gzip"), 400, "encoding")
    reason(post(found, PREDICT, encoded(), content_encoding="br"), 415, "encoding")
    closed(found)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"picture": NaN}', 400),
        (b'{"picture": ' + b"9" * 9000 + b"}", 400),
        (b"[]", 422),
        (b'{"picture": 5}', 422),
        (b'{"picture": "/etc/passwd"}', 422),
        (b'{"picture": "file:///etc/passwd"}', 422),
        (b'{"picture": "http://127.0.0.1:1/a.png"}', 422),
        (b'{"pictures": []}', 422),
        (b'{"pictures": "abc"}', 413),
        (b'{"pictures": [{"other": "AAAA"}]}', 415),
        (b'{"pictures": [{}]}', 422),
        (b"\xff\xfe", 400),
    ],
)
def test_bad_json_is_refused_and_no_path_in_it_is_opened(service: Service, text: bytes, status: int) -> None:
    answer = post(service, PREDICT, text, "application/json")
    assert answer.status == status, answer.body


def test_damaged_multipart_bodies_are_refused(service: Service) -> None:
    body, kind = form(("a", "image/png", encoded()))
    reason(post(service, PREDICT, body[:-30], kind), 400, "bad_body")
    reason(post(service, PREDICT, body, "multipart/form-data"), 400, "bad_body")
    reason(post(service, PREDICT, b"nothing of that kind", kind), 400, "bad_body")
    many, kind = form(*(("a", "image/png", b"x") for _ in range(200)))
    reason(post(service, PREDICT, many, kind), 413, "too_many")
    some, kind = form(*(("a", "image/png", encoded()) for _ in range(70)))
    reason(post(service, PREDICT, some, kind), 413, "too_many")


def test_a_client_that_leaves_gets_no_answer_and_holds_nothing(service: Service) -> None:
    with pytest.raises(IndexError):  # nothing was sent
        ask(service, "POST", PREDICT, parts=[])
    assert service._budget.held == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_picture_with_any_bytes_changed_is_answered_or_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([".jpg", ".png", ".webp", ".bmp"]))
    damaged = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    limits = Limits(pixels=1_000_000)
    try:
        header = pictures.check_picture(cut, limits)
        pixels = pictures.decode_picture(cut, max_pixels=limits.pixels)
    except Exception as error:
        assert isinstance(error, Refused) or type(error).__name__ == "MediaError"
    else:
        assert pixels.shape[1::-1] == header.size_wh


def test_the_limits_themselves_are_checked() -> None:
    with pytest.raises(UsageError, match="known: jpeg"):
        Limits(formats=frozenset({"exe"}))
    with pytest.raises(UsageError, match="positive"):
        Limits(pixels=0)


def test_tokens_are_asked_for_everywhere_but_of_health_and_the_page(packages: dict[str, Path]) -> None:
    found = make_service([str(packages["detect"])], tokens={"ann": "correct-horse-battery"})
    for path in ("/models", "/v2", "/v2/models/detect", "/metrics", "/openapi.json"):
        assert reason(ask(found, "GET", path), 401, "token")
        assert ask(found, "GET", path).headers["www-authenticate"].startswith("Bearer")
    for path in ("/", "/page.js", "/v2/health/live", "/v2/health/ready"):
        assert ask(found, "GET", path).status == 200
    basic = base64.b64encode(b"label:correct-horse-battery").decode()
    for header in ("Bearer correct-horse-battery", f"Basic {basic}"):
        assert post(found, PREDICT, encoded(), authorization=header).status == 200
    for header in (
        "Bearer wrong",
        "Bearer",
        "Basic !!!",
        "correct-horse-battery",
        "Bearer correct-horse-batter",
    ):
        reason(post(found, PREDICT, encoded(), authorization=header), 401, "token")
    closed(found)


def test_a_foreign_page_may_not_ask_unless_it_is_allowed(packages: dict[str, Path]) -> None:
    found = make_service([str(packages["detect"])], origins=frozenset({"https://ok.example"}))
    own = {"host": "127.0.0.1:80", "origin": "http://127.0.0.1:80"}
    assert ask(found, "GET", "/models", headers=own).status == 200
    assert ask(found, "GET", "/models", headers={**own, "origin": "https://ok.example"}).status == 200
    foreign = ask(found, "GET", "/models", headers={**own, "origin": "https://evil.example"})
    reason(foreign, 403, "origin")
    closed(found)


def test_each_owner_has_a_rate_of_their_own(packages: dict[str, Path]) -> None:
    tokens = {"ann": "a" * 20, "bob": "b" * 20}
    found = make_service([str(packages["detect"])], tokens=tokens, rate=2)
    ann, bob = ({"authorization": f"Bearer {token}"} for token in tokens.values())
    assert [ask(found, "GET", "/models", headers=ann).status for _ in range(3)] == [200, 200, 429]
    late = ask(found, "GET", "/models", headers=ann)
    reason(late, 429, "rate")
    assert int(late.headers["retry-after"]) >= 1
    assert ask(found, "GET", "/models", headers=bob).status == 200
    closed(found)


def test_depth_that_is_not_sixteen_bits_is_refused() -> None:
    from sightline.core.specs import InputSpec

    spec = InputSpec((8, 8), pixels="depth16")
    with pytest.raises(Refused, match="16-bit"):
        pictures.decode(encoded(), spec, Limits())
    grey = pictures.decode(encoded(), InputSpec((8, 8), pixels="grey8"), Limits())
    assert grey.shape == picture().shape[:2] and grey.dtype == np.uint8


def test_json_of_a_refusal_is_json_whatever_was_sent(service: Service) -> None:
    answer = post(service, '/predict/"quotes"\n', encoded())
    assert json.loads(answer.body)["code"] == "unknown_model"
