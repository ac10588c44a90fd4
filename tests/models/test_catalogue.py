from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from contracts.made import made_batch
from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec
from sightline.models import catalogue
from sightline.models.catalogue import MODELS, build

PAIR = ("cat", "dog")


@pytest.mark.parametrize("name", MODELS)
def test_every_listed_name_leads_to_a_function(name: str) -> None:
    module, _, function = MODELS[name].partition(":")
    assert callable(getattr(import_module(module), function))


def test_a_wrong_name_names_the_nearest() -> None:
    with pytest.raises(ModelError, match="did you mean 'resnet50'"):
        build("resnet5O", classes=PAIR)


def test_a_wrong_option_names_the_nearest() -> None:
    with pytest.raises(ModelError, match="no option 'label_smothing'; did you mean 'label_smoothing'"):
        build("test_resnet", classes=PAIR, label_smothing=0.1)


def test_an_option_out_of_range_is_refused_with_its_value() -> None:
    with pytest.raises(ModelError, match=r"label_smoothing: 2: .*less than 1"):
        build("test_resnet", classes=PAIR, label_smoothing=2)


def test_an_option_given_as_text_is_read_as_its_type() -> None:
    assert build("test_resnet", classes=PAIR, label_smoothing="0.1").label_smoothing == 0.1


def test_another_task_is_refused() -> None:
    with pytest.raises(ModelError, match="answers classify, not detect"):
        build("test_resnet", tasks=["detect"], classes=PAIR)


def test_a_clip_is_refused_by_a_model_of_pictures() -> None:
    with pytest.raises(ModelError, match="not clips of 3 frames; set frames: 1"):
        build("test_resnet", classes=PAIR, inputs={"clip": InputSpec((32, 32), frames=3)})


def test_too_few_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="at least 2 classes, given 1"):
        build("test_resnet", classes=["cat"])


def test_any_timm_name_is_a_classifier_of_whole_pictures() -> None:
    model = build("test_vit", classes=PAIR, inputs={"image": InputSpec((48, 32))})
    answers = model(made_batch(model.signature, 2).inputs)
    assert answers["classify.scores"].shape == (2, 2)


def test_a_grey_picture_is_read() -> None:
    model = build("test_resnet", classes=PAIR, inputs={"image": InputSpec((48, 32), pixels="grey8")})
    assert model(made_batch(model.signature, 2).inputs)["classify.scores"].shape == (2, 2)


def test_a_plug_in_is_looked_up_when_the_name_is_not_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", "sightline.models.classify:build", catalogue.GROUP)
    seen: list[Any] = []

    def points(group: str) -> EntryPoints:
        seen.append(group)
        return EntryPoints([point])

    monkeypatch.setattr(catalogue, "entry_points", points)
    assert catalogue.resolve("mine") is catalogue.resolve("resnet50")
    assert seen == ["sightline.models"]


def test_a_plug_in_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", "no_such_package.mine:build", catalogue.GROUP)
    monkeypatch.setattr(catalogue, "entry_points", lambda group: EntryPoints([point]))
    with pytest.raises(ModelError, match=r"'mine': its plug-in no_such_package\.mine:build cannot be loaded"):
        build("mine")


def test_a_plug_in_that_gives_no_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "resolve", lambda name: lambda name, tasks, classes, inputs: 3)
    with pytest.raises(ModelError, match="its function gave a int, no Model"):
        build("mine")
