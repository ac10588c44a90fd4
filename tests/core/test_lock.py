"""Locks: one holder at a time, gone with the process, and never inherited."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.core.errors import StorageError, UsageError
from sightline.core.lock import held

REPO = Path(__file__).resolve().parents[2]


def test_a_second_holder_is_refused_and_a_later_one_is_not(tmp_path: Path) -> None:
    with (
        held(tmp_path, "is busy", "wait"),
        pytest.raises(UsageError, match="is busy; wait"),
        held(tmp_path, "is busy", "wait"),
    ):
        pass
    with held(tmp_path, "is busy", "wait"):
        pass


def test_a_forked_child_does_not_hold_on_to_the_lock_of_a_killed_parent(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    script = f"""
import os, time
from pathlib import Path
from sightline.core.lock import held
with held(Path({str(tmp_path)!r}), "is busy", "wait"):
    begun, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(told, b"x")
        time.sleep(20)
        os._exit(0)
    os.read(begun, 1)
    print(child, flush=True)
    os.kill(os.getpid(), 9)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.wait()
        try:
            with held(tmp_path, "is busy", "wait"):
                pass
        finally:
            os.kill(child, 9)


def test_a_file_in_the_place_of_the_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match=r"file.*cannot be written"), held(place, "is busy", "wait"):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_says_so(tmp_path: Path) -> None:
    (tmp_path / "held").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="Permission denied"), held(tmp_path / "held", "is busy", "wait"):
        pass
