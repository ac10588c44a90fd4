"""Bringing pictures that labels name by URL: checked, counted, resumed, and known by their hash.

They are kept beside the dataset, in `NAME.fetched/`, with `fetched.json` (URL, file, bytes, SHA-256): a
second import brings only what is missing. What cannot be brought stays listed as missing, with the reason.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from sightline.core.errors import MediaError, SightlineError
from sightline.core.files import sha256, write_json
from sightline.core.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES, check_complete, parse_header
from sightline.data.fetch_http import FetchLimits, Passing, attempt, checked_url, forget
from sightline.data.ledger import Ledger
from sightline.data.media_store import is_url, safe_name
from sightline.data.reading import Reading, Tables

INDEX = "fetched.json"
FAILURES_SHOWN = 20
SUFFIXES = {"jpeg": ".jpg", "png": ".png", "bmp": ".bmp", "webp": ".webp", "tiff": ".tif"}
_UNSAFE = re.compile(r"[^\w.-]+")

Progress = Callable[[str, int, int], None]
Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that came: its name under the folder, its length and the hash of its content."""

    url: str
    file: str
    bytes: int
    sha256: str


def fetch(url: str, folder: Path, limits: FetchLimits | None = None, *, sleep: Sleep = time.sleep) -> Fetched:
    """Bring one picture or video into a folder, whole or not at all.

    An attempt that breaks off is tried again after a wait that doubles, and goes on where it stopped if the
    server names the same content.

    Raises:
        MediaError: refused by the server, over a limit, or no picture or video of a kind that is read.
        UsageError: the host is at an address that is not public.
    """
    limits = limits or FetchLimits()
    parts = checked_url(url)
    base = _base_name(url)
    part = folder / (parts.hostname or "host") / f".{base}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, limits.attempts + 1):
        try:
            attempt(url, part, limits)
            break
        except Passing as fault:
            if number == limits.attempts:
                raise MediaError(
                    f"cannot be fetched, tried {number} times: {fault}",
                    where=url,
                    remedy="try again later",
                ) from fault
            wait = max(fault.after_s, limits.wait_s * 2 ** (number - 1))
            sleep(wait * (1 + 0.1 * random.random()))
        except SightlineError:
            forget(part)
            raise
    return _accept(url, part, base, folder)


def _accept(url: str, part: Path, base: str, folder: Path) -> Fetched:
    """Put a file that came in its place, if it is a picture or video by its content."""
    try:
        suffix = _suffix_of(part, base, url)
        target = part.with_name(base if suffix == Path(base).suffix.lower() else base + suffix)
        digest, size = sha256(part), part.stat().st_size
        part.replace(target)
    except MediaError:
        part.unlink(missing_ok=True)
        raise
    finally:
        part.with_name(part.name + ".mark").unlink(missing_ok=True)
    return Fetched(url, target.relative_to(folder).as_posix(), size, digest)


def _suffix_of(part: Path, base: str, url: str) -> str:
    """The suffix a file's content deserves; raises MediaError for what is neither picture nor video."""
    with part.open("rb") as file:
        head = file.read(16)
    named = Path(base).suffix.lower()
    if (
        head[4:8] == b"ftyp"
        or head[:4] == b"\x1aE\xdf\xa3"
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    ):
        return named if named in VIDEO_SUFFIXES else ".mp4"
    data = part.read_bytes()
    header = parse_header(data, where=url)
    if min(header.stored_wh) < 1:
        raise MediaError("header is cut short", where=url)
    check_complete(data, header, where=url)
    return named if named in PICTURE_SUFFIXES else SUFFIXES[header.kind]


def _base_name(url: str) -> str:
    """A file name of its own for a URL: the start of its hash, and as much of its name as is safe."""
    name = _UNSAFE.sub("_", PurePosixPath(unquote(urlsplit(url).path)).name)[-80:].lstrip(".")
    return f"{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}-{name or 'file'}"


def fetch_all(
    urls: Iterable[str],
    folder: Path,
    limits: FetchLimits | None = None,
    progress: Progress | None = None,
    *,
    sleep: Sleep = time.sleep,
) -> tuple[dict[str, Fetched], dict[str, str]]:
    """Bring many; gives what came, and why the others did not, by URL. What is there already is kept."""
    limits = limits or FetchLimits()
    folder.mkdir(parents=True, exist_ok=True)
    came = _known(folder)
    wanted = [url for url in dict.fromkeys(urls) if url not in came]
    total = sum(item.bytes for item in came.values())
    failed: dict[str, str] = {}
    full = threading.Event()

    def bring(url: str) -> Fetched:
        if full.is_set():
            raise MediaError(f"the limit of {limits.total_bytes} bytes for all files is reached", where=url)
        return fetch(url, folder, limits, sleep=sleep)

    with ThreadPoolExecutor(limits.workers, thread_name_prefix="fetch") as pool:
        waiting = {pool.submit(bring, url): url for url in wanted}
        for done, future in enumerate(as_completed(waiting), 1):
            url = waiting[future]
            try:
                item = future.result()
            except SightlineError as error:
                failed[url] = str(error)
            else:
                total += item.bytes
                came[url] = item
                if total > limits.total_bytes:
                    full.set()
            if progress is not None:
                progress("fetch", done, len(wanted))
            if done % 500 == 0:
                _remember(folder, came)
    _remember(folder, came)
    return came, failed


def _known(folder: Path) -> dict[str, Fetched]:
    """What an earlier call brought and what still is as it came."""
    try:
        entries = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        items = [Fetched(**entry) for entry in entries]
    except (OSError, ValueError, TypeError):
        return {}
    kept = {}
    for item in items:
        path = folder / item.file
        if safe_name(item.file) and path.is_file() and path.stat().st_size == item.bytes:
            kept[item.url] = item
    return kept


def _remember(folder: Path, came: dict[str, Fetched]) -> None:
    write_json(folder / INDEX, [asdict(item) for item in sorted(came.values(), key=lambda i: i.url)])


def fetch_reading(
    reading: Reading,
    out: Path,
    ledger: Ledger,
    progress: Progress | None = None,
    limits: FetchLimits | None = None,
    *,
    sleep: Sleep = time.sleep,
) -> Reading:
    """The reading with its addresses brought to `OUT.fetched/` and replaced by the files there.

    Pictures that were here before are linked into that folder, since a reading has one media folder.
    """
    if reading.table is None:
        reading.records = list(reading.records)
    names = _media(reading)
    urls = [name for name in names if is_url(name)]
    web = [url for url in urls if url.startswith(("http://", "https://"))]
    if len(web) < len(urls):
        ledger.note(f"{len(urls) - len(web)} pictures are in stores that are not fetched (s3, gs, ftp)")
    if not web:
        return reading
    folder = out.with_name(out.name + ".fetched")
    came, failed = fetch_all(web, folder, limits, progress, sleep=sleep)
    for url, why in list(failed.items())[:FAILURES_SHOWN]:
        ledger.note(f"not fetched: {why if url in why else f'{url}: {why}'}")
    if len(failed) > FAILURES_SHOWN:
        ledger.note(f"not fetched: {len(failed) - FAILURES_SHOWN} more")
    brought = {url: came[url].file for url in web if url in came}
    size = sum(came[url].bytes for url in brought)
    ledger.note(f"{len(brought)} of {len(web)} pictures fetched, {size} bytes, hashes in {folder / INDEX}")
    _link_here(reading, [name for name in names if not is_url(name)], folder)
    return _renamed(reading, brought, folder)


def _media(reading: Reading) -> list[str]:
    """Every media and map name once, in order."""
    if reading.table is not None:
        return list(dict.fromkeys(reading.table.media))
    names = [n for record in reading.records for n in (record.media, *record.maps.values())]
    return list(dict.fromkeys(names))


def _link_here(reading: Reading, names: list[str], folder: Path) -> None:
    for name in names:
        safe = safe_name(name)
        origin = reading.media_root / name
        if safe is None or name in reading.made or not origin.is_file():
            continue
        link = folder / safe
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        if not link.exists():
            link.symlink_to(origin.absolute())


def _renamed(reading: Reading, brought: dict[str, str], folder: Path) -> Reading:
    """The reading over the new folder; ids stay, so that a record is known by its address."""
    notes = reading.notes | {"fetched": str(folder / INDEX)}
    if reading.table is not None:
        tables = _FetchedTables(reading.table, brought)
        return replace(reading, table=tables, media_root=folder, notes=notes)
    records = [
        replace(r, media=brought[r.media], id=r.id or r.media) if r.media in brought else r
        for r in reading.records
    ]
    return replace(reading, records=records, media_root=folder, notes=notes)


class _FetchedTables:
    """Tables whose media column names the files that came."""

    def __init__(self, tables: Tables, brought: dict[str, str]) -> None:
        self._tables, self._brought = tables, brought

    @property
    def media(self) -> Sequence[str]:
        return [self._brought.get(name, name) for name in self._tables.media]

    def __iter__(self) -> Iterator[Any]:
        import pyarrow as pa

        for table in self._tables:
            names = [self._brought.get(name, name) for name in table.column("media").to_pylist()]
            at = table.schema.get_field_index("media")
            yield table.set_column(at, table.schema.field(at), pa.array(names, pa.string()))
