from __future__ import annotations

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from serve.asking import ask, closed, encoded, form, logged, make_service, picture, post, reason
from sightline.core.plain import plain_results
from sightline.runtime.loading import load
from sightline.serve.service import Service


def test_a_picture_is_answered_as_the_runtime_answers_it(service: Service, packages: dict[str, Path]) -> None:
    for task in ("detect", "locate", "segment"):
        answer = post(service, f"/predict/{task}", encoded())
        assert answer.status == 200, answer.body
        expected = plain_results(load(packages[task]).predict([{"image": picture()}])[0])
        assert answer.json["results"] == json.loads(json.dumps(expected))
        assert answer.json["size_wh"] == [96, 64]
        assert answer.json["model"] == task and answer.json["version"] == "1"
        assert {"decode", "place", "infer"} <= set(answer.json["ms"])


def test_a_classification_lists_its_best_classes_only(service: Service) -> None:
    answer = post(service, "/predict/classify?top=2", encoded()).json["results"]["classify"]
    assert len(answer["scores"]) == 2
    assert max(answer["scores"], key=answer["scores"].get) == answer["class"]


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_the_drawn_picture_comes_back_in_the_kind_asked_for(service: Service, kind: str) -> None:
    answer = post(service, "/predict/detect", encoded(), accept=f"image/{kind}")
    assert answer.headers["content-type"] == f"image/{kind}"
    drawn = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape == (64, 96, 3)
    assert np.abs(drawn[:, :, ::-1].astype(int) - picture()).max() > 60  # something is drawn on it


def test_the_drawn_picture_can_come_inside_the_json(service: Service) -> None:
    drawn = post(service, "/predict/detect?draw=png", encoded()).json["drawn"]
    head, _, text = drawn.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(text).startswith(b"\x89PNG")


def test_many_pictures_are_answered_in_order(service: Service) -> None:
    pictures = [encoded(".png", 96, 64, 1), encoded(".jpg", 64, 48, 2), encoded(".bmp", 40, 56, 3)]
    files = list(zip(["image/png", "image/jpeg", "image/bmp"], pictures, strict=True))
    alone = [post(service, "/predict/detect", data, kind).json["results"] for kind, data in files]
    body, kind = form(*(("picture", kind, data) for kind, data in files))
    by_form = post(service, "/predict/detect", body, kind).json["pictures"]
    text = json.dumps({"pictures": [base64.b64encode(data).decode() for data in pictures]}).encode()
    by_json = post(service, "/predict/detect", text, "application/json").json["pictures"]
    assert [row["results"] for row in by_form] == alone
    assert [row["results"] for row in by_json] == alone
    assert [row["size_wh"] for row in by_form] == [[96, 64], [64, 48], [40, 56]]


def test_one_picture_as_json_is_answered_as_one(service: Service) -> None:
    text = json.dumps({"picture": "data:image/png;base64," + base64.b64encode(encoded()).decode()}).encode()
    answer = post(service, "/predict/detect", text, "application/json")
    assert answer.json["results"] == post(service, "/predict/detect", encoded()).json["results"]


def test_several_pictures_are_not_drawn_as_one(service: Service) -> None:
    body, kind = form(("a", "image/png", encoded()), ("b", "image/png", encoded()))
    assert post(service, "/predict/detect", body, kind, accept="image/png").status == 406


def test_a_plain_request_id_is_kept_and_another_is_replaced(service: Service) -> None:
    assert post(service, "/predict/detect", encoded(), x_request_id="trace-7.a").json["id"] == "trace-7.a"
    answer = post(service, "/predict/detect", encoded(), x_request_id='x" injected')
    assert len(answer.json["id"]) == 32
    assert answer.headers["x-request-id"] == answer.json["id"]


TRICKS = ("../../etc/passwd", "..%2f..%2fetc", "detect/../classify", "detect\x00", "/etc/passwd", "a" * 5000)


def test_unknown_models_versions_and_paths_are_named_in_a_404(service: Service) -> None:
    assert "served: classify" in reason(post(service, "/predict/nosuch", encoded()), 404, "unknown_model")
    reason(post(service, "/predict/detect/versions/9", encoded()), 404, "unknown_model")
    reason(ask(service, "GET", "/nothing"), 404, "unknown_path")
    assert ask(service, "DELETE", "/models").headers["allow"] == "GET"
    for trick in TRICKS:
        assert post(service, f"/predict/{trick}", encoded()).status == 404


def test_the_version_that_is_named_answers(service: Service) -> None:
    named = post(service, "/predict/detect/versions/1", encoded())
    assert named.json["results"] == post(service, "/predict/detect", encoded()).json["results"]


def test_bad_queries_and_headers_are_refused(service: Service) -> None:
    for query in ("top=0", "top=1e3", "top=-1", "top=²", "draw=gif"):
        reason(post(service, f"/predict/detect?{query}", encoded()), 400, "bad_query")
    for value in ("0", "soon", "nan", "-5"):
        reason(post(service, "/predict/detect", encoded(), x_deadline_ms=value), 400, "bad_header")


def test_a_request_that_is_not_answered_in_time_is_given_up(service: Service) -> None:
    answer = post(service, "/predict/detect", encoded(), x_deadline_ms="0.001")
    reason(answer, 504, "deadline")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_fault_of_ours_is_logged_with_its_trace_and_told_without_it(packages: dict[str, Path]) -> None:
    found = make_service([str(packages["detect"])])
    found.models.get("detect").engine.infer = lambda placed, alone=False: 1 / 0  # type: ignore
    answer = post(found, "/predict/detect", encoded())
    assert "ZeroDivision" not in reason(answer, 500, "fault")
    fault = next(line for line in logged(found) if line["event"] == "fault")
    assert fault["id"] == answer.json["id"] and "ZeroDivisionError" in fault["trace"]
    closed(found)


def test_every_request_is_a_line_of_the_log(packages: dict[str, Path]) -> None:
    found = make_service([str(packages["detect"])], tokens={"ann": "s" * 20})
    post(found, "/predict/detect", encoded(), authorization="Bearer " + "s" * 20)
    line = logged(found)[-1]
    assert (line["event"], line["status"], line["model"], line["owner"]) == ("request", 200, "detect", "ann")
    assert "s" * 20 not in json.dumps(logged(found))
    closed(found)


def test_models_are_listed_with_what_they_read(service: Service) -> None:
    rows = {row["name"]: row for row in ask(service, "GET", "/models").json["models"]}
    assert rows["detect"]["classes"] == ["apple", "pear", "plum"]
    assert rows["detect"]["inputs"] == {"image": {"size_wh": [64, 48], "pixels": "rgb8", "frames": 1}}
    assert rows["detect"]["layout"]["sessions"] == 3


def test_metrics_count_requests_and_stages(service: Service) -> None:
    post(service, "/predict/detect", encoded())
    text = ask(service, "GET", "/metrics").body.decode()
    assert 'sightline_requests_total{model="detect",status="200"}' in text
    assert 'sightline_stage_seconds_count{model="detect",stage="infer"}' in text


def test_the_page_brings_everything_it_needs(service: Service) -> None:
    page = ask(service, "GET", "/")
    assert page.status == 200 and "default-src 'none'" in page.headers["content-security-policy"]
    text = "".join(ask(service, "GET", path).body.decode() for path in ("/", "/page.js", "/page.css"))
    assert "https://" not in text and "http://" not in text
