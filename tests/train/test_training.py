from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sightline.core.errors import DatasetError, StorageError, TrainingFailed, UsageError, WeightsError
from sightline.train import Run, train, training
from sightline.train.checkpoint import save_tensors
from sightline.train.engine import Engine
from sightline.train.loop import fit
from sightline.train.run import config_key
from train.toys import HalfSplit, MemoryDataset, TinyClassifier, problem

pytestmark = pytest.mark.usefixtures("tiny")


class Killed(BaseException):
    """Stands for kill -9: nothing in the loop catches it."""


def final_weights(run: Run) -> dict[str, torch.Tensor]:
    state = json.loads((run.folder / "last" / "state.json").read_text())
    return load_file(run.folder / "last" / state["file"])


def trained(folder: Path, **section: object) -> Run:
    dataset = MemoryDataset()
    return train(problem(**section), dataset, HalfSplit(dataset), folder, progress=False)


@pytest.mark.parametrize(
    ("precision", "optimizer", "sampling", "workers"),
    [("f32", "adamw", "loss", 2), ("bf16", "sgd", "plain", 0)],
)
def test_a_run_killed_at_any_step_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    optimizer: str,
    sampling: str,
    workers: int,
) -> None:
    section = {
        "epochs": 3,
        "batch": 3,
        "accumulate": 2,
        "ema": 0.9,
        "precision": precision,
        "optimizer": optimizer,
        "sampling": sampling,
        "workers": workers,
        "save_minutes": 1e-9,
    }
    whole = final_weights(trained(tmp_path / "whole", **section))
    steps = 0
    from sightline.train import loop

    optimise = loop.optimise

    def mortal(engine: Engine, batches: list[object]) -> dict[str, float]:
        nonlocal steps
        steps += 1
        if steps in (2, 5, 6):
            raise Killed
        return optimise(engine, batches)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "optimise", mortal)
    for _ in range(3):
        with pytest.raises(Killed):
            trained(tmp_path / "killed", **section)
    parts = final_weights(trained(tmp_path / "killed", **section))
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert value.numpy().tobytes() == parts[name].numpy().tobytes(), name


def test_a_finished_run_gives_its_best_weights_and_predicts(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", epochs=3)
    assert run.done
    assert run.best["val.loss"] == min(row["val"]["val.loss"] for row in run.rows)
    dataset = MemoryDataset()
    results = run.predictor().predict([{"image": dataset.read(dataset.record("1"))}])
    assert results[0]["classify"].scores.shape == (2,)


def test_the_same_folder_goes_on_and_another_config_is_refused(tmp_path: Path) -> None:
    trained(tmp_path / "run", epochs=1)
    again = trained(tmp_path / "run", epochs=1, workers=1)
    assert len(again.rows) == 1
    with pytest.raises(UsageError, match=r"different: train\.lr"):
        trained(tmp_path / "run", epochs=1, lr=0.5)
    dataset = MemoryDataset()
    with pytest.raises(UsageError, match="--resume"):
        train(problem(epochs=1), dataset, HalfSplit(dataset), tmp_path / "run", resume=False)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        trained(tmp_path, epochs=1)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no run\.json"):
        Run.open(tmp_path)


def test_a_state_cut_short_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", epochs=1)
    (state,) = (run.folder / "last").glob("*.safetensors")
    state.write_bytes(state.read_bytes()[:-100])
    config = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps(config | {"epochs": 2}))
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        trained(tmp_path / "run", epochs=1)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(TinyClassifier):
        def raw(self, inputs):  # type: ignore[no-untyped-def]
            out = super().raw(inputs)
            return {"logits": self.head(out["logits"].repeat(1, 4) * float("inf"))}

    monkeypatch.setattr("sightline.train.run.build", lambda name, **_: Broken())
    with pytest.raises(TrainingFailed, match=r"not a number.*output of head \(Linear\)"):
        trained(tmp_path / "run", epochs=1)
    cause = json.loads((tmp_path / "run" / "failed" / "cause.json").read_text())
    kept = load_file(tmp_path / "run" / "failed" / "batch.safetensors")
    assert cause["step"] == 0 and len(cause["indices"]) == len(kept["input.image"])
    assert kept["target.0.label"].dtype == torch.int64


def test_memory_that_runs_out_halves_the_micro_batch_and_the_gradient_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hungry(TinyClassifier):
        largest = 99

        def __init__(self) -> None:
            super().__init__()
            for module in self.modules():  # statistics over the micro-batch would differ by its size
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = 0.0
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0

        def losses(self, batch):  # type: ignore[no-untyped-def]
            if torch.is_grad_enabled() and len(batch) > self.largest:
                raise RuntimeError("CUDA out of memory (as it were)")
            self.eval()
            return super().losses(batch)

    monkeypatch.setattr("sightline.train.run.build", lambda name, **_: Hungry())
    plenty = final_weights(trained(tmp_path / "plenty", epochs=1))
    monkeypatch.setattr(Hungry, "largest", 1)
    scarce = trained(tmp_path / "scarce", epochs=1)
    state = json.loads((scarce.folder / "last" / "state.json").read_text())
    assert state["state"]["pieces"] == 4
    for name, value in final_weights(scarce).items():
        if name.startswith("model.") and value.is_floating_point():
            assert torch.allclose(value, plenty[name], atol=2e-3), name
    monkeypatch.setattr(Hungry, "largest", 0)
    with pytest.raises(TrainingFailed, match="single element"):
        trained(tmp_path / "none", epochs=1)


def test_patience_stops_a_run_that_no_longer_improves(tmp_path: Path) -> None:
    dataset = MemoryDataset()
    falling = iter([0.5, 0.6, 0.7, 0.1, 0.1, 0.1])
    run = train(
        problem(epochs=6, patience=2, monitor="score.loss"),
        dataset,
        HalfSplit(dataset),
        tmp_path / "run",
        progress=False,
        validate=lambda model, epoch: {"score.loss": next(falling)},
    )
    assert [row["best"] for row in run.rows] == [True, False, False]
    assert run.done


def test_a_tie_of_the_metric_goes_to_the_lower_loss(tmp_path: Path) -> None:
    dataset = MemoryDataset()
    figures = [(float("nan"), 3.0), (0.0, 3.5), (0.0, 2.0), (0.0, 2.5), (0.2, 9.0)]
    run = train(
        problem(epochs=5, monitor="detect.map"),
        dataset,
        HalfSplit(dataset),
        tmp_path / "run",
        progress=False,
        validate=lambda model, epoch: dict(zip(("detect.map", "val.loss"), figures[epoch], strict=True)),
    )
    assert [row["best"] for row in run.rows] == [True, True, True, False, True]
    assert run.best["detect.map"] == 0.2


def test_fit_is_what_train_calls_once_all_is_prepared(tmp_path: Path) -> None:
    dataset = MemoryDataset()
    asked = problem(epochs=1)
    run = training.begin(tmp_path / "run", asked, dataset, HalfSplit(dataset), resume=True)
    job = training.prepare(run, asked, dataset, HalfSplit(dataset), torch.device("cpu"), progress=False)
    state = fit(job)
    assert (state.epoch, state.at, state.step) == (1, 0, job.per_epoch)


def test_a_full_disk_is_told_and_leaves_the_last_state_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from sightline.train import checkpoint

    write = checkpoint.save_file
    calls = 0

    def full(tensors: object, path: object, metadata: object = None) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:  # the best weights and the state of the first epoch fit
            raise OSError(errno.ENOSPC, "No space left on device")
        write(tensors, path, metadata=metadata)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(StorageError, match="No space left on device"):
        trained(tmp_path / "run", epochs=3)
    monkeypatch.setattr(checkpoint, "save_file", write)
    assert len(trained(tmp_path / "run", epochs=3).rows) == 3


def test_scalars_that_a_model_names_reach_tensorboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class Telling(TinyClassifier):
        def __init__(self) -> None:
            super().__init__()
            self.scalars = {"temperature": torch.tensor(3.0)}

    monkeypatch.setattr("sightline.train.run.build", lambda name, **_: Telling())
    run = trained(tmp_path / "run", epochs=2)
    events = EventAccumulator(str(run.folder / "events"))
    events.Reload()
    tags = events.Tags()
    assert {"step/temperature", "step/lr", "step/classify", "train/loss", "val/val.loss", "time/wait"} <= set(
        tags["scalars"]
    )
    assert tags["images"] == ["predictions"]


def test_a_saved_state_that_was_cut_short_is_told(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", epochs=1)
    path = run.folder / "last" / "state.json"
    for text in (path.read_text()[:40], "{}", "[]"):
        path.write_text(text)
        with pytest.raises(WeightsError, match="is no whole state"):
            _ = run.done


def test_a_file_where_the_run_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place, error in ((tmp_path / "file", UsageError), (tmp_path / "file" / "below", StorageError)):
        with pytest.raises(error, match="file"):
            trained(place, epochs=1)


def test_a_file_that_outgrows_the_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(StorageError, match=r"big\.safetensors: cannot be written"):
            save_tensors(tmp_path / "big.safetensors", {"a": torch.zeros(1 << 16)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_run_is_another_where_the_weights_it_starts_from_changed(tmp_path: Path) -> None:
    dataset = MemoryDataset()
    asked = problem()
    model = asked.model.model_copy(update={"weights": str(tmp_path / "start.safetensors")})
    asked = asked.model_copy(update={"model": model})
    keys = []
    for text in ("one", "two", "one"):
        (tmp_path / "start.safetensors").write_text(text)
        keys.append(config_key(asked, dataset, HalfSplit(dataset)))
    assert keys[0] == keys[2] != keys[1]
