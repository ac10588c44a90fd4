"""Sizes as people write them."""

from __future__ import annotations

import re

from sightline.core.errors import UsageError

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def read_bytes(text: str, option: str) -> int:
    """Bytes of `500M`, `1.5G`, `2 GB` or `900`; raises UsageError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.strip().lower())
    if found is None:
        raise UsageError(f"{option} {text!r} is no size", remedy="write 500M or 2G")
    return int(float(found[1]) * UNITS[found[2]])
