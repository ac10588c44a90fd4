from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from sightline.models.catalogue import MODELS, build, resolve

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
ROWS = {
    name: (tasks, size, float(millions))
    for name, tasks, size, millions in re.findall(
        r"^\| `([\w-]+)` \| ([\w, ]+) \| ([^|]+) \| ([\d.]+) \|", PAGE, re.MULTILINE
    )
}


def test_the_page_lists_every_model() -> None:
    assert set(ROWS) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_the_page_tells_tasks_input_size_and_parameters(name: str) -> None:
    import torch

    tasks, size, millions = ROWS[name]
    with torch.device("meta"):
        model = build(name, classes=[str(i) for i in range(20)])
    assert ", ".join(model.signature.tasks) == tasks
    width, height = next(iter(model.signature.inputs.values())).size_wh
    assert size.startswith(f"{width}x{height}")
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize("name", [n for n in MODELS if not n.startswith("yolo")])
def test_the_page_names_every_option(name: str) -> None:
    options = [p for p in inspect.signature(resolve(name)).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert [p.name for p in options if f"`{p.name}`" not in PAGE] == []
