"""The command line: a verb is a module, loaded when it is called, so that start-up pays for one only."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click
import typer
from typer.core import TyperGroup

from sightline.core.errors import SightlineError

# Verb -> its line in `sightline --help`. The function `command` of `sightline.cli.VERB` is the verb.
VERBS = {
    "new": "write a problem.yaml to start from",
    "import": "labels in any format to a checked dataset",
    "audit": "find faults in a dataset",
    "split": "divide a dataset into train, val and test",
    "show": "a contact sheet with the labels drawn on it",
    "train": "train a model, or resume a run",
    "evaluate": "measure a run or a package; writes report.html",
    "export": "package a trained run, if it still answers as it did",
    "bench": "speed of a package, decode to result",
    "predict": "results for pictures, folders and videos",
    "run": "all of it from a problem.yaml, redoing only what changed",
    "demo": "the whole life cycle on simulated rallies",
}


class _Verbs(TyperGroup):
    """A group that imports a verb's module only when the verb is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return load(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def load(verb: str) -> click.Command:
    """The click command of a verb."""
    module: Any = import_module(f"sightline.cli.{verb.replace('-', '_')}_command")
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name=verb)(module.command)
    return typer.main.get_command(app)


@click.group(cls=_Verbs, help="Carries a computer-vision model through its whole life.")
@click.version_option(package_name="sightline")
def app() -> None:
    """Root of the command line."""


def main() -> None:
    """Entry point: errors of ours are one line and exit 2 (bad input) or 1 (a contract not met)."""
    try:
        app(standalone_mode=True)
    except SightlineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
