"""A promotion weighs what the challenger did as a shadow, where the problem or the caller asks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from lifecycle import colours
from lifecycle.colours import RIGHT, FakeTraining
from lifecycle.test_retrain import ROUNDS, packages_of, path_of, place
from sightline.cli.main import main
from sightline.core.errors import UsageError
from sightline.core.problem import ShadowSection
from sightline.lifecycle.packages import package_mark
from sightline.lifecycle.retrain import Wanted, retrain
from sightline.lifecycle.run import Places
from sightline.lifecycle.shadowing import TOKEN, sentence, shadow_of, weighed
from sightline.lifecycle.status import status

__all__ = ["place"]
BESIDE = {
    "since": "2026-11-21T05:00:00+00:00", "pictures": 50, "agreed": 30, "share": 0.6,
    "interval": [0.46, 0.72], "tasks": {"classify": 0.6}, "moves": [["red", "blue", 12]],
}  # fmt: skip


def found(package: str = "m", **against: Any) -> dict[str, Any]:
    return {"model": "colours", "version": "2", "package": package, "fault": "", "against": against}


@contextmanager
def service(answers: dict[str, Any]) -> Iterator[str]:
    """A service that answers by path, 404 elsewhere, and 401 without the token `secret`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("Authorization") == "Bearer secret"
            self.send_response(401 if not known else 200 if self.path in answers else 404)
            self.end_headers()
            if known and self.path in answers:
                self.wfile.write(json.dumps(answers[self.path]).encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_shadow_counts_only_for_its_own_package_and_the_version_in_use() -> None:
    asked = ShadowSection(pictures=50, at_least=0.5)
    assert weighed(None, None, "m", "1") == ({}, [])
    told, against = weighed(asked, found(**{"1": BESIDE}), "m", "1")
    assert told["pictures"] == 50 and told["champion"] == "1" and not against
    cases = {
        "was not tried as a shadow": (asked, None, "m", "1"),
        "is another package": (asked, found(**{"1": BESIDE}), "other", "1"),
        "0 pictures beside version 7, wanted 50": (asked, found(**{"1": BESIDE}), "m", "7"),
        "wanted 51": (ShadowSection(pictures=51), found(**{"1": BESIDE}), "m", "1"),
        "agreed on 60.0% of 50 pictures, wanted 90%": (
            ShadowSection(pictures=1, at_least=0.9), found(**{"1": BESIDE}), "m", "1",
        ),
    }  # fmt: skip
    for words, case in cases.items():
        (reason,) = weighed(*case)[1]
        assert words in reason


def test_one_line_says_how_far_it_agrees_and_where_it_differs_most() -> None:
    line = sentence(found(**{"1": BESIDE}), "1")
    assert line == (
        "shadow 2 agrees on 60% of 50 pictures (95%: 46 to 72%), most often not: red is blue to it (12 times)"
    )
    assert "nothing beside version 3" in sentence(found(**{"1": BESIDE}), "3")
    assert "does not run: is broken" in sentence(found() | {"fault": "is broken"}, "1")


def test_a_promotion_asks_the_service_and_the_log_keeps_what_it_said(
    place: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, "secret")
    path = path_of(place)
    colours.problem(path.parent, retrain={"new_labels": 20, "shadow": {"pictures": 40}})
    told = retrain(path, wanted=Wanted(promote=True, rounds=ROUNDS), train=FakeTraining(RIGHT))
    assert told.challenge is not None and told.challenge.promotable
    assert "was not tried as a shadow" in told.refused and packages_of(place).current == "1"
    package = told.challenge.package
    words = ["promote", str(path), str(package)]
    assert run(*words) == 1 and "was not tried as a shadow" in capsys.readouterr().err
    answers = {"/shadow": found(package_mark(package), **{"1": BESIDE | {"pictures": 39}})}
    with service(answers) as address:
        assert run(*words, "--shadow", address) == 1
        answers["/shadow"] = found(package_mark(package), **{"1": BESIDE})
        answers["/v2/models/colours"] = {"versions": ["1"]}
        live = next(row for row in status(path, service=address) if row.stage == "live service")
        assert live.state == "done" and "shadow 2 agrees on 60% of 50 pictures" in live.found
        assert run(*words, "--shadow", address) == 0
    assert "agrees on 60%" in capsys.readouterr().out
    last = packages_of(place).log()[-1]
    assert last.version == "2" and last.evidence["shadow"]["share"] == 0.6


def test_a_service_that_is_away_or_refuses_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    with service({}) as address:
        with pytest.raises(UsageError, match="refuses"):
            shadow_of(address)
        monkeypatch.setenv(TOKEN, "secret")
        assert shadow_of(address) is None
    for gone in (address, "nowhere"):
        with pytest.raises(UsageError, match="does not answer"):
            shadow_of(gone)


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)
