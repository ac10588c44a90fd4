"""Writing so that nothing is ever half there, and naming content by its hash."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sightline.core.errors import StorageError, UsageError

CHUNK_BYTES = 1 << 20

# What a disk or its owner says; any other OSError is a fault of ours and keeps its traceback.
_REFUSALS = {
    getattr(errno, name)
    for name in (
        "ENOSPC",
        "EDQUOT",
        "EROFS",
        "EACCES",
        "EPERM",
        "ENOTDIR",
        "ENAMETOOLONG",
        "EFBIG",
        "EEXIST",
        "EISDIR",
    )
}


@contextmanager
def refusals(target: Path) -> Iterator[None]:
    """Say where and why writing was refused.

    Raises:
        StorageError: the disk is full or read-only, access is denied, or a file is where a folder should be.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        hint = "make room and run it again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
        raise StorageError(f"cannot be written ({error.strerror})", where=target, remedy=hint) from error


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write a *file* to; rename it into place on success.

    A process that dies leaves the old file or the new one, never a part of either.

    Raises:
        StorageError: the disk is full or read-only, or access is denied.
    """
    with refusals(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:60]}.", suffix=".part", dir=target.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            _sync(part)
            part.chmod(0o644)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(target: Path, *, replace: bool = False, marker: str = "") -> Iterator[Path]:
    """Give a folder beside `target` to fill; rename it into place on success.

    With a `marker`, only a folder that holds a file of that name is replaced: another kind of folder is
    somebody's work, named by mistake.

    Raises:
        UsageError: `target` exists, is not an empty folder, and may not be replaced.
        StorageError: the disk is full or read-only, or access is denied.
    """
    target = target.absolute()
    refuse_taken(target, replace=replace, marker=marker)
    with refusals(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name[:60]}.", suffix=".part", dir=target.parent))
        try:
            yield part
            part.chmod(0o755)
            _exchange(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def refuse_taken(target: Path, *, replace: bool = False, marker: str = "") -> None:
    """Refuse a place that `folder_written_whole` would refuse; ask before long work, not after it.

    Raises:
        UsageError: as `folder_written_whole` does.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not replace:
        raise UsageError("already exists", where=target, remedy="choose another place or pass --replace")
    if marker and not (target / marker).is_file():
        raise UsageError(
            f"holds no {marker}, so it is not replaced", where=target, remedy="choose another place"
        )


def _exchange(part: Path, target: Path) -> None:
    """Put `part` where `target` is; the old folder is moved aside first and removed last."""
    old = target.with_name(f".{target.name[:60]}.{os.getpid()}.old")
    if target.exists():
        target.replace(old)
    try:
        part.replace(target)
    except OSError:
        if old.exists():
            old.replace(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    with suppress(OSError), path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text whole."""
    with written_whole(target) as part:
        part.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write JSON whole; NaN is refused, since no other reader takes it."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256(path: Path) -> str:
    """Hash of a file's bytes, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(value: Any) -> str:
    """Hash of a JSON-like value, 16 hexadecimal digits; equal values give equal hashes."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def inside(root: Path, name: str) -> Path:
    """`root / name`, refused where it climbs out of `root`.

    Raises:
        UsageError: the path is absolute or leaves the folder, through `..` or a link.
    """
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"path {name!r} climbs out of its folder", where=root)
    return path
