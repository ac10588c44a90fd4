from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from monitor.finds import ABOUT, encoded, find, picture, prediction
from sightline.core.errors import StorageError, UsageError
from sightline.monitor.review_items import MEGABYTE, ReviewOptions
from sightline.monitor.review_looks import look_of
from sightline.monitor.review_tables import FILE, address, shown
from sightline.monitor.store import Store


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server of our own, where PostgreSQL is installed; root starts it as somebody else."""
    programs = [Path(p) for p in os.environ["PATH"].split(os.pathsep)]
    programs += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = next((p for p in programs if (p / "initdb").is_file() and (p / "pg_ctl").is_file()), None)
    if found is None:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder, run = Path(name), {"check": True, "capture_output": True, "timeout": 120, "cwd": name}
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            run["user"] = "nobody"
        data, log = folder / "data", folder / "log"
        subprocess.run([found / "initdb", "-D", data, "-A", "trust", "-U", "me"], **run)
        options = f"-c listen_addresses=127.0.0.1 -c port=54329 -k {folder}"
        # Its output goes to a file: the server keeps what it inherits open, and a pipe would be waited for.
        subprocess.run([found / "pg_ctl", "-D", data, "-o", options, "-l", log, "-w", "start"], **run)
        yield "postgresql://me@127.0.0.1:54329/postgres"
        subprocess.run([found / "pg_ctl", "-D", data, "-m", "fast", "stop"], **run)


def test_a_find_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    kept = find(1, note="odd colour", group="camera 3")
    written = store.write([kept.prediction], [kept])
    assert (written.kept, written.joined, written.dropped) == (1, 0, 0)
    assert written.reasons == {("fruit", "uncertain"): 1}
    (item,) = Store.open(tmp_path, create=False).items()
    assert item.prediction == kept.prediction and item.reasons == {"uncertain": 0.7}
    assert (item.note, item.group, item.state, item.seen) == ("odd colour", "camera 3", "open", 1)
    assert store.picture(item.id) == kept.picture and item.bytes == len(kept.picture)
    assert store.prediction("r1", 0) == kept.prediction and store.prediction("r1", 1) is None


def test_a_picture_that_is_there_already_is_counted_and_not_kept_twice(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    first = find(1)
    store.write([], [first, find(2)])
    again = cv2.resize(picture(1), (192, 128))
    hash, thumb = look_of(again)
    copy = replace(find(3, value=0.9, reason="novel"), hash=hash, thumb=thumb, picture=encoded(again, ".jpg"))
    fresh = Store.open(tmp_path)  # another process, that has read no hashes yet
    assert fresh.write([], [copy]).joined == 1
    best, other = fresh.items()
    assert best.reasons == {"uncertain": 0.7, "novel": 0.9} and best.seen == 2
    assert best.prediction == first.prediction and other.seen == 1


def test_the_least_valuable_go_first_and_of_equals_the_oldest(tmp_path: Path) -> None:
    store = Store.open(tmp_path, ReviewOptions(budget_mb=3000 / MEGABYTE))
    finds = [find(seed, size=1000, value=value) for seed, value in enumerate((0.6, 0.9, 0.6, 0.7))]
    assert store.write([], finds).dropped == 1
    assert [i.prediction.request_id for i in store.items()] == ["r1", "r3", "r2"]
    store.mark([i.id for i in store.items() if i.value == 0.9], "exported")
    store.write([], [find(9, size=1000, value=0.65)])
    assert [i.prediction.request_id for i in store.items(states=())] == ["r3", "r9", "r2"]
    assert store.counts()["bytes"] == 3000
    assert store.write([], [find(10, size=9000, value=0.99)]).dropped == 4  # larger than the budget


def test_a_picture_whose_twin_was_dropped_is_kept_again(tmp_path: Path) -> None:
    store = Store.open(tmp_path, ReviewOptions(most_items=1))
    store.write([], [find(1, value=0.6)])
    store.write([], [find(2, value=0.8)])
    assert store.write([], [find(1, value=0.9)]).kept == 1


def test_the_oldest_answers_go(tmp_path: Path) -> None:
    store = Store.open(tmp_path, ReviewOptions(most_predictions=3))
    for n in range(5):
        store.write([prediction(f"r{n}")], [])
    assert [store.prediction(f"r{n}", 0) is not None for n in range(5)] == [False, False, True, True, True]


def test_items_are_listed_by_value_model_reason_and_state(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write([], [find(1, value=0.6), find(2, value=0.8, reason="novel"), find(3, value=0.7)])
    assert [i.value for i in store.items()] == [0.8, 0.7, 0.6]
    assert [i.value for i in store.items(limit=1)] == [0.8]
    assert [i.value for i in store.items(reason="uncertain")] == [0.7, 0.6]
    assert store.items(model="veg") == []
    assert store.mark([store.items()[0].id, 999], "dismissed") == 1
    assert [i.value for i in store.items(states=("dismissed",))] == [0.8]
    assert store.flag("r2", 0, "look at this") and not store.flag("r2", 1)
    (flagged,) = store.items(reason="flagged")
    assert flagged.state == "open" and flagged.value == 1.0 and flagged.note == "look at this"


def test_labels_told_twice_count_once(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.describe("fruit", "1", ABOUT)
    store.describe("fruit", "1", ABOUT)
    assert store.packages() == {("fruit", "1"): ABOUT}
    store.tell([(prediction("a"), {"detect": []}), (prediction("b"), {"detect": []})])
    store.tell([(prediction("a"), {"detect": [1]})])
    told = {p.request_id: labels for p, labels in store.told("fruit", "1")}
    assert told == {"a": {"detect": [1]}, "b": {"detect": []}}


def test_a_store_that_went_away_is_an_error_and_a_new_one_starts_empty(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    store.write([], [find(1)])
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(StorageError, match="does not answer"):
        store.write([], [find(2)])
    assert Store.open(tmp_path / "store").items() == []


def test_a_wrong_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no review\.db"):
        Store.open(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()
    with pytest.raises(UsageError, match="no driver"):
        Store.open("nosuch://x")
    (tmp_path / FILE).write_bytes(b"this is no database, it is text" * 100)
    with pytest.raises(StorageError, match="not a database"):
        Store.open(tmp_path)


def test_no_password_is_shown() -> None:
    assert "secret" not in shown(address("postgresql://me:secret@db/x"))


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    other = sqlite3.connect(tmp_path / FILE)
    store.write([], [find(1)])
    assert other.execute("select count(*) from sightline_review_items").fetchone() == (1,)
    other.close()


@pytest.mark.slow
def test_postgresql_keeps_what_sqlite_keeps(postgres: str) -> None:
    store = Store.open(postgres, ReviewOptions(most_items=2))
    store.describe("fruit", "1", ABOUT)
    low = find(1, value=0.6)
    written = store.write([low.prediction], [low, find(2, value=0.8), find(3, value=0.9), find(3)])
    assert (written.kept, written.joined, written.dropped) == (3, 1, 1)
    assert [i.value for i in store.items(reason="uncertain")] == [0.9, 0.8]
    assert store.picture(store.items()[0].id) == find(3).picture
    assert store.flag("r2", 0) and store.items()[0].prediction.request_id == "r2"
    store.tell([(low.prediction, {"detect": []})])
    assert store.prediction("r1", 0) == store.told("fruit", "1")[0][0] == low.prediction
    store.close()
