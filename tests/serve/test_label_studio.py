from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from serve.asking import ask, closed, encoded, make_service, post, reason
from sightline.serve.label_studio import Labelling, Media
from sightline.serve.service import Service

CONFIG = """<View>
  <Image name="img" value="$picture"/>
  <RectangleLabels name="fruit" toName="img"><Label value="apple"/><Label value="pear" background="red"/>
    <Label value="plum"/></RectangleLabels>
  <Choices name="kind" toName="img"><Choice value="apple"/></Choices>
</View>"""
PREDICT = "/label-studio/detect/predict"


@pytest.fixture
def labelled(packages: dict[str, Path], tmp_path: Path) -> Any:
    """A service with a folder of pictures, one of them a link that leads out of it."""
    (tmp_path / "media" / "upload" / "3").mkdir(parents=True)
    (tmp_path / "media" / "upload" / "3" / "a b.png").write_bytes(encoded())
    (tmp_path / "secret.png").write_bytes(encoded(seed=9))
    (tmp_path / "media" / "link.png").symlink_to(tmp_path / "secret.png")
    found = make_service([str(packages["detect"])], media=str(tmp_path / "media"))
    yield found
    closed(found)


def predictions(service: Service, *addresses: str, config: str = CONFIG) -> list[dict[str, Any]]:
    tasks = [{"id": i, "data": {"picture": address}} for i, address in enumerate(addresses)]
    body = json.dumps({"tasks": tasks, "label_config": config, "project": "1.2"}).encode()
    answer = post(service, PREDICT, body, "application/json")
    assert answer.status == 200, answer.body
    return answer.json["results"]


def test_tasks_get_regions_under_the_names_of_their_configuration(labelled: Service) -> None:
    (guess,) = predictions(labelled, "/data/upload/3/a%20b.png")
    rows = post(labelled, "/predict/detect", encoded()).json["results"]["detect"]
    assert len(guess["result"]) == len(rows) > 0
    assert guess["model_version"] == "detect 1"
    for region, row in zip(guess["result"], rows, strict=True):
        assert (region["from_name"], region["to_name"], region["type"]) == ("fruit", "img", "rectanglelabels")
        assert region["value"]["rectanglelabels"] == [row["class"]]
        assert region["value"]["x"] == pytest.approx(100 * row["box"][0] / 96, abs=1e-3)
        assert (region["original_width"], region["original_height"]) == (96, 64)
    assert guess["score"] == min(region["score"] for region in guess["result"])


def test_a_picture_is_found_by_its_name_however_it_is_addressed(labelled: Service) -> None:
    inside = "data:image/png;base64," + base64.b64encode(encoded()).decode()
    addresses = (
        "/data/local-files/?d=media/upload/3/a%20b.png",
        "http://label.example:8080/data/upload/3/a%20b.png?token=x",
        "s3://bucket/upload/3/a b.png",
        inside,
    )
    found = predictions(labelled, *addresses)
    assert all(guess["result"] == found[0]["result"] != [] for guess in found)


@pytest.mark.parametrize(
    "address",
    [
        "/etc/passwd",
        "../../secret.png",
        "file:///etc/passwd",
        "link.png",
        "",
        "data:image/png;base64,!",
        "//[",
    ],
)
def test_no_path_or_address_of_a_task_is_opened(labelled: Service, address: str) -> None:
    (guess,) = predictions(labelled, address)
    assert guess["result"] == [] and guess["reason"]


def test_labels_and_controls_that_a_project_lacks_are_left_out(labelled: Service) -> None:
    only_pears = CONFIG.replace('<Label value="apple"/>', "").replace('<Label value="plum"/>', "")
    (guess,) = predictions(labelled, "/data/upload/3/a%20b.png", config=only_pears)
    assert {region["value"]["rectanglelabels"][0] for region in guess["result"]} <= {"pear"}
    (none,) = predictions(
        labelled, "/data/upload/3/a%20b.png", config='<View><Image name="i" value="$picture"/></View>'
    )
    assert none["result"] == []


def test_the_other_calls_of_label_studio_are_answered(labelled: Service) -> None:
    assert ask(labelled, "GET", "/label-studio/detect/health").json["status"] == "UP"
    setup = post(labelled, "/label-studio/detect/setup", b'{"schema": "<View/>"}', "application/json")
    assert setup.json == {"model_version": "detect 1"}
    assert post(labelled, "/label-studio/detect/webhook", b"{}", "application/json").status == 200
    reason(ask(labelled, "GET", "/label-studio/other/health"), 404, "unknown_model")
    reason(post(labelled, PREDICT, b'{"tasks": 5}', "application/json"), 422, "bad_input")


def test_a_configuration_is_read_without_its_entities() -> None:
    bomb = (
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><View><Image name="i" value="$u"/><BrushLabels name="m" toName="i">'
    )
    found = Labelling(bomb + '<Label value="&a;"/></BrushLabels></View>')
    assert found.media == ("u", "i") and found.controls["brushlabels"] == ("m", {"&a;"})


def test_a_new_file_is_found_when_the_folder_is_looked_at_again(tmp_path: Path) -> None:
    media = Media(tmp_path)
    assert media.find("/data/upload/x.png") is None
    (tmp_path / "x.png").write_bytes(b"1")
    assert media.find("/data/upload/x.png") is None  # it was looked at just now
    media._looked = float("-inf")
    assert media.find("/data/upload/x.png") == tmp_path / "x.png"
