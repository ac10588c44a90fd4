"""What `loop.py` works on: pictures of a world and of the same world changed, a client, and an annotator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

import cv2
import numpy as np
from numpy.typing import NDArray

from serve_load import environment

Picture = NDArray[np.uint8]
REPO = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SIGHTLINE_SHARED_DATA", REPO.parent / "shared" / "data"))
SIGNS = SHARED / "sign_language_digits" / "Dataset"
CLASSES = ("zero", "one", "two", "three", "four")
SIDE = 100
# A machine with other work may take its time; nothing here is about speed.
LONG_S = 300
# Stamps of the annotator's export; their value means nothing.
AT = "2026-11-20T23:23:13.999994Z"


@dataclass(frozen=True)
class Shot:
    """A picture file and what is truly on it."""

    data: bytes
    truth: str


def gathered(each: int, *, real: bool) -> dict[str, list[Picture]]:
    """So many pictures of each class, RGB: photographed signs of five digits, or drawn ones."""
    if not real:
        random = np.random.default_rng(5)
        return {name: [drawn(k, random) for _ in range(each)] for k, name in enumerate(CLASSES)}
    found: dict[str, list[Picture]] = {}
    for k, name in enumerate(CLASSES):
        files = sorted((SIGNS / str(k)).glob("*.JPG"))
        order = np.random.default_rng(k).permutation(len(files))[:each]
        pictures = [cv2.imread(str(files[i]), cv2.IMREAD_COLOR_RGB) for i in order]
        found[name] = [cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for p in pictures]
    return found


def drawn(k: int, random: np.random.Generator) -> Picture:
    """A star of k + 3 corners, somewhere, of some size and colour, on a grainy wall."""
    wall = random.normal(random.uniform(150, 215), 9, (SIDE, SIDE, 3))
    centre, size = random.uniform(38, 62, 2), random.uniform(20, 34)
    turns = np.linspace(0, 2 * np.pi, 2 * (k + 3), endpoint=False) + random.uniform(0, 2 * np.pi)
    reach = np.where(np.arange(len(turns)) % 2, 0.45, 1.0) * size
    corners = np.stack([centre[0] + reach * np.cos(turns), centre[1] + reach * np.sin(turns)], axis=1)
    cv2.fillPoly(wall, [corners.round().astype(np.int32)], random.uniform(30, 130, 3).tolist())
    return np.clip(cv2.GaussianBlur(wall, (0, 0), 0.7), 0, 255).astype(np.uint8)


def at_dusk(picture: Picture, random: np.random.Generator) -> Picture:
    """The same seen by another camera in the evening: darker, warmer, blurred, grainy, hung askew."""
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), random.uniform(30, 50), 1.1)
    hung = cv2.warpAffine(picture, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    soft = cv2.GaussianBlur(hung, (0, 0), 1.2).astype(np.float32)
    lit = soft * random.uniform(0.22, 0.4) * np.array([1.1, 0.95, 0.75], np.float32)
    return np.clip(lit + random.normal(0, 5, lit.shape), 0, 255).astype(np.uint8)


def jpeg(picture: Picture) -> bytes:
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def shots(pictures: Mapping[str, Sequence[Picture]], seed: int, *, dusk: bool) -> list[Shot]:
    """As files that cameras send, the classes mixed."""
    random = np.random.default_rng(seed)
    found = [
        Shot(jpeg(at_dusk(picture, random) if dusk else picture), name)
        for name, own in pictures.items()
        for picture in own
    ]
    return [found[i] for i in random.permutation(len(found))]


def write_labels(folder: Path, pictures: Mapping[str, Sequence[Picture]]) -> None:
    """A folder a class."""
    for name, own in pictures.items():
        (folder / name).mkdir(parents=True)
        for number, picture in enumerate(own):
            (folder / name / f"{name}_{number:03d}.jpg").write_bytes(jpeg(picture))


@dataclass(frozen=True)
class Said:
    """What a command printed, both streams, and how it ended."""

    code: int
    text: str

    def __contains__(self, words: str) -> bool:
        return words in " ".join(self.text.split())


def sightline(folder: Path, *words: object) -> Said:
    """Run a command as a person would, in a folder."""
    began = time.perf_counter()
    code = "import sys; from sightline.cli.main import main; main(sys.argv[1:])"
    told = [str(word) for word in words]
    done = subprocess.run(
        [sys.executable, "-c", code, *told], cwd=folder, env=environment(), capture_output=True, text=True
    )
    print(f"  $ sightline {' '.join(told)}  ({done.returncode}, {time.perf_counter() - began:.0f} s)")
    return Said(done.returncode, done.stdout + done.stderr)


class Client:
    """Somebody who sends pictures to a service and knows what is truly on them."""

    def __init__(self, port: int, model: str) -> None:
        self._base, self._model = f"http://127.0.0.1:{port}", model
        self.truths: dict[str, str] = {}
        self.failed = 0

    def send(self, shot: Shot) -> tuple[str, str]:
        """Class and version of the answer."""
        kind = {"Content-Type": "image/jpeg"}
        try:
            asked = Request(f"{self._base}/predict/{self._model}", shot.data, kind)
            with urlopen(asked, timeout=LONG_S) as answer:
                told = json.load(answer)
        except OSError as error:
            print(f"  a request failed: {error}")
            self.failed += 1
            return "", ""
        self.truths[told["id"]] = shot.truth
        return told["results"]["classify"]["class"], told["version"]

    def accuracy(self, sent: Sequence[Shot], pause_s: float = 0.0) -> float:
        """Share of right answers."""
        right = 0
        for shot in sent:
            began = time.perf_counter()
            right += self.send(shot)[0] == shot.truth
            time.sleep(max(0.0, pause_s - (time.perf_counter() - began)))
        return right / len(sent)

    def get(self, path: str) -> str:
        with urlopen(self._base + path, timeout=LONG_S) as answer:
            return str(answer.read().decode())

    def post(self, path: str, value: Any) -> Any:
        kind = {"Content-Type": "application/json"}
        with urlopen(Request(self._base + path, json.dumps(value).encode(), kind), timeout=LONG_S) as answer:
            return json.load(answer)


def wait_for(check: Callable[[], bool], seconds: float) -> bool:
    """Whether something came to be in time."""
    end = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def annotate(tasks: Path, truths: Mapping[str, str], out: Path) -> int:
    """A Label Studio export (JSON) of tasks that somebody has labelled; how many.

    Each row has the keys that the server (1.23) writes for tasks that came from local files; the fixtures
    of its export under `tests/data/formats/label_studio` are of such a server.
    """
    rows = []
    for number, task in enumerate(json.loads((tasks / "tasks.json").read_text()), 1):
        place = unquote(urlsplit(task["data"]["image"]).query.removeprefix("d="))
        assert (tasks / place).is_file(), f"the task names {place}, which is not there"
        rows.append(_row(number, task["data"], truths[task["data"]["request_id"]]))
    out.write_text(json.dumps(rows, indent=1))
    return len(rows)


def _row(number: int, data: Mapping[str, Any], truth: str) -> dict[str, Any]:
    result = {
        "id": f"r{number:05d}", "type": "choices", "from_name": "kind", "to_name": "image",
        "origin": "manual", "value": {"choices": [truth]},
    }  # fmt: skip
    annotation = {
        "id": number, "completed_by": 1, "result": [result], "was_cancelled": False, "ground_truth": False,
        "created_at": AT, "updated_at": AT, "draft_created_at": None, "lead_time": 2.5, "prediction": {},
        "result_count": 1, "unique_id": f"00000000-0000-4000-8000-{number:012d}", "import_id": None,
        "last_action": None, "bulk_created": False, "task": number, "project": 1, "updated_by": 1,
        "parent_prediction": number, "parent_annotation": None, "last_created_by": None,
    }  # fmt: skip
    return {
        "id": number, "annotations": [annotation], "drafts": [], "predictions": [number], "data": dict(data),
        "meta": {}, "created_at": AT, "updated_at": AT, "allow_skip": True, "inner_id": number,
        "total_annotations": 1, "cancelled_annotations": 0, "total_predictions": 1, "comment_count": 0,
        "unresolved_comment_count": 0, "last_comment_updated_at": None, "project": 1, "updated_by": 1,
        "comment_authors": [],
    }  # fmt: skip
