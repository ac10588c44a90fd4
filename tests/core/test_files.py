from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sightline.core.errors import InputError, StorageError, UsageError
from sightline.core.files import (
    fingerprint,
    folder_written_whole,
    inside,
    sha256,
    write_json,
    write_text,
    written_whole,
)


def test_a_file_whose_writing_fails_leaves_the_old_one_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError, match="half way"), written_whole(target) as part:
        part.write_text("ne")
        raise RuntimeError("half way")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_an_input_error_that_names_the_place_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    full = r"a\.txt: cannot be written \(No space left.*make room"
    with pytest.raises(StorageError, match=full) as caught, written_whole(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert isinstance(caught.value, InputError) and caught.value.exit_code == 2
    with pytest.raises(StorageError, match="No space left"), folder_written_whole(tmp_path / "folder"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list((tmp_path / "deep").iterdir()) and not (tmp_path / "folder").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_really_full_is_told(tmp_path: Path) -> None:
    def fill() -> None:
        with Path("/dev/full").open("wb") as file:
            file.write(b"x" * 10)

    with pytest.raises(StorageError, match="No space left"), written_whole(tmp_path / "never"):
        fill()


def test_a_file_where_a_folder_belongs_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / "file" / "below.txt", "x")


def test_an_error_of_ours_while_writing_keeps_its_kind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), written_whole(tmp_path / "a"):
        (tmp_path / "nowhere").read_text()


def test_a_folder_is_replaced_whole_and_only_when_told(tmp_path: Path) -> None:
    target = tmp_path / "set"
    for content in ("one", "two"):
        with folder_written_whole(target, replace=content == "two") as part:
            (part / content).write_text(content)
    assert [p.name for p in target.iterdir()] == ["two"]
    with pytest.raises(UsageError, match="already exists"), folder_written_whole(target):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_paths_that_climb_out_are_refused(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/b.txt") == tmp_path / "a" / "b.txt"
    for name in ("../x", "/etc/passwd", "a/../../x"):
        with pytest.raises(UsageError, match="climbs out"):
            inside(tmp_path, name)


def test_json_never_holds_a_nan_and_hashes_follow_content(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()
    write_text(tmp_path / "a.txt", "abc")
    assert sha256(tmp_path / "a.txt").startswith("ba7816bf")
    assert fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1}) != fingerprint({"a": 1, "b": 2})


def test_only_a_folder_of_its_own_kind_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    with (
        pytest.raises(UsageError, match=r"holds no manifest\.json, so it is not replaced"),
        folder_written_whole(tmp_path / "work", replace=True, marker="manifest.json"),
    ):
        pass
    assert (tmp_path / "work" / "thesis.txt").read_text() == "years"
    (tmp_path / "work" / "manifest.json").write_text("{}")
    with folder_written_whole(tmp_path / "work", replace=True, marker="manifest.json") as part:
        (part / "new").touch()
    assert [p.name for p in (tmp_path / "work").iterdir()] == ["new"]
