"""Class names in the order they are met: labels match classes by name, never by number."""

from __future__ import annotations

from collections.abc import Iterable


class ClassNames:
    """Names to indices; a new name gets the next index."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._index: dict[str, int] = {}
        for name in names:
            self.index(name)

    def index(self, name: str) -> int:
        """The index of a name, given to it where it is new."""
        return self._index.setdefault(name, len(self._index))

    @property
    def names(self) -> tuple[str, ...]:
        """All names, by index."""
        return tuple(self._index)
