"""What `run` and `demo` tell on the terminal: a line a stage, a bar within it, the import's ledger."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from rich.console import Console

from sightline.cli.bars import bars
from sightline.cli.import_command import print_ledger
from sightline.data.ledger import Ledger
from sightline.lifecycle.run import Tell


class Telling:
    """Prints stages as they end; bars stand only while their stage runs, since training draws its own."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: bars | None = None
        self.tell = Tell(self._stage, self._progress, self._ledger)

    def __enter__(self) -> Telling:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def _clear(self) -> None:
        if self._bars is not None:
            self._bars.__exit__(None, None, None)
            self._bars = None

    def _stage(self, name: str, kept: bool, seconds: float) -> None:
        self._clear()
        word = "[dim]kept[/dim]" if kept else f"{seconds:7.1f} s"
        self._console.print(f"[green]✓[/green] {name:<10}{word}", highlight=False)

    def _progress(self, what: str, done: int, total: int) -> None:
        if self._bars is None:
            self._bars = bars(self._console).__enter__()
        self._bars(what, done, total)

    def _ledger(self, ledger: Ledger, path: Path) -> None:
        self._clear()
        print_ledger(self._console, ledger)
        self._console.print(f"ledger: {path}", markup=False, highlight=False, soft_wrap=True)
