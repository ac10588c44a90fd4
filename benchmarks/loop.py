"""The loop, end to end, with the commands a person would use: serve, drift, review, label, retrain, promote.

A champion is trained on photographed signs (drawn ones with `--drawn`, or where the photographs are not at
hand), exported and served by a process of its own. Then the world changes: another camera, in the evening.
Drift has to be told in words, the review queue has to hold what is hard, its tasks go out and come back as
an export of Label Studio that is written from the truth, the dataset grows, and a challenger is trained from
the champion's weights. One that learned from wrong labels must be refused, with the reason; the one that
learned from right ones must be better on the new held-out pictures, no worse on the old, and take the
champion's place in the running service without a lost request, after it was tried beside it as a shadow.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import loop_world as world
from loop_world import CLASSES, Client, Shot, sightline, wait_for
from serve_load import server

NAME = "signs"
# Pictures of each class: to learn from, sent as they were, sent after the change, and sent at the very end.
OLD, SAME, CHANGED, LATER = 104, 14, 48, 36
EVERY_S = 0.5  # the service looks at a picture for drift no oftener
# Nothing here is about speed: a machine that has other work may take its time.
PATIENT = ("--watch-s", "0.5", "--deadline-ms", "300000")
PROBLEM = """
name: signs
why: a kiosk reads signs; pupils trust it where four in five are right
task: classify
data: {source: labels, format: folders, group: none}
split: {by: group, train: 0.5, val: 0.2, test: 0.3}
model: {name: test_resnet, input: {size: [64, 64], fit: stretch}}
train:
  {epochs: 30, batch: 16, lr: 0.002, ema: 0.98, workers: 0,
   augment: {flip: 0.5, rotate: 8, scale: [0.9, 1.1], translate: 0.05}}
criteria: [{metric: classify.accuracy, at_least: 0.75}]
retrain: {drift: true, new_labels: 100, epochs: 25, lr: 0.001, shadow: {pictures: 40}}
"""


class Missed(Exception):
    """A step that all later ones rest on did not come about."""


class Steps:
    """What was asserted, and what of it held."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.missed: list[str] = []
        self._began = time.perf_counter()

    def check(self, what: str, held: object, evidence: object = "", *, needed: bool = False) -> None:
        """Say whether a step held; one that is needed ends the run where it did not."""
        (self.held if held else self.missed).append(what)
        seconds = time.perf_counter() - self._began
        print(f"{'held  ' if held else 'MISSED'} {seconds:4.0f} s  {what}  [{evidence}]", flush=True)
        if needed and not held:
            raise Missed(what)


def main() -> int:
    args = arguments()
    steps = Steps()
    folder = args.work or Path(tempfile.mkdtemp(prefix="loop-"))
    folder.mkdir(parents=True, exist_ok=True)
    real = world.SIGNS.is_dir() and not args.drawn
    print(f"{'photographed' if real else 'drawn'} signs; everything is in {folder}")
    try:
        Loop(folder.absolute(), steps, real=real).run()
    except Missed as missed:
        print(f"nothing after this could be tried: {missed}")
    if not args.work:
        shutil.rmtree(folder, ignore_errors=True)
    total = len(steps.held) + len(steps.missed)
    verdict = "passes" if not steps.missed else f"missed: {'; '.join(steps.missed)}"
    print(f"loop: {len(steps.held)} of {total} steps held (bar: all); {verdict}")
    return 1 if steps.missed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drawn", action="store_true", help="drawn pictures, though photographs are there")
    parser.add_argument("--work", type=Path, help="empty folder to keep everything in; a temporary one else")
    return parser.parse_args()


class Loop:
    """The steps in order; what one finds the next ones use."""

    def __init__(self, folder: Path, steps: Steps, *, real: bool) -> None:
        self.folder, self.steps, self.check = folder, steps, steps.check
        self.work = folder / "work" / NAME
        pictures = world.gathered(OLD + SAME + CHANGED + LATER, real=real)
        cuts = [0, OLD, OLD + SAME, OLD + SAME + CHANGED, OLD + SAME + CHANGED + LATER]
        parts = [{name: own[a:b] for name, own in pictures.items()} for a, b in pairwise(cuts)]
        self.old, same, changed, later = parts
        self.same = world.shots(same, 1, dusk=False)
        self.changed = world.shots(changed, 2, dusk=True)
        self.later = world.shots(later, 3, dusk=True)

    def run(self) -> None:
        """All of it."""
        self.champion()
        log = self.folder / "service.log"
        served = [str(self.work / "packages" / "current"), "--review", str(self.folder / "hard")]
        with server([*served, *PATIENT], log) as (_, port):
            client = Client(port, NAME)
            before = self.world_changes(client, log)
            self.labels(client)
            self.worse_is_refused()
            self.better_takes_its_place(client)
            self.afterwards(client, port, before)
        self.check("no request failed", client.failed == 0, f"{len(client.truths)} answered")

    def cli(self, *words: object) -> world.Said:
        """A command in the folder of the problem."""
        return sightline(self.folder, *words)

    def champion(self) -> None:
        """Labels to a package in use."""
        world.write_labels(self.folder / "labels", self.old)
        (self.folder / "problem.yaml").write_text(PROBLEM)
        said = self.cli("run", "problem.yaml")
        self.check("a champion is trained, exported and measured", said.code == 0, tail(said), needed=True)
        said = self.cli("promote", "problem.yaml", "--why", "the first")
        self.check("it is put in use", said.code == 0 and self.current() == "1", tail(said), needed=True)

    def world_changes(self, client: Client, log: Path) -> float:
        """Pictures as before, then of another world; accuracy on the changed ones."""
        usual = client.accuracy(self.same, EVERY_S)
        alarm = f'sightline_drift_alarm{{model="{NAME}"}}'
        quiet = f"{alarm} 1.0" not in client.get("/metrics")
        self.check("pictures like those of training raise no alarm", quiet, f"accuracy {usual:.2f}")
        now = client.accuracy(self.changed, EVERY_S)
        self.check("the changed world is harder", now < usual - 0.1, f"{usual:.2f} -> {now:.2f}")
        rung = wait_for(lambda: f"{alarm} 1.0" in client.get("/metrics"), 30)
        self.check("the service's drift alarm is raised", rung, f"{len(self.changed)} pictures")
        told = [row["said"] for row in events(log, "drift")]
        darker = any("pictures are" in line and "darker" in line for line in told)
        self.check("its log says in words what moved", darker, "; ".join(told)[:200])
        live = self.folder / "live"
        live.mkdir()
        for number, shot in enumerate(self.changed):
            (live / f"{number:03d}.jpg").write_bytes(shot.data)
        said = self.cli("monitor", self.work / "packages" / "current", "live", "--json")
        self.check("`monitor` finds the same in their files", said.code == 1 and "darker" in said, said.code)
        (self.work / "drift.json").write_text(said.text)
        return now

    def labels(self, client: Client) -> None:
        """From the review queue through an annotator's export to the dataset's next version."""
        hard = self.folder / "hard"
        said = self.cli("review", hard, "--limit", 0)
        self.check("the review queue holds items", "novel" in said, tail(said), needed=True)
        said = self.cli("review", hard, "--limit", 0, "--export", "label-studio", "--out", "tasks")
        self.check("its tasks are written", said.code == 0, tail(said), needed=True)
        tasks, truths = self.folder / "tasks", client.truths
        count = world.annotate(tasks, truths, self.folder / "export.json")
        wrong = {id: CLASSES[(CLASSES.index(name) + 2) % len(CLASSES)] for id, name in truths.items()}
        world.annotate(tasks, wrong, self.folder / "mistaken.json")
        for export, out in (("export.json", self.work / "grown"), ("mistaken.json", "mistaken")):
            options = ["--media-root", "tasks/media", "--onto", self.work / "dataset"]
            said = self.cli("import", export, *options, "--out", out)
            self.check(f"labels of {export} come back", said.code == 0, tail(said), needed=True)
        old, new = (header(self.work / name) for name in ("dataset", "grown"))
        grew = new["parent"] == old["fingerprint"] and new["source"]["grown_from_records"] == 5 * OLD
        self.check("the grown dataset knows its parent", grew, f"parent {new['parent']}, {count} labelled")
        client.post("/feedback", [{"request_id": id, "labels": name} for id, name in list(truths.items())])
        live = 'sightline_quality{bound="live",metric="classify.accuracy"'
        found = wait_for(lambda: live in client.get("/metrics"), 40)
        self.check("live quality is measured on labels that came late", found, f"{len(truths)} labels")

    def worse_is_refused(self) -> None:
        """A challenger that learned from wrong labels, held to right ones."""
        said = self.cli("retrain", "problem.yaml", "--dry-run")
        due = said.code == 0 and said.text.count(" due") >= 2 and "not due" not in said
        self.check("both rules ask for a new model", due, tail(said))
        said = self.cli("retrain", "problem.yaml", "--dataset", "mistaken")
        package = self.folder / "worse" / "package"
        made = self.work / "retrain" / "2"
        self.check(
            "a challenger learns from wrong labels", (made / "package").is_dir(), said.code, needed=True
        )
        shutil.copytree(made, package.parent)
        grown = ["--challenger", package, "--dataset", self.work / "grown", "--promote"]
        said = self.cli("retrain", "problem.yaml", *grown)
        reason = [line.strip() for line in said.text.splitlines() if line.startswith("refused")]
        worse = any("new held-out set" in line and "worse" in line for line in reason)
        self.check("it is refused on right ones", said.code == 1 and worse, " | ".join(reason))
        said = self.cli("promote", "problem.yaml", package)
        self.check("`promote` refuses it too", said.code == 1 and self.current() == "1", tail(said))

    def better_takes_its_place(self, client: Client) -> None:
        """A challenger that learned from right labels is promoted into the running service."""
        said = self.cli("retrain", "problem.yaml")
        may = said.code == 0 and "may be promoted" in said
        self.check("a challenger from the champion's weights may be promoted", may, tail(said), needed=True)
        rows = {(r["held_out"], r["metric"]): r for r in comparison(self.work / "retrain" / "2")["rows"]}
        new, old = (rows[part, "classify.accuracy"] for part in ("new", "old"))
        self.check("it is surely better on the new held-out set", new["better"] == 1, shown(new))
        self.check("it is not surely worse on the old one", old["better"] >= 0, shown(old))
        self.check("it began with the champion's weights", self.began_with_the_champion())
        package = self.work / "retrain" / "2" / "package"
        said = self.cli("promote", "problem.yaml", package)
        untried = said.code == 1 and "was not tried as a shadow" in said
        self.check("without a trial on live traffic it is refused", untried, tail(said))
        asking = Asking(client, self.later)
        with self.shadow(package) as address, asking:
            said = self.cli("promote", "problem.yaml", package, "--shadow", address)
            self.check("it is promoted", said.code == 0 and self.current() == "2", tail(said), needed=True)
            swapped = wait_for(lambda: versions(client) == ["2"], 60)
            wait_for(lambda: "2" in asking.versions, 20)
        seen = list(dict.fromkeys(asking.versions))
        one_change = swapped and seen == ["1", "2"]
        self.check("the service swapped to it while asked", one_change, f"{len(asking.versions)} answers")
        kept = (self.work / "packages" / "runs" / "2" / "best.safetensors").is_file()
        self.check("its weights are kept for the next one", kept)

    @contextmanager
    def shadow(self, package: Path) -> Iterator[str]:
        """The challenger beside the champion in another service, after it has seen live pictures."""
        options = ["--shadow", str(package), "--shadow-share", "0.5", *PATIENT]
        with server([str(self.work / "packages" / "current"), *options], self.folder / "shadow.log") as (
            _,
            port,
        ):
            beside, address = Client(port, NAME), f"http://127.0.0.1:{port}"
            answered = {beside.send(shot)[1] for shot in self.later}
            for shot in self.later * 3:
                found = json.loads(beside.get("/shadow"))["against"].get("1", {"pictures": 0, "share": 1.0})
                if found["pictures"] >= 60:
                    break
                answered.add(beside.send(shot)[1])
            alone = answered == {"1"} and not beside.failed
            self.check("a shadow answers nobody", alone, f"{len(beside.truths)} answers of the champion")
            told = f"{found['pictures']} pictures, agrees on {found['share']:.0%}"
            self.check("it disagrees in the changed world", found["share"] < 0.6, told)
            said = self.cli("status", "problem.yaml", "--service", address)
            self.check("`status` tells how far it agrees", "shadow 2 agrees on" in said, said.code)
            yield address

    def began_with_the_champion(self) -> bool:
        """Whether the challenger's training names the champion's weights and found them to fit."""
        run = self.work / "retrain" / "2" / "run"
        asked = json.loads((run / "run.json").read_text())["problem"]["model"]["weights"]
        return asked == str(self.work / "packages" / "runs" / "1")

    def afterwards(self, client: Client, port: int, before: float) -> None:
        """What the change was good for, and what is on record."""
        now = client.accuracy(self.later)
        better = now > before + 0.1
        self.check(
            "it does better on later pictures of the changed world", better, f"{before:.2f} -> {now:.2f}"
        )
        said = self.cli("status", "problem.yaml", "--service", f"http://127.0.0.1:{port}")
        self.check("`status` knows what is served", "serves version 2" in said, said.code)
        said = self.cli("rollback", "problem.yaml", "--why", "to see it")
        back = wait_for(lambda: versions(client) == ["1"], 60)
        self.check("`rollback` brings the old one back", said.code == 0 and back, tail(said))
        log = (self.work / "packages" / "promotions.jsonl").read_text().splitlines()
        did = [json.loads(line)["what"] for line in log]
        self.check("every change is in the log", did == ["promote", "promote", "rollback"], ", ".join(did))

    def current(self) -> str:
        """The version in use."""
        return (self.work / "packages" / "current").readlink().name


class Asking:
    """A client that asks without a pause while something else goes on; the versions that answered."""

    def __init__(self, client: Client, shots: list[Shot]) -> None:
        self.versions: list[str] = []
        self._client, self._shots, self._over = client, shots, threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.is_set():
            shot = self._shots[len(self.versions) % len(self._shots)]
            self.versions.append(self._client.send(shot)[1])
            time.sleep(0.02)


def tail(said: world.Said) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in said.text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else f"exit {said.code}"


def events(log: Path, name: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [row for row in rows if row["event"] == name]


def versions(client: Client) -> list[str]:
    found: list[str] = json.loads(client.get(f"/v2/models/{NAME}"))["versions"]
    return found


def header(dataset: Path) -> dict[str, Any]:
    from sightline.data.dataset import read_header

    return dict(read_header(dataset))


def comparison(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "comparison" / "comparison.json").read_text())["comparison"]
    return found


def shown(row: Mapping[str, Any]) -> str:
    return (
        f"{row['champion']:.3f} -> {row['challenger']:.3f}, "
        f"difference {row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
    )


if __name__ == "__main__":
    sys.exit(main())
