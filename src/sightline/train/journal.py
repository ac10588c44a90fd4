"""What a training tells: a live line, `metrics.jsonl`, TensorBoard, and a table at the end."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sightline.core.files import write_text
from sightline.train.checkpoint import State

METRICS = "metrics.jsonl"
WAIT_LIMIT = 0.1
GAP_ROWS = 3
LIVE_SECONDS = 0.2


class Clock:
    """Where the time of an epoch goes."""

    def __init__(self) -> None:
        self.started, self.waited, self.elements = time.monotonic(), 0.0, 0
        self.trained: float | None = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent here is waiting for data."""
        start = time.monotonic()
        yield
        self.waited += time.monotonic() - start

    def count(self, elements: int) -> None:
        """So many elements went through; the training time ends here, until more do."""
        self.elements += elements
        self.trained = self.total()

    def total(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def wait_share(self) -> float:
        """Share of the training time that was spent waiting for data, 0..1."""
        return self.waited / max(self.trained or self.total(), 1e-9)

    def rate(self) -> float:
        """Elements a second."""
        return self.elements / max(self.trained or self.total(), 1e-9)


class Journal:
    """Writes a run's figures and tells the terminal.

    Args:
        folder: of the run.
        workers: loader processes in use, for the advice on them.
        metadata: stands in the header of `best.safetensors`.
        quiet: nothing on the terminal.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 0,
        metadata: Mapping[str, str] | None = None,
        quiet: bool = False,
    ) -> None:
        self.folder, self.workers, self.metadata = folder, workers, dict(metadata or {})
        self.told = {"val.loss"}
        self.console = Console(quiet=quiet, highlight=False)
        self.rows: list[dict[str, Any]] = []
        self._live: Live | None = None
        self._shown = 0.0
        self._board: Any = None
        self._epochs = self._per_epoch = 0
        self._advised = False

    def start(self, state: State, epochs: int, per_epoch: int) -> None:
        """Open the files; rows of epochs that will be trained again are taken out."""
        from torch.utils.tensorboard import SummaryWriter

        self._epochs, self._per_epoch = epochs, per_epoch
        self.rows = [row for row in read_rows(self.folder) if row["epoch"] < state.epoch]
        write_text(self.folder / METRICS, "".join(json.dumps(row) + "\n" for row in self.rows))
        self._board = SummaryWriter(str(self.folder / "events"), purge_step=state.step or None)
        if state.step:
            self.say(f"resumed at epoch {state.epoch + 1}, step {state.step}")

    def say(self, text: str) -> None:
        """One line for the reader."""
        self.console.print(text, soft_wrap=True)

    def step(
        self,
        state: State,
        terms: Mapping[str, float],
        rate: float,
        clock: Clock,
        named: Mapping[str, float] | None = None,
    ) -> None:
        """Figures of one optimiser step; the live line is renewed a few times a second."""
        figures = {**terms, "lr": rate, **(named or {})}
        self._scalars({f"step/{name}": value for name, value in figures.items()}, state.step)
        self._rate = rate
        if not self.console.is_terminal or time.monotonic() - self._shown < LIVE_SECONDS:
            return
        self._shown = time.monotonic()
        loss = sum(terms.values())
        left = (self._per_epoch - state.at) * clock.total() / max(1, state.at)
        line = Text(
            f"epoch {state.epoch + 1}/{self._epochs}  {state.at}/{self._per_epoch}  loss {loss:.4g}"
            f"  lr {rate:.2g}  {clock.rate():.0f}/s  wait {clock.wait_share():.0%}  {left:.0f} s left"
        )
        if self._live is None:
            self._live = Live(line, console=self.console, transient=True)
            self._live.start()
        self._live.update(line)

    def close_steps(self) -> None:
        """The live line goes; what is said next stays."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def epoch(
        self,
        state: State,
        terms: Mapping[str, float],
        metrics: Mapping[str, float],
        clock: Clock,
        *,
        improved: bool,
    ) -> None:
        """Figures of an epoch: to the file, to TensorBoard and as one line."""
        share = clock.wait_share()
        row: dict[str, Any] = {
            "epoch": state.epoch,
            "step": state.step,
            "lr": self._rate,
            "train": {**terms, "loss": sum(terms.values())},
            "val": {name: value if math.isfinite(value) else None for name, value in metrics.items()},
            "wait": round(share, 4),
            "per_second": round(clock.rate(), 2),
            "seconds": round(clock.total(), 3),
            "best": improved,
        }
        self.rows.append(row)
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._scalars({f"train/{name}": value for name, value in row["train"].items()}, state.step)
        self._scalars({f"val/{name}": value for name, value in metrics.items()}, state.step)
        self._scalars({"time/wait": share, "time/per_second": clock.rate()}, state.step)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name in self.told)
        self.say(
            f"epoch {state.epoch + 1}/{self._epochs}  loss {row['train']['loss']:.4g}  {shown}"
            f"  lr {self._rate:.2g}  {clock.rate():.0f}/s  wait {share:.0%}  {clock.total():.1f} s"
            f"{'  best' if improved else ''}"
        )
        self._advise(share)

    def _advise(self, share: float) -> None:
        wanted = suggested_workers(self.workers, share, os.cpu_count() or 1)
        if not self._advised and wanted is not None:
            self._advised = True
            self.say(f"data wait is {share:.0%} of the time: train.workers: {wanted} would shorten it")
        if gap_widens(self.rows):
            self.say("validation loss rises while training loss falls: the model begins to learn by heart")

    def pictures(self, name: str, sheet: NDArray[np.uint8], step: int) -> None:
        """A picture (H, W, 3) for TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, sheet, step, dataformats="HWC")

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def finish(self, state: State, monitor: str) -> None:
        """Close the files and print the table."""
        self.close_steps()
        self._board.close()
        table = Table(title=f"{state.epoch} epochs, {state.step} steps, {state.seconds:.0f} s")
        for column in ("", "best", "last"):
            table.add_column(column, justify="left" if not column else "right")
        best = next((row for row in self.rows if row["epoch"] == state.best_epoch), None)
        last = self.rows[-1] if self.rows else None
        if best and last:
            table.add_row("epoch", str(best["epoch"] + 1), str(last["epoch"] + 1))
            for part in ("train", "val"):
                for name in best[part]:
                    mark = " *" if name == monitor else ""
                    shown = [_figure(row[part].get(name)) for row in (best, last)]
                    table.add_row(f"{part} {name}{mark}", *shown)
            self.console.print(table)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Rows of `metrics.jsonl`; a last line cut short by a kill is left out."""
    path = folder / METRICS
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def suggested_workers(workers: int, share: float, cores: int) -> int | None:
    """Loader processes that would hide the wait, or None where it is short or the cores are all in use.

    The workers made `workers / (1 - share)` times what they would have to at no wait.
    """
    if share <= WAIT_LIMIT:
        return None
    wanted = min(max(1, math.ceil(max(workers, 1) / max(1 - share, 0.05))), cores)
    return wanted if wanted > workers else None


def gap_widens(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether over the last validations the validation loss rose each time while the training loss fell."""
    pairs = [
        (row["train"]["loss"], row["val"]["val.loss"])
        for row in rows
        if row["val"].get("val.loss") is not None
    ][-GAP_ROWS - 1 :]
    if len(pairs) <= GAP_ROWS:
        return False
    return all(b[0] < a[0] and b[1] > a[1] for a, b in pairwise(pairs))
