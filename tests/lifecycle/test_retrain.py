"""A challenger is trained on what has grown, compared, and promoted only where it may be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lifecycle import colours
from lifecycle.colours import ALL_RED, RED_IS_BLUE, RIGHT, FakeTraining
from sightline.cli.main import main
from sightline.core.errors import PromotionRefused, UsageError
from sightline.core.files import write_json
from sightline.core.problem import Problem
from sightline.data.dataset import Dataset
from sightline.data.split import Split, make_split
from sightline.export.package import export
from sightline.lifecycle.packages import Packages
from sightline.lifecycle.retrain import Wanted, asked_of, promote_package, retrain
from sightline.lifecycle.run import Places
from sightline.train.run import Run
from sightline.train.training import train

ROUNDS = 200


@pytest.fixture
def place(tmp_path: Path) -> Places:
    """A workspace whose champion mistakes red for blue, and a dataset grown by 30 pictures."""
    path = colours.problem(tmp_path, retrain={"new_labels": 20})
    places = Places(tmp_path / "work" / "colours")
    media = tmp_path / "labels"
    records = colours.pictures(media, 60)
    first = colours.dataset(places.dataset, records, media)
    split = make_split(first, Problem.load(path).split, name="run")
    split.write()
    mark = colours.run_folder(places.run, first, split)
    colours.package(places.package, RED_IS_BLUE, "1", run=mark, dataset=first.fingerprint)
    write_json(places.verdict, {"met": True, "criteria": []})
    promote_package(places, why="first")
    grown = [*records, *colours.pictures(media, 30, seed=1)]
    colours.dataset(places.root / "grown", grown, media, first.fingerprint)
    return places


def path_of(places: Places) -> Path:
    return places.root.parent.parent / "problem.yaml"


def packages_of(places: Places) -> Packages:
    return Packages(places.root / "packages")


def test_a_better_challenger_is_promoted_when_asked_and_rolled_back(place: Places) -> None:
    train = FakeTraining(RIGHT)
    told = retrain(path_of(place), wanted=Wanted(rounds=ROUNDS), train=train)
    assert told.due and told.fresh == 30 and told.challenge is not None
    assert told.challenge.promotable and told.promotion is None
    assert packages_of(place).current == "1"  # nothing is promoted without being told
    rows = {(r.held_out, r.metric): r for r in told.challenge.comparison.rows}
    assert rows["old", "classify.accuracy"].better == 1 and rows["new", "classify.accuracy"].challenger == 1.0
    done = promote_package(place, told.challenge.package)
    assert (done.version, done.before, done.forced) == ("2", "1", False)
    assert done.evidence["comparison"]["champion"] == "1"
    kept = packages_of(place).run("2")
    assert (
        Split.open(kept / "split.parquet").fingerprint
        == Split.open(place.root / "grown" / "splits" / "retrain.parquet").fingerprint
    )
    assert packages_of(place).rollback("no").version == "1"


def test_old_records_stay_where_they_were_and_new_ones_are_in_every_part(place: Places) -> None:
    retrain(path_of(place), wanted=Wanted(rounds=ROUNDS), train=FakeTraining(RIGHT))
    old = Split.open(place.dataset / "splits" / "run.parquet")
    new = Split.open(place.root / "grown" / "splits" / "retrain.parquet")
    assert {i: new.parts[i] for i in old.parts} == dict(old.parts)
    assert {part for i, part in new.parts.items() if i not in old.parts} == {"train", "val", "test"}


def test_a_worse_challenger_is_refused_and_only_force_with_a_reason_gets_it_through(place: Places) -> None:
    path = path_of(place)
    told = retrain(path, wanted=Wanted(promote=True, rounds=ROUNDS), train=FakeTraining(ALL_RED))
    assert told.challenge is not None and told.promotion is None
    refused = " ".join(told.challenge.refusals)
    assert "classify.accuracy is 0.3" in refused and "old held-out set: classify.f1" in refused
    assert told.refused and packages_of(place).current == "1"
    with pytest.raises(PromotionRefused, match="worse"):
        promote_package(place, told.challenge.package)
    with pytest.raises(PromotionRefused):
        promote_package(place, told.challenge.package, force=True)
    done = promote_package(place, told.challenge.package, force=True, why="the camera is gone")
    assert done.forced and packages_of(place).log()[-1].forced


def test_a_challenger_as_good_as_the_champion_may_be_promoted(place: Places) -> None:
    told = retrain(
        path_of(place), wanted=Wanted(promote=True, rounds=ROUNDS), train=FakeTraining(RED_IS_BLUE)
    )
    assert told.promotion is not None and told.promotion.version == "2"
    assert not told.challenge.comparison.better  # type: ignore[union-attr]


def test_a_package_that_was_not_compared_with_what_is_in_use_is_refused(
    place: Places, tmp_path: Path
) -> None:
    other = colours.package(tmp_path / "elsewhere" / "package", RIGHT, "5")
    with pytest.raises(PromotionRefused, match="was not compared with version 1"):
        promote_package(place, other)
    told = retrain(path_of(place), wanted=Wanted(challenger=other, rounds=ROUNDS))
    assert told.challenge is not None and told.challenge.promotable
    write_json(other / "parity.json", {})  # not part of what the comparison is bound to
    (other / "manifest.json").write_text((other / "manifest.json").read_text() + "\n")
    with pytest.raises(PromotionRefused, match="of another package"):
        promote_package(place, other)


def test_a_dry_run_and_a_timer_train_nothing_unless_told(place: Places, tmp_path: Path) -> None:
    train = FakeTraining(RIGHT)
    for wanted in (Wanted(dry_run=True), Wanted(if_due=True)):
        told = retrain(path_of(place), wanted=wanted, train=train)
        assert told.due and told.challenge is None
    assert train.asked == 0
    colours.problem(tmp_path, retrain={"new_labels": 31, "automatic": True})
    assert retrain(path_of(place), wanted=Wanted(if_due=True), train=train).challenge is None
    colours.problem(tmp_path, retrain={"new_labels": 30, "automatic": True, "promote": True})
    told = retrain(path_of(place), wanted=Wanted(if_due=True, rounds=ROUNDS), train=train)
    assert train.asked == 1 and told.promotion is not None


def test_without_a_champion_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no version is in use"):
        retrain(colours.problem(tmp_path))


def test_several_descendants_must_be_told_apart_and_the_youngest_is_taken(place: Places) -> None:
    grown = Dataset.open(place.root / "grown")
    media = place.root.parent.parent / "labels"
    more = [*grown.records, *colours.pictures(media, 3, seed=2)]
    colours.dataset(place.root / "datasets" / "later", more, media, grown.fingerprint)
    assert retrain(path_of(place), wanted=Wanted(dry_run=True)).fresh == 33
    base = Dataset.open(place.dataset)
    colours.dataset(place.root / "other", more[:-1], media, base.fingerprint)
    with pytest.raises(UsageError, match="2 datasets were made from the champion's: later, other"):
        retrain(path_of(place), wanted=Wanted(dry_run=True))


def test_a_challenger_starts_from_the_champion_s_weights_as_retrain_says(tmp_path: Path) -> None:
    path = colours.problem(tmp_path, retrain={"epochs": 3, "lr": 1e-5})
    asked = asked_of(Problem.load(path), tmp_path / "packages" / "runs" / "1")
    assert asked.model.weights == str(tmp_path / "packages" / "runs" / "1")
    assert (asked.train.epochs, asked.train.lr, asked.train.batch) == (3, 1e-5, 16)


def test_the_commands_tell_promote_and_roll_back(
    place: Places, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def run(*words: object) -> int:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        return int(ended.value.code or 0)

    path = path_of(place)
    assert run("retrain", path, "--dry-run") == 0
    assert "due" in capsys.readouterr().out
    good = colours.package(tmp_path / "good" / "package", RIGHT, "2")
    bad = colours.package(tmp_path / "bad" / "package", ALL_RED, "3")
    assert run("promote", path, good) == 1
    assert run("retrain", path, "--challenger", good) == 0
    assert run("retrain", path, "--challenger", bad, "--promote") == 1
    assert "refused" in capsys.readouterr().out
    assert run("promote", path, bad, "--force") == 2
    assert run("promote", path, good, "--why", "better") == 0
    assert packages_of(place).current == "2"
    assert run("rollback", path) == 0 and packages_of(place).current == "1"
    rows = [
        json.loads(line) for line in (place.root / "packages" / "promotions.jsonl").read_text().splitlines()
    ]
    assert [row["what"] for row in rows] == ["promote", "promote", "rollback"]


REAL = {
    "model": {"name": "test_resnet", "input": {"size": [32, 32], "fit": "stretch"}},
    "train": {"epochs": 6, "batch": 12, "lr": 0.003, "workers": 0, "augment": {"flip": 0.5}},
    "criteria": [{"metric": "classify.accuracy", "at_least": 0.6}],
    # So short a step moves no weight that counts: what comes out is what it began with.
    "retrain": {"epochs": 1, "lr": 1e-9},
}


def test_real_training_goes_on_from_the_champion_and_then_from_its_successor(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    path = colours.problem(tmp_path, **REAL)
    places, media = Places(tmp_path / "work" / "colours"), tmp_path / "labels"
    records = colours.pictures(media, 60)
    first = colours.dataset(places.dataset, records, media)
    split = make_split(first, Problem.load(path).split, name="run")
    split.write()
    train(Problem.load(path), first, split, places.run, progress=False)
    export(Run.open(places.run), first, split.part("val"), places.package, version="1")
    write_json(places.verdict, {"met": True, "criteria": []})
    promote_package(places, why="first")
    parent, weights = first, load_file(packages_of(places).run("1") / "best.safetensors")
    for number in (2, 3):
        records = [*records, *colours.pictures(media, 30, seed=number)]
        parent = colours.dataset(places.root / f"grown{number}", records, media, parent.fingerprint)
        told = retrain(path, wanted=Wanted(promote=True, rounds=ROUNDS))
        assert told.fresh == 30 and told.promotion is not None and told.promotion.version == str(number)
        assert told.challenge is not None
        rows = {(r.held_out, r.metric): r for r in told.challenge.comparison.rows}
        assert rows["old", "classify.accuracy"].difference == 0 and rows["new", "classify.accuracy"].low <= 0
        assert told.challenge.comparison.samples == {"old": 24 + 12 * (number - 2), "new": 12}
        now = load_file(packages_of(places).run(str(number)) / "best.safetensors")
        learned = [n for n, value in weights.items() if value.dtype == "float32" and "running" not in n]
        assert len(learned) > 10 and max(abs(now[n] - weights[n]).max() for n in learned) < 1e-5
        asked = json.loads((packages_of(places).run(str(number)) / "run.json").read_text())["problem"]
        assert asked["model"]["weights"] == str(packages_of(places).run(str(number - 1)))
        weights = now
