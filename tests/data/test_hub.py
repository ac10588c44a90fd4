"""Pushing and pulling with the Hub's real client, against a small Hub on loopback."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.hub_server import FakeHub
from sightline.cli.main import main
from sightline.core.errors import DatasetError, MediaError, UsageError
from sightline.data.dataset import Dataset
from sightline.data.hub import pull, push
from sightline.data.hub_client import HubRepository, repository_name
from sightline.data.importing import import_dataset
from sightline.simulate.labelled import write_coco_scenes

pytest.importorskip("huggingface_hub")
# The client hands its transport a file in a way that the transport calls old.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
ADDRESS = "hf://lab/scenes"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("scenes")
    write_coco_scenes(folder / "labels", 8, size_wh=(96, 64))
    return import_dataset(folder / "labels", folder / "data")[0]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with FakeHub() as server:
        yield server


def repository(hub: FakeHub) -> HubRepository:
    return HubRepository(ADDRESS, endpoint=hub.endpoint)


def shards(hub: FakeHub) -> list[str]:
    return sorted(path for path in hub.tree if path.endswith(".tar"))


def three(dataset: Dataset) -> int:
    """A size that makes some three shards."""
    return sum(row["bytes"] for row in dataset.media().to_pylist()) // 3 + 1


def test_what_is_pushed_is_pulled_as_it_was(hub: FakeHub, dataset: Dataset, tmp_path: Path) -> None:
    done = push(dataset, repository(hub), shard_bytes=three(dataset))
    assert done.sent == len(shards(hub)) >= 3 and hub.private == {"lab/scenes": True}
    found = pull(repository(hub), tmp_path / "out")
    assert found.fingerprint == dataset.fingerprint and found.classes == dataset.classes
    assert list(found.records) == list(dataset.records)
    for record in dataset.records:
        assert (found.read(record) == dataset.read(record)).all()
        assert not found.media_path(record.media).is_symlink()
    assert not list(tmp_path.glob(".*"))


def test_nothing_of_this_machine_is_sent(hub: FakeHub, dataset: Dataset) -> None:
    push(dataset, repository(hub))
    told = b"".join(data for path, data in hub.tree.items() if not path.endswith(".tar"))
    assert str(dataset.root.parent).encode() not in told
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_a_push_cut_short_goes_on_and_sends_no_shard_twice(
    hub: FakeHub, dataset: Dataset, tmp_path: Path
) -> None:
    real = repository(hub)
    sent = []

    class Failing:
        """The wire breaks after two shards."""

        name = real.name

        def __getattr__(self, key: str) -> Any:
            return getattr(real, key)

        def commit(self, *words: Any) -> None:
            if len(sent) == 2:
                raise DatasetError("the wire broke")
            sent.append(words)
            real.commit(*words)

    with pytest.raises(DatasetError, match="the wire broke"):
        push(dataset, Failing(), shard_bytes=three(dataset))  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="no whole dataset"):
        pull(repository(hub), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    uploads = hub.counts["upload"]
    done = push(dataset, repository(hub), shard_bytes=three(dataset))
    assert (done.there, done.sent) == (2, len(shards(hub)) - 2)
    assert hub.counts["upload"] - uploads == done.sent + 2  # records.parquet and media.parquet
    assert pull(repository(hub), tmp_path / "out").fingerprint == dataset.fingerprint


def test_a_pull_cut_short_goes_on_with_what_is_there(hub: FakeHub, dataset: Dataset, tmp_path: Path) -> None:
    push(dataset, repository(hub), shard_bytes=three(dataset))
    real = repository(hub)

    class Failing:
        name = real.name

        def __getattr__(self, key: str) -> Any:
            return getattr(real, key)

        def download(self, path: str, commit: str, folder: Path) -> Path:
            if path == shards(hub)[2]:
                raise DatasetError("the wire broke")
            return real.download(path, commit, folder)

    with pytest.raises(DatasetError, match="the wire broke"):
        pull(Failing(), tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists() and (tmp_path / ".out.pull").is_dir()
    before = hub.counts["download"]
    assert pull(repository(hub), tmp_path / "out").fingerprint == dataset.fingerprint
    assert hub.counts["download"] - before == len(shards(hub)) - 2 + 0  # no small file, no shard again
    assert not (tmp_path / ".out.pull").exists()


def test_a_download_cut_in_the_middle_is_gone_on_with(hub: FakeHub, dataset: Dataset, tmp_path: Path) -> None:
    push(dataset, repository(hub))
    hub.cut = 5000
    assert pull(repository(hub), tmp_path / "out").fingerprint == dataset.fingerprint
    assert hub.cut == 0 and hub.counts["download"] > len(hub.tree) - 1  # one more, and README.md is not asked


def test_a_new_version_takes_the_old_shards_place_and_shares_what_is_the_same(
    hub: FakeHub, dataset: Dataset, tmp_path: Path
) -> None:
    push(dataset, repository(hub), shard_bytes=three(dataset))
    old, commit = shards(hub), hub.head
    frame = dataset.to_pandas()
    kept = sorted(set(frame["id"]))[:-1]
    smaller = Dataset.from_pandas(frame[frame["id"].isin(kept)], dataset, tmp_path / "less", absent="drop")
    done = push(smaller, repository(hub), shard_bytes=three(dataset))
    assert done.there >= 1 and set(shards(hub)) != set(old) and len(shards(hub)) == done.there + done.sent
    assert pull(repository(hub), tmp_path / "new").fingerprint == smaller.fingerprint
    first = HubRepository(ADDRESS, endpoint=hub.endpoint, revision=commit)
    first.head = lambda: commit  # type: ignore[method-assign]
    assert pull(first, tmp_path / "old").fingerprint == dataset.fingerprint


def test_what_was_changed_on_the_way_is_refused_and_nothing_is_left(
    hub: FakeHub, dataset: Dataset, tmp_path: Path
) -> None:
    push(dataset, repository(hub))
    name = shards(hub)[0]
    whole = hub.tree[name]
    hub.tree[name] = whole[:700] + bytes([whole[700] ^ 1]) + whole[701:]
    with pytest.raises(DatasetError, match="its hash is another"):
        pull(repository(hub), tmp_path / "out")
    hub.tree[name] = whole
    manifest = json.loads(hub.tree["sightline.json"])
    wrong = json.dumps(manifest | {"fingerprint": "0" * 16}).encode()
    hub.add_commit(hub.tree | {"sightline.json": wrong})
    with pytest.raises(DatasetError, match="the manifest says 0000"):
        pull(repository(hub), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "link.png"])
def test_a_shard_that_reaches_out_of_its_folder_is_refused(
    hub: FakeHub, dataset: Dataset, tmp_path: Path, name: str
) -> None:
    push(dataset, repository(hub))
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        member = tarfile.TarInfo(name)
        if name == "link.png":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member, io.BytesIO())
    import hashlib

    shard = shards(hub)[0]
    hub.tree[shard] = data.getvalue()
    manifest = json.loads(hub.tree["sightline.json"])
    manifest["shards"][0]["sha256"] = hashlib.sha256(data.getvalue()).hexdigest()
    hub.tree["sightline.json"] = json.dumps(manifest).encode()
    with pytest.raises(DatasetError, match="no plain file below it"):
        pull(repository(hub), tmp_path / "sub" / "out")
    assert not list(tmp_path.rglob("evil.png")) and not (tmp_path / "sub" / "out").exists()


def test_media_changed_since_the_import_are_not_pushed(hub: FakeHub, tmp_path: Path) -> None:
    write_coco_scenes(tmp_path / "labels", 2, size_wh=(96, 64))
    found, _ = import_dataset(tmp_path / "labels", tmp_path / "data", media="copy")
    path = found.media_path(found.records[0].media)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(MediaError, match="not what it was"):
        push(found, repository(hub))
    assert "sightline.json" not in hub.tree


def test_refusals_name_the_repository_and_what_to_do(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="hf://lab/scenes: is not there, or not for this account"):
        pull(repository(hub), tmp_path / "out")
    nobody = HubRepository(ADDRESS, endpoint="http://127.0.0.1:9")
    with pytest.raises(DatasetError, match="the Hub failed"):
        nobody.head()
    for address in ("lab/scenes", "hf://scenes", "hf://a/b/c", "https://huggingface.co/a/b"):
        with pytest.raises(UsageError, match="names no repository"):
            repository_name(address)
    assert repository_name("hf://datasets/lab/scenes") == "lab/scenes"


def test_the_commands_push_and_pull(
    hub: FakeHub, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["push", str(dataset.root), ADDRESS], ["pull", ADDRESS, str(tmp_path / "out")]):
        with pytest.raises(SystemExit) as stop:
            main([*words, "--endpoint", hub.endpoint])
        assert not stop.value.code
    assert capsys.readouterr().out.count(dataset.fingerprint) == 2
