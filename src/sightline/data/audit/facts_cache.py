"""Facts on disk: one compressed NumPy file, read without pickles, ignored where it is damaged."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.core.files import written_whole
from sightline.core.likeness import THUMB_SIDE, Look

if TYPE_CHECKING:
    from sightline.data.audit.facts import Facts

VERSION = 1


def save_facts(path: Path, facts: dict[str, Facts]) -> None:
    """Write facts by record id."""
    rows = [
        [i, f.fault, f.detail, *f.size_wh, f.orientation, f.digest, f.stamp, f.look is not None]
        for i, f in facts.items()
    ]
    looks = [f.look for f in facts.values() if f.look is not None]
    text = json.dumps({"version": VERSION, "rows": rows})
    with written_whole(path) as part, part.open("wb") as file:
        np.savez(
            file,
            rows=np.frombuffer(text.encode(), np.uint8),
            hashes=np.array([(k.hash, k.mirrored) for k in looks], np.uint64).reshape(-1, 2),
            thumbs=np.array([k.thumb for k in looks], np.uint8).reshape(-1, THUMB_SIDE, THUMB_SIDE),
            colours=np.array([k.colour for k in looks], np.uint8).reshape(-1, 48),
        )


def load_facts(path: Path) -> dict[str, Facts]:
    """Facts by record id, or none where there is no usable file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("rows", "hashes", "thumbs", "colours")}
        value = json.loads(arrays["rows"].tobytes())
        if value["version"] != VERSION:
            return {}
        return _facts(value["rows"], arrays)
    except (OSError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile, EOFError):
        return {}


def _facts(rows: list[list[Any]], arrays: dict[str, Any]) -> dict[str, Facts]:
    from sightline.data.audit.facts import Facts

    facts: dict[str, Facts] = {}
    at = 0
    for id, fault, detail, width, height, orientation, digest, stamp, looked in rows:
        seen = None
        if looked:
            a, b = arrays["hashes"][at]
            seen = Look(int(a), int(b), arrays["thumbs"][at], arrays["colours"][at])
            at += 1
        facts[id] = Facts(fault, detail, (width, height), orientation, digest, seen, stamp)
    return facts
