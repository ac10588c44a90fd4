"""Datasets on the Hugging Face Hub: pushed and pulled in shards, each checked, each only once.

What lies in the repository, a dataset repository:

    sightline.json            the shards with their hashes, and the dataset's fingerprint; written last
    dataset/                  dataset.yaml, records.parquet, media.parquet, ledger.json, splits/
    media/00000-HASH.tar      media files, in the order of their names, named by the shard's own hash
    README.md                 a card

A push that was cut short is gone on with by the same command: shards that are there are not sent again, and
nobody can pull before the last file is there. A pull works in a folder beside its target, which appears whole
once fingerprint, records and every media file are what they were.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import pyarrow.parquet as pq
import yaml

from sightline.core.errors import DatasetError, MediaError, UsageError
from sightline.core.files import inside, refusals, sha256, write_json, write_text
from sightline.data.dataset import HEADER, LEDGER, MEDIA, MEDIA_TABLE, SPLITS, TABLE, Dataset
from sightline.data.media_store import examine, safe_name
from sightline.data.writing import fingerprint_of, refuse_occupied

FORMAT = 1
MANIFEST = "sightline.json"
FOLDER = "dataset"
SHARDS = "media"
SHARD_BYTES = 256_000_000
STATE = "state.json"
Progress = Callable[[str, int, int], None]
AGAIN = "run the same command again: it goes on where it stopped"


class Repository(Protocol):
    """What is asked of a repository on the Hub; `hub_client.HubRepository` is the real one."""

    name: str

    def create(self, *, private: bool) -> None:
        """Make it, where it is not there."""

    def head(self) -> str:
        """The commit that the revision stands at."""

    def files(self) -> set[str]:
        """Paths of its files."""

    def commit(self, message: str, add: Mapping[str, Path], delete: list[str]) -> None:
        """One commit with files from disk, and without others."""

    def download(self, path: str, commit: str, folder: Path) -> Path:
        """A file of a commit below `folder`; goes on with one that was cut short."""


@dataclass(slots=True)
class Pushed:
    """What a push did: shards sent, shards that were there, and the dataset's fingerprint."""

    sent: int
    there: int
    bytes: int
    fingerprint: str


def push(
    dataset: Dataset,
    repository: Repository,
    *,
    private: bool = True,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> Pushed:
    """Send a dataset, shard by shard; the manifest goes last.

    Raises:
        MediaError: a media file is absent, or was changed since it was imported.
        DatasetError: the Hub refuses or cannot be reached.
        UsageError: shards of less than one byte.
    """
    if shard_bytes < 1:
        raise UsageError(f"shards of {shard_bytes} bytes", remedy="256M, say")
    parts = _parts(dataset, shard_bytes)
    repository.create(private=private)
    known = repository.files()
    shards: list[dict[str, Any]] = []
    done = Pushed(0, 0, 0, dataset.fingerprint)
    with TemporaryDirectory(prefix="sightline-push-") as made:
        for number, part in enumerate(parts):
            tar = _shard(dataset, part, Path(made) / "part.tar")
            digest = sha256(tar)
            name = f"{SHARDS}/{number:05d}-{digest[:16]}.tar"
            length = tar.stat().st_size
            shards.append({"name": name, "bytes": length, "sha256": digest, "files": len(part)})
            if name in known:
                done.there += 1
            else:
                repository.commit(f"Shard {number + 1} of {len(parts)}", {name: tar}, [])
                done.sent, done.bytes = done.sent + 1, done.bytes + length
            tar.unlink()
            if progress is not None:
                progress("shards", number + 1, len(parts))
        files = _small_files(dataset, shards, Path(made))
        names = {row["name"] for row in shards}
        stale = sorted(p for p in known - names if p.startswith(f"{SHARDS}/") and p.endswith(".tar"))
        repository.commit(f"Dataset {dataset.fingerprint}", files, stale)
    return done


def _parts(dataset: Dataset, shard_bytes: int) -> list[list[dict[str, Any]]]:
    """Media files of each shard, by name, as rows of `media.parquet`."""
    if dataset.header["media"]["mode"] == "none":
        return []
    parts: list[list[dict[str, Any]]] = []
    filled = shard_bytes
    for row in sorted(dataset.media().to_pylist(), key=lambda row: str(row["name"])):
        length = max(int(row["bytes"]), 0)
        if filled + length > shard_bytes:
            parts.append([])
            filled = 0
        parts[-1].append(row)
        filled += length
    return parts


def _shard(dataset: Dataset, part: list[dict[str, Any]], target: Path) -> Path:
    """A tar whose bytes depend on names and contents alone."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for row in part:
            path = dataset.media_path(row["name"])
            _check_media(path, row, "import it again: it is not what was labelled")
            info = tarfile.TarInfo(row["name"])
            info.size, info.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                tar.addfile(info, file)
    return target


def _check_media(path: Path, row: Mapping[str, Any], remedy: str) -> None:
    found = examine(path)
    if row["digest"] and (found.bytes, found.digest) != (row["bytes"], row["digest"]):
        what = f"is not what it was when it was imported ({found.bytes} bytes, were {row['bytes']})"
        raise MediaError(what, where=path, remedy=remedy)


def _small_files(dataset: Dataset, shards: list[dict[str, Any]], made: Path) -> dict[str, Path]:
    """Everything but the shards. Paths of this machine stay here."""
    header = dict(dataset.header)
    mode = "none" if header["media"]["mode"] == "none" else "copy"
    header["media"] = {"mode": mode, "root": ""}
    header["source"] = {
        key: Path(value).name if key == "path" else value for key, value in header["source"].items()
    }
    write_text(made / HEADER, yaml.safe_dump(header, sort_keys=False, allow_unicode=True))
    manifest = {"format": FORMAT, "fingerprint": dataset.fingerprint, "shards": shards}
    splits = sorted((dataset.root / SPLITS).glob("*.parquet"))
    files = {f"{FOLDER}/{HEADER}": made / HEADER}
    files |= {f"{FOLDER}/{name}": dataset.root / name for name in (TABLE, MEDIA_TABLE, LEDGER)}
    files |= {f"{FOLDER}/{SPLITS}/{path.name}": path for path in splits}
    manifest["files"] = {name: sha256(path) for name, path in files.items()}
    write_json(made / MANIFEST, manifest)
    write_text(made / "README.md", _card(dataset))
    return files | {MANIFEST: made / MANIFEST, "README.md": made / "README.md"}


def _card(dataset: Dataset) -> str:
    header = dataset.header
    licence = header["source"].get("licence")
    named = licence["file"] if isinstance(licence, dict) else licence or "not stated"
    lines = [
        "---",
        "tags: [sightline]",
        "---",
        "",
        f"# {dataset.root.name}",
        "",
        f"{header['records']} records, {header['annotations']} annotations.",
        f"Fingerprint: `{dataset.fingerprint}`.",
        f"Classes: {', '.join(dataset.classes)}. Licence of the source: {named}.",
        "",
        "Made with sightline: `sightline pull hf://THIS/REPOSITORY folder` checks and unpacks it.",
        "",
    ]
    return "\n".join(lines)


def pull(
    repository: Repository, out: str | Path, *, replace: bool = False, progress: Progress | None = None
) -> Dataset:
    """Bring a dataset, checked, or nothing of it.

    Args:
        repository: where `push` sent it.
        out: the dataset's folder; shards are gathered in `.NAME.pull` beside it until all are there.
        replace: take the place of a dataset that is there.
        progress: called with stage, done and total.

    Raises:
        DatasetError: no whole dataset is there, what arrives is not what was pushed, or the Hub cannot be
            reached.
        StorageError: the disk is full or read-only.
    """
    out = Path(out).absolute()
    refuse_occupied(out, replace=replace)
    with refusals(out):
        commit = repository.head()
        staging = _staging(out, f"{repository.name}@{commit}")
        manifest = _manifest(repository, commit, staging)
        folder = staging / FOLDER
        for name, digest in manifest["files"].items():
            _take_file(repository, commit, staging, name, digest)
        state = _State(staging / STATE)
        for number, row in enumerate(manifest["shards"], 1):
            if row["name"] not in state.done:
                _take_shard(repository, commit, staging, row)
                state.add(row["name"])
            if progress is not None:
                progress("shards", number, len(manifest["shards"]))
        (folder / MEDIA).mkdir(exist_ok=True)
        _verify(folder, manifest["fingerprint"], repository.name)
        if out.exists():
            shutil.rmtree(out) if any(out.iterdir()) else out.rmdir()
        folder.replace(out)
        shutil.rmtree(staging, ignore_errors=True)
    return Dataset.open(out)


def _staging(out: Path, source: str) -> Path:
    """The folder beside the target; what is left in it of another source or commit is removed."""
    staging = out.with_name(f".{out.name[:60]}.pull")
    told = staging / "source.json"
    if staging.exists():
        try:
            same = json.loads(told.read_text(encoding="utf-8")) == source
        except (OSError, ValueError):
            same = False
        if not same:
            shutil.rmtree(staging)
    staging.mkdir(parents=True, exist_ok=True)
    write_json(told, source)
    return staging


class _State:
    """Which shards are unpacked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.done: list[str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []

    def add(self, name: str) -> None:
        self.done.append(name)
        write_json(self._path, self.done)


def _manifest(repository: Repository, commit: str, staging: Path) -> dict[str, Any]:
    path = repository.download(MANIFEST, commit, staging)
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if value["format"] > FORMAT:
            raise DatasetError(f"format {value['format']} is newer than {FORMAT}", where=repository.name)
        good = isinstance(value["fingerprint"], str) and isinstance(value["files"], dict)
        for row in value["shards"]:
            good = good and row["name"] == safe_name(row["name"]) and isinstance(row["sha256"], str)
        if not good or any(name != safe_name(name) for name in value["files"]):
            raise ValueError("a name or hash is not one")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{MANIFEST} cannot be read ({error!r})", where=repository.name) from error
    return value


def _take_file(repository: Repository, commit: str, staging: Path, name: str, digest: str) -> Path:
    target = inside(staging, name)
    if target.is_file() and sha256(target) == digest:
        return target
    path = repository.download(name, commit, staging)
    if sha256(path) != digest:
        path.unlink()
        what = f"{name} arrived damaged: its hash is another"
        raise DatasetError(what, where=repository.name, remedy=AGAIN)
    return path


def _take_shard(repository: Repository, commit: str, staging: Path, row: Mapping[str, Any]) -> None:
    """Download, check and unpack one shard; its tar goes once its files are there."""
    tar = _take_file(repository, commit, staging, row["name"], row["sha256"])
    with tarfile.open(tar) as file:
        for member in _members(file, repository.name):
            target = inside(staging / FOLDER / MEDIA, member.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            content = file.extractfile(member)
            assert content is not None
            with target.open("wb") as written:
                shutil.copyfileobj(content, written)
    tar.unlink()


def _members(file: tarfile.TarFile, where: str) -> Iterator[tarfile.TarInfo]:
    for member in file:
        if not member.isfile() or safe_name(member.name) != member.name:
            raise DatasetError(f"a shard holds {member.name!r}, which is no plain file below it", where=where)
        yield member


def _verify(folder: Path, expected: str, where: str) -> None:
    """Hold records, classes and every media file to the fingerprint."""
    dataset = Dataset.open(folder)
    mode = dataset.header["media"]["mode"]
    found = fingerprint_of(folder, dataset.classes, mode)
    if not found == dataset.fingerprint == expected:
        what = f"the fingerprint is {found}, the manifest says {expected}"
        raise DatasetError(what, where=where, remedy="whoever pushed it has to push it again")
    if mode == "none":
        return
    for row in pq.read_table(folder / MEDIA_TABLE).to_pylist():
        try:
            _check_media(inside(folder / MEDIA, row["name"]), row, AGAIN)
        except MediaError as error:
            raise DatasetError(str(error), where=where) from error
