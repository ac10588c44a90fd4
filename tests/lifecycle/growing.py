"""What the guide to retraining begins with: labels, a problem, and what annotators exported since."""

from __future__ import annotations

import json
from pathlib import Path

import cv2

from lifecycle import colours
from sightline.core.media import write_picture
from sightline.core.records import Record

REAL = {
    "data": {"source": "labels", "group": "none"},
    "model": {"name": "test_resnet", "input": {"size": [32, 32], "fit": "stretch"}},
    "split": {"by": "group", "train": 0.4, "val": 0.3, "test": 0.3},
    "train": {"epochs": 6, "batch": 12, "lr": 0.003, "workers": 0, "augment": {"flip": 0.5}},
    "retrain": {"drift": True, "new_labels": 20, "epochs": 2, "lr": 1e-5, "shadow": {"pictures": 20}},
}


def growing(folder: Path) -> None:
    """`labels/` (a folder a class), `problem.yaml`, `dark/` pictures, and `export.json` of `tasks/media/`."""
    colours.problem(folder, **REAL)
    for record in colours.pictures(folder / "made", 120):
        place = folder / "labels" / colours.CLASSES[record.annotations[0].label]
        place.mkdir(parents=True, exist_ok=True)
        (folder / "made" / record.media).rename(place / record.media)
    records = colours.pictures(folder / "tasks" / "media", 36, seed=1)
    (folder / "dark").mkdir()
    for record in records:
        picture = cv2.imread(str(folder / "tasks" / "media" / record.media), cv2.IMREAD_COLOR_RGB)
        write_picture(folder / "dark" / record.media, picture // 3)
    (folder / "export.json").write_text(json.dumps([_task(n, r) for n, r in enumerate(records, 1)]))


def _task(number: int, record: Record) -> dict[str, object]:
    """One task as Label Studio exports it, labelled by its choices."""
    result = {
        "id": f"r{number}", "type": "choices", "from_name": "kind", "to_name": "image", "origin": "manual",
        "value": {"choices": [colours.CLASSES[record.annotations[0].label]]},
    }  # fmt: skip
    done = {"id": number, "completed_by": 1, "result": [result], "was_cancelled": False, "task": number}
    data = {"image": f"/data/local-files/?d=media/{record.media}"}
    return {"id": number, "annotations": [done], "predictions": [], "data": data, "project": 1}
