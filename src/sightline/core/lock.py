"""One process at a time in a folder; the lock goes with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline.core.errors import UsageError
from sightline.core.files import refusals

_handles: set[int] = set()


def _let_go() -> None:
    """Close what a forked child inherited: a loader process that outlives its killed parent for some
    seconds would go on holding the parent's locks.
    """
    while _handles:
        os.close(_handles.pop())


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def held(folder: Path, busy: str, remedy: str) -> Iterator[None]:
    """Hold a folder, which is made if it is not there.

    Args:
        folder: what to hold.
        busy: what to say where another process holds it, and
        remedy: what can be done about it.

    Raises:
        UsageError: another process holds it.
        StorageError: the folder cannot be written to.
    """
    with refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    _handles.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(busy, where=folder, remedy=remedy) from None
        yield
    finally:
        if handle in _handles:
            _handles.discard(handle)
            os.close(handle)
