"""Decoded pictures kept for the next epoch, in memory that all workers share or in a file, bounded."""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch.multiprocessing
from numpy.typing import NDArray

from sightline.core.records import Record

Array = NDArray[Any]
Key = tuple[str, int]

MEGABYTE = 1 << 20


class Cache:
    """Pictures by number in one arena; once it is full, no more are taken and none goes.

    Every epoch reads every picture once, in another order; throwing out the oldest would then keep
    nothing for long. A picture that is not here is decoded again.

    The arena is anonymous shared memory or a file without a name, so that nothing is left behind
    however the process ends; forked workers share it.

    Args:
        count: pictures there may be.
        limit_mb: the arena's size.
        folder: where the file lies; None keeps pictures in memory.

    Raises:
        OSError: the folder cannot be written to.
    """

    def __init__(self, count: int, limit_mb: int, folder: Path | None = None) -> None:
        self.limit = limit_mb * MEGABYTE
        # offset, height, width of each picture, offset -1 where absent; the last row holds the bytes used.
        self._index = np.frombuffer(mmap.mmap(-1, (count + 1) * 24), np.int64).reshape(count + 1, 3)
        self._index[:, 0] = -1
        self._index[-1] = 0
        self._lock = torch.multiprocessing.get_context("fork").Lock()
        self._file: int | None = None
        self._memory: mmap.mmap | None = None
        if folder is None:
            self._memory = mmap.mmap(-1, max(self.limit, 1))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self._file, name = tempfile.mkstemp(dir=folder, prefix=".cache.")
            Path(name).unlink()
            weakref.finalize(self, os.close, self._file)

    @property
    def used_bytes(self) -> int:
        """Bytes of the arena in use."""
        return int(self._index[-1, 0])

    def __len__(self) -> int:
        """Pictures held."""
        return int((self._index[:-1, 0] >= 0).sum())

    def get(self, number: int) -> Array | None:
        """The picture (H, W, 3) uint8 of a number, or None where it is not held; not to be written to."""
        offset, height, width = (int(v) for v in self._index[number])
        if offset < 0:
            return None
        size = height * width * 3
        if self._memory is not None:
            flat = np.frombuffer(self._memory, np.uint8, size, offset)
            flat.flags.writeable = False
        else:
            assert self._file is not None
            data = os.pread(self._file, size, offset)
            if len(data) < size:
                return None
            flat = np.frombuffer(data, np.uint8)
        return flat.reshape(height, width, 3)

    def put(self, number: int, picture: Array) -> bool:
        """Keep a picture if there is room; false where there is none."""
        with self._lock:
            start = int(self._index[-1, 0])
            if self._index[number, 0] >= 0 or start + picture.nbytes > self.limit:
                return False
            self._index[-1, 0] = start + picture.nbytes
        if not self._write(start, np.ascontiguousarray(picture)):
            return False
        # The offset goes last: who sees it finds the pixels there.
        self._index[number, 1:] = picture.shape[:2]
        self._index[number, 0] = start
        return True

    def _write(self, start: int, picture: Array) -> bool:
        if self._memory is not None:
            view = np.frombuffer(self._memory, np.uint8, picture.nbytes, start)
            view[:] = picture.reshape(-1)
            return True
        try:
            assert self._file is not None
            return os.pwrite(self._file, picture.data, start) == picture.nbytes
        except OSError:  # the disk is full: go on without
            return False


class Cached:
    """A dataset that reads each picture from the cache where it is held, and as it was otherwise.

    Args:
        dataset: the `data.dataset.Dataset`; every other question goes to it.
        records: whose pictures may be kept.
        kind: `memory` or `disk`.
        limit_mb: bound of the cache.
        folder: where the file of a disk cache lies.
    """

    def __init__(
        self,
        dataset: Any,
        records: Iterable[Record],
        kind: Literal["memory", "disk"],
        limit_mb: int,
        folder: Path,
    ) -> None:
        self._dataset = dataset
        self._number: dict[Key, int] = {}
        for record in records:
            self._number.setdefault((record.media, record.frame), len(self._number))
        self.cache = Cache(len(self._number), limit_mb, folder if kind == "disk" else None)

    def read(self, record: Record) -> Array:
        """Upright RGB pixels (H, W, 3) uint8 of a record."""
        number = self._number.get((record.media, record.frame))
        read: Callable[[Record], Array] = self._dataset.read
        if number is None:
            return read(record)
        held = self.cache.get(number)
        if held is None:
            held = read(record)
            self.cache.put(number, held)
        return held

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_dataset":
            raise AttributeError(name)
        return getattr(self._dataset, name)
