"""The command line: a verb is a module, loaded when it is called, so that start-up pays for one only."""

from __future__ import annotations

import difflib
import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import typer

from sightline.core.errors import MissingExtra, SightlineError, UsageError

# Verb -> its line in `sightline --help`. The function `command` of `sightline.cli.VERB_command` is the verb.
VERBS = {
    "new": "write a problem.yaml to start from",
    "collect": "frames or clips worth labelling, from videos, pictures and cameras",
    "import": "labels in any format to a checked dataset",
    "push": "a dataset to the Hugging Face Hub",
    "pull": "a dataset from the Hugging Face Hub",
    "audit": "find faults in a dataset",
    "clean": "odd places of tracks as a table; hide them, fill short gaps",
    "split": "divide a dataset into train, val and test",
    "show": "a contact sheet with the labels drawn on it",
    "train": "train a model, or resume a run",
    "evaluate": "measure a run or a package; writes report.html",
    "export": "package a trained run, if it still answers as it did",
    "bench": "speed of a package, decode to result",
    "predict": "results for pictures, folders and videos",
    "serve": "packages behind a port: HTTP, WebSocket, Open Inference Protocol",
    "watch": "results for cameras, streams and videos, live or every frame",
    "review": "what the service found hard: list, page, tasks for annotators",
    "feedback": "labels for past answers of a service, by request id",
    "runs": "versions side by side on the same held-out set",
    "monitor": "has the world moved since the package was measured?",
    "status": "the stages of the life cycle as one table: done, stale, failing",
    "retrain": "a challenger from the champion's weights and new labels",
    "promote": "put a package in use, if the evidence speaks for it",
    "rollback": "put the package in use that was so before",
    "run": "all of it from a problem.yaml, redoing only what changed",
    "demo": "the whole life cycle on simulated rallies",
}

# What is not installed with the base -> the extra that brings it.
EXTRAS = {
    **dict.fromkeys(
        ("pyarrow", "PIL", "msgspec", "scipy", "matplotlib", "jinja2", "pandas", "defusedxml"), "data"
    ),
    **dict.fromkeys(("torch", "torchvision", "timm", "accelerate", "safetensors", "tensorboard"), "train"),
    **dict.fromkeys(("onnx", "onnxscript"), "train"),
    "openvino": "openvino",
    **dict.fromkeys(
        ("prometheus_client", "fastapi", "starlette", "uvicorn", "httptools", "uvloop", "websockets"), "serve"
    ),
    "python_multipart": "serve",
    **dict.fromkeys(("sqlalchemy", "pg8000"), "serve"),
}


def load(verb: str) -> typer.Typer:
    """The application of one verb; only its module is imported."""
    module: Any = import_module(f"sightline.cli.{verb}_command")
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name=verb)(module.command)
    return app


def usage() -> str:
    """What `sightline --help` prints."""
    lines = "\n".join(f"  {verb:<10}{text}" for verb, text in VERBS.items())
    return f"Usage: sightline VERB ...\n\nVerbs (sightline VERB --help tells more):\n{lines}"


def main(arguments: list[str] | None = None) -> None:
    """Entry point: errors of ours are one line and exit 2 (bad input) or 1 (a contract not met).

    A reader of standard output that leaves early (`| head`) ends it without a word, with 1 as Typer does.
    """
    try:
        dispatch(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it ends
        sys.exit(1)


def dispatch(words: list[str]) -> None:
    """Call the verb that the first word names."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return
    if words[0] == "--version":
        print(f"sightline {version('sightline')}")
        return
    try:
        if words[0] not in VERBS:
            near = difflib.get_close_matches(words[0], VERBS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "sightline --help lists the verbs"
            raise UsageError(f"{words[0]!r} is no verb", remedy=hint)
        load(words[0])(words[1:], prog_name=f"sightline {words[0]}")
    except SightlineError as error:
        refuse(error)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        refuse(MissingExtra(error.name, EXTRAS[error.name]))


def refuse(error: SightlineError) -> None:
    """Say an error of ours and end with its exit code."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
