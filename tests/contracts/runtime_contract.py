"""What every runtime must do. A plug-in's author subclasses `RuntimeContract` and names the runtime."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from sightline.core.errors import PackageError
from sightline.core.manifest import Manifest, stage_file
from sightline.core.results import same
from sightline.runtime.loading import load, resolve
from sightline.runtime.options import RuntimeOptions


class RuntimeContract:
    """Needs the fixture `packages`: folders of tiny packages by task, whose input is called `image`."""

    runtime: ClassVar[str] = "onnx"
    tasks = ("classify", "detect", "segment", "locate")

    def pictures(self, count: int = 6) -> list[dict[str, Any]]:
        random = np.random.default_rng(1)
        sizes = [(37, 90), (90, 37), (48, 64), (200, 150), (51, 49), (300, 80)]
        return [{"image": random.integers(0, 256, (*sizes[i % 6], 3)).astype(np.uint8)} for i in range(count)]

    @pytest.mark.parametrize("task", tasks)
    def test_a_batch_answers_as_its_elements_do_alone(self, packages: dict[str, Path], task: str) -> None:
        predictor = load(packages[task], threads=1, runtime=self.runtime)
        placed, _ = predictor.place(self.pictures())
        together = predictor.infer(placed)
        for i in range(len(placed["image"])):
            alone = predictor.infer({"image": placed["image"][i : i + 1]})
            for name, value in together.items():
                assert np.allclose(value[i], alone[name][0], atol=1e-4), (name, i)

    @pytest.mark.parametrize("mode", ["latency", "throughput"])
    @pytest.mark.parametrize("task", tasks)
    def test_threads_get_what_one_gets(self, packages: dict[str, Path], task: str, mode: Any) -> None:
        predictor = load(packages[task], threads=2, mode=mode, runtime=self.runtime, batch=1)
        pictures = self.pictures()
        alone = [predictor.predict([p])[0][task] for p in pictures]
        with ThreadPoolExecutor(4) as pool:
            rounds = list(pool.map(lambda i: predictor.predict([pictures[i % 6]])[0][task], range(60)))
        assert all(same(result, alone[i % 6]) for i, result in enumerate(rounds))

    def test_an_answer_stays_when_the_next_one_is_made(self, packages: dict[str, Path]) -> None:
        predictor = load(packages["classify"], threads=1, runtime=self.runtime)
        placed, _ = predictor.place(self.pictures())
        first = predictor.infer(placed)
        kept = {name: value.copy() for name, value in first.items()}
        predictor.infer({"image": 255 - placed["image"]})
        assert all(np.array_equal(first[name], kept[name]) for name in kept)

    def test_bytes_that_are_no_model_are_refused(self, packages: dict[str, Path]) -> None:
        stage = Manifest.read(packages["classify"]).stages["model"]
        with pytest.raises(PackageError):
            resolve(self.runtime)(b"not a model", stage, RuntimeOptions(threads=1))

    def test_a_graph_that_lacks_an_output_is_refused(self, packages: dict[str, Path]) -> None:
        stage = Manifest.read(packages["classify"]).stages["model"]
        other = Manifest.read(packages["detect"]).stages["model"]
        data = stage_file(packages["classify"], stage).read_bytes()
        with pytest.raises(PackageError, match=r"detect\.boxes"):
            resolve(self.runtime)(data, other, RuntimeOptions(threads=1))
