"""Queues between threads."""

from __future__ import annotations

import threading

import pytest

from sightline.video.handover import Handover


def test_items_come_out_in_order_and_the_giver_waits_for_room() -> None:
    queue: Handover[int] = Handover(2)
    most = 0

    def give() -> None:
        nonlocal most
        for item in range(100):
            queue.put(item)
            most = max(most, len(queue))
        queue.end()

    giver = threading.Thread(target=give)
    giver.start()
    assert list(queue) == list(range(100))
    giver.join()
    assert most <= 2


def test_keeping_the_newest_drops_the_oldest_and_says_so() -> None:
    dropped: list[int] = []
    queue: Handover[int] = Handover(3, dropped.append)
    assert all(queue.put(item) for item in range(10))
    queue.end()
    assert list(queue) == [7, 8, 9]
    assert dropped == list(range(7))


def test_an_error_comes_out_behind_what_was_given_before() -> None:
    queue: Handover[int] = Handover(3)
    queue.put(1)
    queue.end(ValueError("broken"))
    items = iter(queue)
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_closing_frees_a_giver_that_waits_and_shows_what_is_left() -> None:
    queue: Handover[int] = Handover(1)
    queue.put(1)
    answers: list[bool] = []
    giver = threading.Thread(target=lambda: answers.append(queue.put(2)))
    giver.start()
    left: list[int] = []
    queue.close(left.append)
    giver.join()
    # The giver may have come before the closing or after it; either way nothing is taken any more.
    assert left == [1]
    assert answers == [False]
    assert list(queue) == []
