from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serve.asking import QUICK, Answer, ask, closed, encoded, logged, post, reason
from sightline.monitor.review_items import ReviewOptions
from sightline.monitor.store import Store
from sightline.serve.logs import Log
from sightline.serve.running import Review, build_service
from sightline.serve.service import Service


@pytest.fixture
def reviewed(packages: dict[str, Path], tmp_path: Path) -> Iterator[Service]:
    import io

    keep_all = Review(str(tmp_path / "store"), ReviewOptions(uncertain=0, waiting=16))
    service = build_service(
        [str(packages["classify"]), str(packages["detect"])], QUICK, log=Log(io.StringIO()), review=keep_all
    )
    service.models.load()
    yield service
    service.review.close()
    closed(service)


def send(service: Service, path: str, value: Any) -> Answer:
    return post(service, path, json.dumps(value).encode(), "application/json")


def wait_for(service: Service, text: str) -> None:
    for _ in range(1500):
        if text in service.exposition()[0].decode():
            return
        time.sleep(0.02)
    raise AssertionError(f"{text} is not in\n{service.exposition()[0].decode()}")


def test_an_answer_can_be_flagged_and_labelled_afterwards(reviewed: Service, tmp_path: Path) -> None:
    data = encoded(seed=5)
    answer = post(reviewed, "/predict/classify", data).json
    truth = answer["results"]["classify"]["class"]
    assert send(reviewed, f"/review/{answer['id']}", {"note": "odd"}).json == {
        "id": answer["id"], "index": 0, "flagged": True,
    }  # fmt: skip
    wait_for(reviewed, 'sightline_review_kept_total{model="classify",reason="flagged"} 1.0')
    told = send(reviewed, "/feedback", {"request_id": answer["id"], "labels": truth})
    assert told.json == {"taken": 1, "unknown": []}
    live = 'sightline_quality{bound="live",metric="classify.accuracy",model="classify",version="1"} 1.0'
    wait_for(reviewed, live)
    (item,) = Store.open(tmp_path / "store").items()
    assert item.note == "odd" and set(item.reasons) == {"uncertain", "flagged"}
    assert Store.open(tmp_path / "store").picture(item.id) == data


def test_flags_and_labels_that_cannot_be_taken_say_why(reviewed: Service) -> None:
    known = post(reviewed, "/predict/detect", encoded()).json["id"]
    reason(send(reviewed, "/review/nobody", {}), 404, "unknown_request")
    reason(send(reviewed, f"/review/{known}", {"index": -1}), 422, "bad_input")
    reason(send(reviewed, f"/review/{known}", {"note": 7}), 422, "bad_input")
    reason(send(reviewed, f"/review/{known}", [1]), 422, "bad_input")
    assert ask(reviewed, "POST", f"/review/{known}").status == 200
    reason(send(reviewed, "/feedback", {"request_id": "nobody", "labels": []}), 404, "unknown_request")
    reason(send(reviewed, "/feedback", []), 422, "bad_input")
    reason(send(reviewed, "/feedback", {"labels": []}), 422, "bad_input")
    text = reason(send(reviewed, "/feedback", {"request_id": known, "labels": "apple"}), 422, "bad_input")
    assert "must be a list of objects" in text
    mixed = [{"request_id": known, "labels": []}, {"request_id": "nobody", "labels": []}]
    assert send(reviewed, "/feedback", mixed).json == {"taken": 1, "unknown": ["nobody"]}


def test_a_service_without_a_store_says_so(service: Service) -> None:
    reason(send(service, "/review/x", {}), 404, "no_review")
    reason(send(service, "/feedback", {"request_id": "x", "labels": []}), 404, "no_review")


def test_a_database_that_goes_away_takes_no_answer_with_it(reviewed: Service, tmp_path: Path) -> None:
    first = post(reviewed, "/predict/detect", encoded(seed=1)).json
    wait_for(reviewed, 'sightline_review_up{store="review"} 1.0')
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "store").write_text("a file stands where the folder was")
    answers = [post(reviewed, "/predict/detect", encoded(seed=n)) for n in range(100)]
    assert all(a.status == 200 for a in answers) and answers[1].json["results"] == first["results"]
    wait_for(reviewed, 'sightline_review_up{store="review"} 0.0')
    wait_for(reviewed, 'sightline_review_lost_total{cause="full"}')
    reason(send(reviewed, "/feedback", {"request_id": "long-ago", "labels": []}), 503, "store")
    (tmp_path / "store").unlink()
    wait_for(reviewed, 'sightline_review_up{store="review"} 1.0')
    assert any("answers wait" in line.get("said", "") for line in logged(reviewed))
