from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from monitor.finds import Counted, Shot, detections, encoded, picture, scores
from monitor.worlds import world
from serve.graphs import make_package
from sightline.core.errors import StorageError, UsageError
from sightline.core.manifest import Manifest
from sightline.core.reference import Reference
from sightline.monitor.review_items import ReviewOptions
from sightline.monitor.review_pictures import blurred
from sightline.monitor.review_queue import ReviewQueue
from sightline.monitor.store import Store

SURE = {"classify": scores(0.98, 0.02)}
TORN = {"classify": scores(0.55, 0.45)}


def queue_on(place: Path, tally: Counted, **options: object) -> ReviewQueue:
    rules = ReviewOptions(**options)
    return ReviewQueue(lambda: Store.open(place, rules), lambda name, version: None, rules, tally)


def wait_for(check: Callable[[], bool]) -> None:
    for _ in range(2000):
        if check():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to be")


def test_every_answer_is_kept_and_the_unsure_ones_with_their_picture(tmp_path: Path) -> None:
    tally = Counted()
    queue = queue_on(tmp_path, tally)
    data = encoded(picture(2))
    queue.answered(Shot("a", picture(1), SURE))
    queue.answered(Shot("b", picture(2), TORN, data=data))
    queue.close()
    store = Store.open(tmp_path)
    (item,) = store.items()
    assert item.prediction.request_id == "b" and item.reasons == {"uncertain": 0.9}
    assert store.picture(item.id) == data and item.suffix == ".png"
    assert store.counts()["predictions"] == 2
    assert tally.kept == {"uncertain": 1} and not tally.lost and tally.up[-1]


def test_a_bare_tensor_is_kept_as_png(tmp_path: Path) -> None:
    queue = queue_on(tmp_path, Counted())
    queue.answered(Shot("a", picture(1), TORN))
    queue.close()
    store = Store.open(tmp_path)
    data = np.frombuffer(store.picture(store.items()[0].id), np.uint8)
    assert np.array_equal(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), picture(1))


def test_a_picture_whose_embedding_is_far_from_the_reference_is_kept_as_novel(tmp_path: Path) -> None:
    reference = Reference(("apple", "pear", "plum"))
    for seen in world(120, 1):
        reference.take(seen)
    manifest = Manifest.read(make_package(tmp_path / "package", "classify"))
    known = replace(manifest, reference=reference.to_json())
    rules = ReviewOptions()
    queue = ReviewQueue(lambda: Store.open(tmp_path / "store", rules), lambda name, version: known, rules)
    usual, far = world(1, 7)[0].embedding, world(1, 7, shift=6.0)[0].embedding
    for n, embedding in enumerate((usual, far, usual)):
        queue.answered(Shot(f"r{n}", picture(n), SURE, embedding=embedding))
    queue.close()
    (item,) = Store.open(tmp_path / "store").items()
    assert item.prediction.request_id == "r1" and set(item.reasons) == {"novel"} and item.value > 0.8


def test_a_flag_keeps_a_picture_that_no_rule_would(tmp_path: Path) -> None:
    queue = queue_on(tmp_path, Counted())
    queue.answered(Shot("a", picture(1), SURE))
    assert queue.flag("a", 0, "this is a pear") and not queue.flag("nobody")
    queue.close()
    (item,) = Store.open(tmp_path).items()
    assert item.reasons == {"flagged": 1.0} and item.note == "this is a pear" and item.bytes


def test_answers_that_come_and_go_in_a_stream_are_kept(tmp_path: Path) -> None:
    queue = queue_on(tmp_path, Counted())
    steady = {"detect": detections((0.9, 0, (10, 10, 40, 40)))}
    for seed, results in enumerate([steady, steady, {"detect": detections()}]):
        queue.answered(Shot("stream", picture(seed), results))
    queue.close()
    (item,) = Store.open(tmp_path).items()
    assert item.reasons == {"unstable": 0.99} and item.group == "stream"


def test_privacy_keeps_a_blur_or_no_picture(tmp_path: Path) -> None:
    for privacy in ("blur", "results"):
        queue = queue_on(tmp_path / privacy, Counted(), privacy=privacy)
        queue.answered(Shot("a", picture(1), TORN, data=encoded(picture(1))))
        queue.answered(Shot("b", picture(1), TORN, data=encoded(picture(1))))
        queue.close()
    bare, coarse = Store.open(tmp_path / "results"), Store.open(tmp_path / "blur")
    (item,) = bare.items()
    assert item.seen == 2 and item.bytes == 0 and bare.picture(item.id) == b""
    data = np.frombuffer(coarse.picture(coarse.items()[0].id), np.uint8)
    seen = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    assert seen.shape == (64, 96, 3)
    assert np.abs(seen.astype(int) - blurred(picture(1))).mean() < 4
    assert np.abs(seen.astype(int) - picture(1)).mean() > 12


def test_a_blur_has_few_cells_whatever_the_size() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    small = cv2.resize(blurred(noise), (16, 12), interpolation=cv2.INTER_AREA)
    again = cv2.resize(small, (640, 480), interpolation=cv2.INTER_LINEAR)
    assert np.abs(again.astype(int) - blurred(noise)).mean() < 3  # 16 x 12 numbers tell all that is left


def test_answers_wait_while_the_store_is_away_and_are_stored_when_it_is_back(tmp_path: Path) -> None:
    away, said, tally = threading.Event(), [], Counted()
    away.set()

    def opened() -> Store:
        if away.is_set():
            raise StorageError("is away", where="db")
        return Store.open(tmp_path)

    queue = ReviewQueue(opened, lambda name, version: None, ReviewOptions(waiting=4), tally, said.append)
    queue.answered(Shot("first", picture(1), TORN))
    wait_for(lambda: False in tally.up)
    for n in range(6):
        queue.answered(Shot(f"r{n}", picture(n + 2), TORN))  # would never return if it waited for the store
    assert tally.lost == {"full": 2}
    with pytest.raises(StorageError):
        queue.flag("unknown")
    away.clear()
    wait_for(lambda: bool(tally.up) and tally.up[-1])
    queue.close()
    store = Store.open(tmp_path)
    assert {i.prediction.request_id for i in store.items()} == {"first", "r0", "r1", "r2", "r3"}
    assert len(said) == 1 and "is away" in said[0]


def test_closing_while_the_store_is_away_counts_what_is_lost() -> None:
    tally = Counted()

    def opened() -> Store:
        raise StorageError("is away")

    queue = ReviewQueue(opened, lambda name, version: None, None, tally)
    queue.answered(Shot("a", picture(1), TORN))
    wait_for(lambda: False in tally.up)
    queue.close()
    assert tally.lost == {"store": 1}


def test_a_picture_that_cannot_be_read_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    tally = Counted()
    queue = queue_on(tmp_path, tally)
    queue.answered(Shot("bad", picture(1), TORN, data=b"no picture"))
    queue.answered(Shot("good", picture(2), TORN))
    queue.close()
    assert tally.lost == {"fault": 1}
    assert [i.prediction.request_id for i in Store.open(tmp_path).items()] == ["good"]


def test_what_is_remembered_for_flags_is_bounded(tmp_path: Path) -> None:
    queue = queue_on(tmp_path, Counted(), waiting_mb=0.05)  # two bare pictures of 18 kB
    for n in range(5):
        queue.answered(Shot(f"r{n}", picture(n), SURE))
    assert queue._held <= 0.05 * (1 << 20)
    assert queue.latest("r4", 0) is not None
    wait_for(lambda: Store.open(tmp_path).counts()["predictions"] == 5)
    assert queue.latest("r0", 0) is not None  # from the store
    assert not queue.flag("r0")  # its picture is gone
    queue.close()


def test_options_that_keep_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        ReviewOptions(uncertain=2)
    with pytest.raises(UsageError, match="privacy"):
        ReviewOptions(privacy="none")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="keeps nothing"):
        ReviewOptions(budget_mb=0)
