"""The record of stages: what is done is kept, what changed is done again, and one process works at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sightline.lifecycle.state import STATE, State, listing


class Work:
    """A stage that counts how often it was done."""

    def __init__(self, folder: Path) -> None:
        self.made, self.times = folder / "made", 0

    def __call__(self) -> None:
        self.times += 1
        self.made.write_text("x")


def step(state: State, work: Work, reads: object = 1) -> str:
    return state.step("stage", reads, work.made, work)


def quiet(name: str, kept: bool, seconds: float) -> None:
    assert seconds >= 0


def test_a_stage_whose_inputs_are_the_same_is_kept(tmp_path: Path) -> None:
    work = Work(tmp_path)
    first = step(State(tmp_path, quiet), work)
    assert step(State(tmp_path, quiet), work) == first
    assert work.times == 1


def test_a_stage_is_done_again_when_what_it_reads_changed_or_what_it_made_is_gone(tmp_path: Path) -> None:
    work = Work(tmp_path)
    first = step(State(tmp_path, quiet), work)
    assert step(State(tmp_path, quiet), work, reads=2) != first
    work.made.unlink()
    step(State(tmp_path, quiet), work, reads=2)
    assert work.times == 3


def test_a_stage_that_is_done_again_takes_those_after_it_off_the_record(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    first, second = Work(tmp_path), Work(tmp_path / "b")
    for _ in range(2):
        state = State(tmp_path, quiet)
        state.step("first", 1, first.made, first)
        state.step("second", 1, second.made, second)
        first.made.unlink()
    assert first.times == second.times == 2


def test_a_stage_that_fails_is_not_on_record(tmp_path: Path) -> None:
    work = Work(tmp_path)
    step(State(tmp_path, quiet), work)

    def fails() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        State(tmp_path, quiet).step("stage", 2, work.made, fails)
    assert json.loads((tmp_path / STATE).read_text()) == {}


def test_a_damaged_record_means_that_the_work_is_done_again(tmp_path: Path) -> None:
    work = Work(tmp_path)
    step(State(tmp_path, quiet), work)
    (tmp_path / STATE).write_text('{"stage": 3')
    step(State(tmp_path, quiet), work)
    assert work.times == 2


def test_a_listing_changes_with_names_sizes_and_times(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = listing(tmp_path)
    assert listing(tmp_path) == first
    (tmp_path / "b").write_text("2")
    second = listing(tmp_path)
    (tmp_path / "b").write_text("22")
    assert len({first, second, listing(tmp_path)}) == 3


def test_a_listing_counts_only_what_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "a.PNG").write_text("1")
    first = listing(tmp_path, {".png"}, tmp_path / "work")
    (tmp_path / "problem.yaml").write_text("name: x")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "b.png").write_text("2")
    assert listing(tmp_path, {".png"}, tmp_path / "work") == first
    (tmp_path / "c.png").write_text("3")
    assert listing(tmp_path, {".png"}, tmp_path / "work") != first
