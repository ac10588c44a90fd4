"""Versions of a package: what is in use is exchanged whole, and every change is in the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sightline.core.errors import PackageError, UsageError
from sightline.core.files import sha256
from sightline.core.manifest import MANIFEST, Manifest, Stage
from sightline.core.specs import InputSpec, Signature
from sightline.lifecycle.packages import LOG, Packages, history

SIGNATURE = Signature(("classify",), ("a", "b"), {"image": InputSpec((8, 8))})


def made(folder: Path, version: str, body: bytes = b"graph") -> Path:
    """A package whose graph nobody runs."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(body)
    digest = sha256(folder / "model.onnx")
    stage = Stage("model.onnx", digest, "onnx", "f32", SIGNATURE, ("classify.scores",))
    Manifest("thing", version, {"model": stage}).write(folder)
    return folder


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    """Three versions, none in use."""
    found = Packages(tmp_path / "packages")
    for version in ("1", "2", "10"):
        found.admit(made(tmp_path / version, version))
    return found


def test_what_is_in_use_is_a_link_that_a_reader_can_serve(packages: Packages) -> None:
    assert packages.current == "" and packages.check() is None
    done = packages.promote("1", "first", {"met": True})
    assert (done.what, done.version, done.before) == ("promote", "1", "")
    link = packages.root / "current"
    assert link.is_symlink() and Manifest.read(link).version == "1"
    packages.promote("2", "better")
    assert Manifest.read(link).version == "2" and packages.current == "2"
    assert [p.why for p in packages.log()] == ["first", "better"]
    assert packages.log()[0].evidence == {"met": True}
    assert packages.versions() == ["1", "2", "10"] and packages.next_version() == "11"


def test_promoting_what_is_in_use_writes_nothing(packages: Packages) -> None:
    first = packages.promote("1", "first")
    assert packages.promote("1", "again") == first and len(packages.log()) == 1


def test_each_rollback_goes_one_further_back_and_none_past_the_first(packages: Packages) -> None:
    for version in ("1", "2", "10"):
        packages.promote(version, "next")
    assert packages.rollback("bad").version == "2"
    assert packages.rollback("bad too").version == "1"
    with pytest.raises(UsageError, match="no version was in use before"):
        packages.rollback("further")
    packages.promote("10", "mended")
    with pytest.raises(UsageError, match="'2' was not in use before"):
        packages.rollback("elsewhere", "2")
    assert packages.rollback("back", "1").before == "10"
    assert history(packages.log()) == ["1"]


def test_a_process_that_dies_between_log_and_link_leaves_the_old_version_and_a_true_log(
    packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.promote("1", "first")
    packages.promote("2", "second")

    def killed(name: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packages, "_point", killed)
        with pytest.raises(KeyboardInterrupt):
            packages.promote("10", "third")
    assert packages.current == "2" and Manifest.read(packages.root / "current").version == "2"
    assert packages.rollback("on").version == "1"  # not to 2, from the 10 that never was
    assert [(p.what, p.version) for p in packages.log()][2:] == [
        ("promote", "10"),
        ("found", "2"),
        ("rollback", "1"),
    ]


def test_a_link_moved_by_hand_is_written_down(packages: Packages) -> None:
    packages.promote("1", "first")
    (packages.root / "current").unlink()
    (packages.root / "current").symlink_to("versions/10")
    packages.promote("2", "second")
    assert [(p.what, p.before, p.version) for p in packages.log()] == [
        ("promote", "", "1"),
        ("found", "1", "10"),
        ("promote", "10", "2"),
    ]


def test_a_version_is_never_replaced_by_another_content(packages: Packages, tmp_path: Path) -> None:
    assert packages.admit(tmp_path / "2") == "2"
    with pytest.raises(UsageError, match=r"another package of version 2.*--version 11"):
        packages.admit(made(tmp_path / "other", "2", b"other"))
    with pytest.raises(PackageError, match="makes no folder's name"):
        packages.admit(made(tmp_path / "evil", "../../2"))


def test_a_changed_file_is_not_put_in_use(packages: Packages) -> None:
    packages.promote("1", "first")
    (packages.version("2") / "model.onnx").write_bytes(b"changed")
    with pytest.raises(PackageError, match="does not match its hash"):
        packages.promote("2", "second")
    assert packages.current == "1" and len(packages.log()) == 1
    (packages.version("1") / MANIFEST).unlink()
    with pytest.raises(PackageError, match="holds no manifest"):
        packages.check()


def test_an_unknown_version_and_a_torn_log_are_named(packages: Packages) -> None:
    with pytest.raises(UsageError, match="no version '7'; there are: 1, 2, 10"):
        packages.promote("7", "guess")
    (packages.root / LOG).write_text(json.dumps({"at": "x"}) + "\n")
    with pytest.raises(PackageError, match=r"promotions.jsonl:1: is no promotion"):
        packages.log()
