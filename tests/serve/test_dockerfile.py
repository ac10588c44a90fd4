"""The Dockerfile's own lint: what such linters agree on, held to this one file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


def instructions() -> list[tuple[str, str]]:
    """Every instruction with its words, lines that go on joined."""
    text = re.sub(r"\\\n", " ", (REPO / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


KNOWN = {"ARG", "FROM", "WORKDIR", "ENV", "COPY", "RUN", "LABEL", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL"}
KNOWN |= {"HEALTHCHECK", "ENTRYPOINT", "CMD"}


def test_every_instruction_is_known_and_adds_nothing_from_elsewhere() -> None:
    names = {name for name, _ in instructions()}
    assert names <= KNOWN
    assert not any(
        "curl" in words or "wget" in words or "http" in words for n, words in instructions() if n == "RUN"
    )


def test_base_images_have_a_version_and_stages_exist() -> None:
    stages: set[str] = set()
    for words in (words for name, words in instructions() if name == "FROM"):
        image, _, stage = words.partition(" AS ")
        plain = image.replace("${TARGET}", "cpu")
        assert plain in stages or re.fullmatch(r"[a-z]+:[0-9]+\.[0-9]+[a-z0-9.-]*", plain), image
        stages |= {stage} if stage else set()
    for _, words in ((n, w) for n, w in instructions() if n == "COPY" and "--from=" in w):
        assert re.search(r"--from=(\S+)", words).group(1) in stages  # type: ignore[union-attr]
    assert {"build-cpu", "build-cuda"} <= stages


def test_what_is_copied_is_there_and_is_not_ignored() -> None:
    ignored = (REPO / ".dockerignore").read_text().split()
    for words in (w for n, w in instructions() if n == "COPY" and "--from=" not in w):
        for source in words.split()[:-1]:
            assert (REPO / source).exists() and f"!{source}" in ignored


def test_packages_are_pinned_and_no_cache_stays() -> None:
    installs = [words for name, words in instructions() if name == "RUN" and "pip install" in words]
    assert installs and all("--constraint" in words or "==" in words for words in installs)
    assert any(name == "ENV" and "PIP_NO_CACHE_DIR=1" in words for name, words in instructions())


def test_the_service_runs_as_nobody_and_gets_its_signals() -> None:
    last = [(name, words) for name, words in instructions()]
    user = next(words for name, words in reversed(last) if name == "USER")
    assert user.isdecimal() and int(user) >= 10_000
    entry = next(words for name, words in last if name == "ENTRYPOINT")
    assert json.loads(entry)[:2] == ["sightline", "serve"]  # no shell between it and SIGTERM
    assert ("STOPSIGNAL", "SIGTERM") in last
    check = next(words for name, words in last if name == "HEALTHCHECK")
    assert "/v2/health/ready" in check and json.loads(check[check.index("[") :])


def test_the_options_of_the_entry_point_are_the_commands() -> None:
    from sightline.cli.main import main

    entry = json.loads(next(words for name, words in instructions() if name == "ENTRYPOINT"))
    with pytest.raises(SystemExit) as done:
        main([*entry[1:], "--help"])
    assert done.value.code in (0, None)
