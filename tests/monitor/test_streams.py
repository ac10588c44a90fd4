"""`watch --metrics`: what becomes of a stream's frames is scraped while it runs."""

from __future__ import annotations

import re
import threading
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sightline.cli.main import main
from sightline.core.results import ClassScores
from sightline.monitor.metrics import Metrics
from sightline.monitor.streams import StreamCounter
from sightline.simulate.labelled import write_film


def samples(body: bytes) -> dict[str, float]:
    """Values by name and label values, ours only."""
    families = text_string_to_metric_families(body.decode())
    found = (s for f in families for s in f.samples if s.name.startswith("sightline_"))
    return {" ".join([s.name, *sorted(s.labels.values())]): s.value for s in found}


def test_answers_and_losses_are_counted_once() -> None:
    metrics, tally = Metrics(), SimpleNamespace(dropped=0, late=0, unread=0, lost=0)
    counter = StreamCounter(metrics, "cells", tally)
    results = {"classify": ClassScores([0.1, 0.9], ("a", "b"))}
    for dropped in (0, 3, 3, 7):
        tally.dropped = dropped
        counter.answer(SimpleNamespace(source="door", results=results, age_s=0.02))
    counter.answer(SimpleNamespace(source="door", results=None, age_s=None))
    found = samples(metrics.exposition()[0])
    assert found["sightline_stream_frames_total door"] == 4
    assert found["sightline_stream_dropped_total door dropped"] == 7
    assert found["sightline_stream_result_age_seconds_count door"] == 4
    assert found["sightline_answers_total b cells classify"] == 4


def test_watch_can_be_scraped(
    watched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_film(tmp_path / "film.mp4", 0, frames=12, size_wh=(96, 64))
    scraped: list[bytes] = []
    listen = Metrics.listen

    def scraping(self: Metrics, port: int, address: str = "127.0.0.1") -> object:
        server = listen(self, port, address)
        close = server.server_close

        def last() -> None:
            scraped.append(self.exposition()[0])
            close()

        server.server_close = last
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=10) as answer:
            scraped.append(answer.read())
        return server

    monkeypatch.setattr(Metrics, "listen", scraping)
    words = ["watch", str(watched), str(tmp_path / "film.mp4"), "--metrics", "0"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--out", str(tmp_path / "out.jsonl")])
    assert not end.value.code
    assert re.search(r"metrics: http://127\.0\.0\.1:\d+/metrics", capsys.readouterr().err)
    assert b"sightline_build_info" in scraped[0]
    assert samples(scraped[1])[f"sightline_stream_frames_total {tmp_path / 'film.mp4'}"] == 12
    assert not any("metrics" in thread.name for thread in threading.enumerate())
