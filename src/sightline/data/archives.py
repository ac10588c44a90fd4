"""Sources that are archives: unpacked beside the dataset, and refused where an entry reaches outside.

A zip or tar file is unpacked to `NAME.unpacked/`, whole or not at all; an unchanged archive is not unpacked
again. Links, devices, passwords, names that climb out and files that grow past what they declare are refused.
"""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sightline.core.errors import FormatError
from sightline.core.files import folder_written_whole, sha256
from sightline.data.media_store import safe_name

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MARK = ".archive.sha256"
MAX_ENTRIES = 5_000_000
CHUNK = 1 << 20


def is_archive(source: Path) -> bool:
    """Whether a source is a file named like an archive."""
    return source.name.lower().endswith(SUFFIXES) and source.is_file()


def unpacked(archive: Path, out: Path) -> Path:
    """The folder with an archive's files; where all lie in one folder, that folder.

    Args:
        archive: a zip or tar file.
        out: the dataset to be made; files go to `OUT.unpacked/`.

    Raises:
        FormatError: not an archive, damaged, or an entry that may not be; names it.
    """
    target = out.with_name(out.name + ".unpacked")
    digest = sha256(archive)
    mark = target / MARK
    if not (mark.is_file() and mark.read_text(encoding="ascii", errors="replace") == digest):
        with folder_written_whole(target, replace=True) as part:
            _unpack(archive, part)
            (part / MARK).write_text(digest, encoding="ascii")
    inside = [path for path in target.iterdir() if path.name not in (MARK, "__MACOSX")]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else target


def _unpack(archive: Path, folder: Path) -> None:
    seen: set[str] = set()
    free = shutil.disk_usage(folder).free
    with _entries(archive) as entries:
        for number, (name, size, file) in enumerate(entries):
            where = f"{archive}: {name!r}"
            safe = safe_name(name.replace("\\", "/"))
            if safe is None:
                raise FormatError("climbs out of the archive", where=where)
            if safe in seen:
                raise FormatError("is in the archive twice", where=where)
            if number >= MAX_ENTRIES:
                raise FormatError(f"has more than {MAX_ENTRIES} files", where=archive)
            free -= size
            if free < 0:
                raise FormatError("does not fit on the disk when unpacked", where=archive)
            seen.add(safe)
            _copy(file, folder / safe, size, where)


def _copy(file: IO[bytes], target: Path, size: int, where: str) -> None:
    """Write one file, and no more of it than was declared."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        left = size
        with target.open("xb") as out:
            while chunk := file.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise FormatError(f"holds more than the {size} bytes it declares", where=where)
                out.write(chunk)
    except (OSError, NotADirectoryError) as error:
        raise FormatError(f"cannot be unpacked ({error.strerror or error})", where=where) from error


@contextmanager
def _entries(archive: Path) -> Iterator[Iterator[tuple[str, int, Any]]]:
    """Name, declared length and content of each file; damage anywhere is one kind of error."""
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as whole:
                yield _zipped(archive, whole)
        else:
            with tarfile.open(archive) as tar:
                yield _tarred(archive, tar)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as error:
        raise FormatError(f"is damaged or no archive ({error})", where=archive) from error
    except OSError as error:
        raise FormatError(f"cannot be read ({error.strerror or error})", where=archive) from error


def _zipped(archive: Path, whole: zipfile.ZipFile) -> Iterator[tuple[str, int, Any]]:
    for entry in whole.infolist():
        if entry.is_dir():
            continue
        where = f"{archive}: {entry.filename!r}"
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise FormatError("is a link, which is not unpacked", where=where)
        if entry.flag_bits & 1:
            raise FormatError("is locked with a password", where=where)
        with whole.open(entry) as file:
            yield entry.filename, entry.file_size, file


def _tarred(archive: Path, tar: tarfile.TarFile) -> Iterator[tuple[str, int, Any]]:
    for entry in tar:
        if entry.isdir():
            continue
        if not entry.isfile():
            raise FormatError(
                "is a link or device, which is not unpacked", where=f"{archive}: {entry.name!r}"
            )
        yield entry.name, entry.size, tar.extractfile(entry)
