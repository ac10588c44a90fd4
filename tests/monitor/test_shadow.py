"""A shadow sees a sample of the traffic, and delays and changes nothing."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.finds import Shot, picture, scores
from monitor.packages import watched_package
from sightline.core.errors import PackageError, UsageError
from sightline.core.results import Result
from sightline.monitor.shadow import Shadow

APPLE, PEAR = {"classify": scores(0.9, 0.1)}, {"classify": scores(0.2, 0.8)}


class Counted:
    """What a shadow tells."""

    def __init__(self) -> None:
        self.agreed: list[bool] = []
        self.errors: list[str] = []

    def shadow(self, model: str, version: str, agreed: bool, found: Any) -> None:
        self.agreed.append(agreed)

    def error(self, model: str, kind: str) -> None:
        self.errors.append(kind)


class Says:
    """A predictor that answers what it was told to, perhaps only when it is let."""

    def __init__(self, result: dict[str, Result], gate: threading.Event | None = None) -> None:
        self.result, self.gate, self.asked = result, gate, 0

    def predict(self, batch: Sequence[Any]) -> list[dict[str, Result]]:
        self.asked += 1
        if self.gate is not None:
            assert self.gate.wait(20)
        if self.asked == 3:
            raise ValueError("odd")
        return [self.result for _ in batch]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return watched_package(tmp_path_factory.mktemp("shadow") / "package", "classify", count=4)


def wait_for(check: Callable[[], object]) -> None:
    for _ in range(2000):
        if check():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to be")


def shadow(package: Path, tally: Counted, says: Any, **named: Any) -> Shadow:
    options = {"share": 1.0, "open_package": lambda path: says} | named
    return Shadow(package, tally, **options)


def test_agreement_is_counted_beside_each_version_of_the_champion(package: Path) -> None:
    tally = Counted()
    found = shadow(package, tally, Says(APPLE))
    for n, (version, results) in enumerate([("1", APPLE), ("1", PEAR), ("1", APPLE), ("2", APPLE)], 1):
        found.answered(Shot(f"r{n}", picture(n), results, version=version))
        wait_for(lambda n=n: len(tally.agreed) + len(tally.errors) == n and found._next < time.monotonic())
    told = found.to_json()
    found.close()
    one, two = told["against"]["1"], told["against"]["2"]
    assert (told["model"], told["version"], told["fault"]) == ("fruit", "3", "")
    assert (one["pictures"], one["agreed"], one["share"], one["moves"]) == (2, 1, 0.5, [["pear", "apple", 1]])
    assert one["interval"][0] < 0.5 < one["interval"][1] and one["tasks"] == {"classify": 0.5}
    assert two["pictures"] == two["agreed"] == 1 and tally.errors == ["shadow"]


def test_nobody_waits_for_a_slow_shadow_and_it_holds_one_picture_at_a_time(package: Path) -> None:
    gate, tally = threading.Event(), Counted()
    says = Says(APPLE, gate)
    found = shadow(package, tally, says)
    for n in range(200):
        found.answered(Shot(f"r{n}", picture(1), APPLE))  # would never return if it waited
    wait_for(lambda: says.asked == 1)
    assert found._queue.qsize() == 0
    gate.set()
    wait_for(lambda: tally.agreed)
    found.close()
    assert says.asked == 1


def test_it_rests_so_that_it_takes_its_share(package: Path) -> None:
    gate, tally = threading.Event(), Counted()
    found = shadow(package, tally, Says(APPLE, gate), share=0.01)
    found.answered(Shot("a", picture(1), APPLE))
    time.sleep(0.05)
    gate.set()
    wait_for(lambda: tally.agreed and found._next < 1e9)
    assert found._next - time.monotonic() > 3  # 0.05 s of work at one part in a hundred
    found.close()


def test_another_model_s_pictures_are_not_its_business(package: Path) -> None:
    tally = Counted()
    says = Says(APPLE)
    found = shadow(package, tally, says)
    found.answered(Shot("a", picture(1), APPLE, model="cells"))
    found.close()
    assert says.asked == 0 and found.to_json()["against"] == {}


def test_a_shadow_that_cannot_be_loaded_says_so_and_stops(package: Path) -> None:
    def opened(path: Path) -> Any:
        raise PackageError("is broken", where=path)

    said: list[str] = []
    found = shadow(package, Counted(), None, open_package=opened, say=said.append)
    found.answered(Shot("a", picture(1), APPLE))
    wait_for(lambda: found.fault)
    found.answered(Shot("b", picture(1), APPLE))
    found.close()
    assert "is broken" in found.to_json()["fault"] and len(said) == 1


def test_what_cannot_be_a_shadow_is_refused_before_the_service_starts(package: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="no package"):
        Shadow(tmp_path, Counted())
    with pytest.raises(UsageError, match="share"):
        Shadow(package, Counted(), share=0)
    clips = tmp_path / "clips"
    shutil.copytree(package, clips)
    manifest = (clips / "manifest.json").read_text()
    assert '"frames": 1' in manifest
    (clips / "manifest.json").write_text(manifest.replace('"frames": 1', '"frames": 3'))
    with pytest.raises(UsageError, match="more than one picture"):
        Shadow(clips, Counted())
