"""The service notices that its pictures have changed, says so in its log and counts it for Prometheus."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from monitor.packages import NAME, pictures, watched_package
from serve.asking import ask, closed, logged, make_service, post


def test_darker_pictures_are_noticed_by_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.monitor.live.EVERY_S", 0.0)
    service = make_service([str(watched_package(tmp_path / "package"))])
    try:
        for shot in pictures(400, 8, light=0.7):
            data = cv2.imencode(".png", shot[:, :, ::-1])[1].tobytes()
            assert post(service, f"/predict/{NAME}", data).status == 200
            if any(line["event"] == "drift" for line in logged(service)):
                break
        told = [line["said"] for line in logged(service) if line["event"] == "drift"]
        assert len(told) == 1 and told[0].startswith("fruit 3 has drifted: ") and "darker" in told[0]
        body = ask(service, "GET", "/metrics").body.decode()
        assert 'sightline_drift_alarm{model="fruit"} 1.0' in body
        assert 'sightline_model_info{digest="' in body
        assert 'sightline_stage_seconds_count{model="fruit",stage="infer"}' in body
    finally:
        closed(service)
