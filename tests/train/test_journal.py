from __future__ import annotations

from pathlib import Path

from sightline.train.checkpoint import State
from sightline.train.journal import Clock, Journal, gap_widens, read_rows, suggested_workers


def rows(train: list[float], val: list[float]) -> list[dict[str, dict[str, float]]]:
    return [{"train": {"loss": t}, "val": {"val.loss": v}} for t, v in zip(train, val, strict=True)]


def test_a_gap_is_flagged_only_while_validation_rises_and_training_falls() -> None:
    assert gap_widens(rows([4, 3, 2, 1], [1, 2, 3, 4]))
    assert not gap_widens(rows([4, 3, 2, 1], [1, 2, 3, 2]))
    assert not gap_widens(rows([3, 2, 1], [1, 2, 3]))
    assert not gap_widens(rows([1, 2, 3, 4], [1, 2, 3, 4]))


def test_workers_are_suggested_where_the_wait_is_long_and_cores_are_left() -> None:
    assert suggested_workers(1, 0.5, 8) == 2
    assert suggested_workers(0, 0.3, 2) == 2
    assert suggested_workers(2, 0.05, 8) is None
    assert suggested_workers(2, 0.9, 2) is None


def test_rows_of_epochs_to_be_trained_again_are_taken_out_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path, quiet=True)
    state = State(epoch=0)
    journal.start(state, 3, 1)
    for epoch in range(3):
        state.epoch, state.step = epoch, epoch + 1
        journal.step(state, {"loss": 1.0}, 0.1, Clock())
        journal.epoch(state, {"a": 1.0}, {"m": float("nan")}, Clock(), improved=epoch == 1)
    journal.finish(state, "m")
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "tr')
    found = read_rows(tmp_path)
    assert [row["epoch"] for row in found] == [0, 1, 2] and found[0]["val"]["m"] is None
    again = Journal(tmp_path, quiet=True)
    again.start(State(epoch=1, step=1), 3, 1)
    again.finish(State(epoch=1), "m")
    assert [row["epoch"] for row in read_rows(tmp_path)] == [0]
    assert list((tmp_path / "events").iterdir())
