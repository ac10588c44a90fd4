"""Handing items from one thread to the next: bounded, and either waiting or keeping the newest."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """A queue of at most `limit` items between two threads.

    Args:
        limit: items held at most.
        on_drop: called with an item that makes room for a newer one; None makes the giver wait instead.
    """

    def __init__(self, limit: int, on_drop: Callable[[T], None] | None = None) -> None:
        self._limit, self._on_drop = limit, on_drop
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Give an item; False where nobody takes any more."""
        with self._changed:
            while len(self._items) >= self._limit and not self._closed:
                if self._on_drop is not None:
                    self._on_drop(self._items.popleft())
                else:
                    self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes; an error is raised at the taker when it has taken what is there."""
        with self._changed:
            self._ended, self._error = True, self._error or error
            self._changed.notify_all()

    def close(self, left: Callable[[T], None] | None = None) -> None:
        """Nothing more is taken: the giver's `put` gives False; `left` sees what was still there."""
        with self._changed:
            self._closed = True
            while self._items:
                item = self._items.popleft()
                if left is not None:
                    left(item)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not self._items and not self._ended and not self._closed:
                    self._changed.wait()
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
