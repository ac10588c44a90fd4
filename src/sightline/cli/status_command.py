"""`sightline status`: how far a problem has come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

STYLES = {"done": "green", "stale": "yellow", "failing": "bold red", "none": "dim"}
PIPE_WIDTH = 160


def command(
    problem: Annotated[Path, typer.Argument(help="the problem.yaml")],
    service: Annotated[
        str, typer.Option(help="address of a running service, to be asked what it serves")
    ] = "",
    html: Annotated[Path | None, typer.Option(help="write a page here")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the rows as JSON")] = False,
    out: Annotated[
        Path | None, typer.Option(help="workspace; work/NAME beside the problem unless given")
    ] = None,
) -> None:
    """The nine stages from labels to better labels: done, stale or failing, by what lies on disk.

    Exit code 1 where any is failing.
    """
    from rich.console import Console
    from rich.table import Table

    from sightline.core.problem import Problem
    from sightline.lifecycle.status import status

    rows = status(problem, out, service=service)
    if html is not None:
        from sightline.core.files import write_text
        from sightline.lifecycle.status_page import WORDS, status_page

        asked = Problem.load(problem)
        write_text(html, status_page(asked.name, asked.why, rows))
    if as_json:
        print(json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False))
    else:
        from rich.markup import escape

        from sightline.lifecycle.status_page import WORDS

        console = Console(highlight=False)
        console = console if console.is_terminal else Console(width=PIPE_WIDTH, highlight=False)
        table = Table("", "stage", "state", "evidence", "when", "where")
        for number, row in enumerate(rows, 1):
            when = f"{row.at:%Y-%m-%d %H:%M}" if row.at else ""
            word = f"[{STYLES[row.state]}]{WORDS[row.state]}[/]"
            table.add_row(str(number), row.stage, word, escape(row.found), when, escape(str(row.path or "")))
        console.print(table)
        if html is not None:
            console.print(f"page: {html}", markup=False, soft_wrap=True)
    if any(row.state == "failing" for row in rows):
        raise typer.Exit(1)
