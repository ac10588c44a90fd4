from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core.errors import FormatError, SightlineError
from sightline.data.archives import MARK, unpacked
from sightline.data.importing import import_dataset

PICTURE = cv2.imencode(".png", np.zeros((6, 8, 3), np.uint8))[1].tobytes()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.parametrize("top", ["", "set/"])
@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
def test_an_archive_is_imported_like_the_folder_in_it(tmp_path: Path, kind: str, top: str) -> None:
    files = {f"{top}cat/a.png": PICTURE, f"{top}dog/ночь 1.png": PICTURE}
    archive = (zipped if kind.endswith("zip") else tarred)(tmp_path / kind, files)
    imported, ledger = import_dataset(archive, tmp_path / "out")
    assert [r.media for r in imported.records] == ["cat/a.png", "dog/ночь 1.png"]
    assert imported.read(imported.records[1]).shape == (6, 8, 3)
    assert imported.header["source"]["path"] == str(archive)
    assert any("unpacked" in note for note in ledger.notes)


@pytest.mark.parametrize(
    "name", ["../x.png", "/etc/x.png", "a/../../x.png", "..\\x.png", "C:\\x.png", "C:x.png"]
)
@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
def test_entries_that_climb_out_are_refused_and_nothing_is_left(tmp_path: Path, kind: str, name: str) -> None:
    archive = (zipped if kind.endswith("zip") else tarred)(
        tmp_path / kind, {"ok/a.png": PICTURE, name: PICTURE}
    )
    with pytest.raises(FormatError, match="climbs out of the archive"):
        unpacked(archive, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == [kind]


def test_links_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    for name in ("a.zip", "a.tar"):
        with pytest.raises(FormatError, match="link"):
            unpacked(tmp_path / name, tmp_path / "out")


def test_an_entry_that_is_a_file_and_a_folder_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a": b"1", "a/b": b"2"})
    with pytest.raises(FormatError, match="cannot be unpacked"):
        unpacked(archive, tmp_path / "out")


def test_an_unchanged_archive_is_not_unpacked_again_and_a_changed_one_is(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a.txt": b"1"})
    folder = unpacked(archive, tmp_path / "out")
    made = (folder / MARK).stat().st_mtime_ns
    assert unpacked(archive, tmp_path / "out") == folder and (folder / MARK).stat().st_mtime_ns == made
    zipped(archive, {"b.txt": b"2"})
    assert [p.name for p in unpacked(archive, tmp_path / "out").iterdir() if p.name != MARK] == ["b.txt"]


def test_a_damaged_archive_is_refused_in_our_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    whole = {
        "zip": zipped(folder / "whole.zip", {"a.txt": b"x" * 99, "b.txt": b"y" * 99}).read_bytes(),
        "tar.gz": tarred(folder / "whole.tar.gz", {"a.txt": b"x" * 99}).read_bytes(),
    }

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(sorted(whole)), st.floats(0, 1), st.floats(0, 0.999), st.integers(0, 255))
    def holds(kind: str, share: float, at: float, value: int) -> None:
        data = bytearray(whole[kind])
        data[int(at * len(data))] = value
        path = folder / f"a.{kind}"
        path.write_bytes(data[: int(share * len(data))] if share < 0.9 else data)
        try:
            unpacked(path, folder / "out")
        except SightlineError as error:
            assert str(path) in str(error)

    holds()
