"""`sightline feedback`: labels for past answers of a service, and how good the answers were."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    store: Annotated[str, typer.Argument(help="folder of --review, or the URL of its database")],
    labels: Annotated[
        Path | None,
        typer.Argument(help='JSON Lines of {"request_id": ..., "index": 0, "labels": ...}; - reads stdin'),
    ] = None,
) -> None:
    """Take labels for past predictions by request id; print live quality beside what was promised.

    Without a file the quality alone is printed. Exit code 1 where quality lies under the promise.
    """
    from rich.console import Console
    from rich.table import Table

    from sightline.monitor.feedback import live_quality, tell
    from sightline.monitor.store import Store

    found = Store.open(store, create=False)
    if labels is not None:
        taken, unknown = tell(found, _rows(labels))
        print(f"labels: {taken} taken, {len(unknown)} of unknown requests")
        for name in unknown[:5]:
            print(f"unknown request: {name[:128]!r}", file=sys.stderr)
    table = Table("model", "metric", "live", "95% interval", "pictures", "promised", "")
    worse = False
    for (model, version), about in found.packages().items():
        for row in live_quality(found.told(model, version), about):
            worse = worse or row.worse
            promised = "{:.3f} ({:.3f} to {:.3f})".format(*row.promised) if row.promised else ""
            interval = f"{row.low:.3f} to {row.high:.3f}"
            said = "below its promise" if row.worse else ""
            table.add_row(
                f"{model} {version}", row.metric, f"{row.value:.3f}", interval, str(row.n), promised, said
            )
    if table.row_count:
        Console().print(table)
    else:
        print("no labels have come yet")
    if worse:
        raise typer.Exit(1)


def _rows(path: Path) -> list[tuple[str, int, Any]]:
    from sightline.core.errors import FormatError

    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot be read ({error})", where=path) from error
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            name, index = value["request_id"], value.get("index", 0)
            if not isinstance(name, str) or isinstance(index, bool) or not isinstance(index, int):
                raise TypeError("request_id is text and index a whole number")
            rows.append((name, index, value["labels"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"is no label of a prediction ({error!r})", where=f"{path}:{number}") from error
    return rows
