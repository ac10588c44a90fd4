"""From a model's name to a model: built in, a plug-in's, or any timm backbone for whole pictures."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec, Task
from sightline.models.base import Model

GROUP = "sightline.models"

# Name -> "module:function". The function is called as `function(name, tasks, classes, inputs, **options)`
# with `tasks` and `inputs` None where the model's own defaults are wanted; its keyword-only parameters
# are the options, and their annotations are what the values are checked against.
MODELS: dict[str, str] = {
    "resnet50": "sightline.models.classify:build",
    "mobilenetv3": "sightline.models.classify:build",
    "efficientnet_b0": "sightline.models.classify:build",
    "efficientnetv2_b0": "sightline.models.classify:build",
    "efficientnetv2_b3": "sightline.models.classify:build",
    "ddrnet_23_slim": "sightline.models.ddrnet:build",
    "ddrnet_23": "sightline.models.ddrnet:build",
    "unet": "sightline.models.unet:build",
    "locator": "sightline.models.locate:build",
    "locate-coarse": "sightline.models.locate:build",
    "locate-fine": "sightline.models.locate:build",
    "locate-pooled": "sightline.models.locate_pooled:build",
    "segdepth": "sightline.models.segdepth:build",
    "rgbd": "sightline.models.rgbd:build",
    "detr": "sightline.models.detr:build",
    "maskrcnn": "sightline.models.maskrcnn:build",
    "yolo-n": "sightline.models.yolo:build",
    "yolo-s": "sightline.models.yolo:build",
    "yolo-m": "sightline.models.yolo:build",
    "yolo-l": "sightline.models.yolo:build",
}

Factory = Callable[..., Model]


def build(
    name: str,
    tasks: Sequence[Task] | None = None,
    classes: Sequence[str] = (),
    inputs: Mapping[str, InputSpec] | None = None,
    **options: Any,
) -> Model:
    """A model with random weights, ready for `weights.load_weights`.

    Args:
        name: a key of `MODELS`, the name of an entry point in the group `sightline.models`, or a timm
            architecture (then the task is `classify`).
        tasks: what it must answer; None takes the architecture's own.
        classes: names, 0-based and contiguous.
        inputs: named inputs; None takes the architecture's own (name, size and pixels).
        options: the architecture's own; each is checked for name and type.

    Raises:
        ModelError: no such model or option (the nearest is named), or a task, input or value that the
            architecture cannot take.

    Example:
        >>> model = build("resnet50", classes=("cat", "dog"))
        >>> model.signature.tasks
        ('classify',)
    """
    factory = resolve(name)
    given = checked_options(name, factory, options)
    wanted = None if tasks is None else tuple(tasks)
    specs = None if inputs is None else dict(inputs)
    model = factory(name, wanted, tuple(classes), specs, **given)
    if not isinstance(model, Model):
        raise ModelError(f"its function gave a {type(model).__name__}, no Model", where=f"model {name!r}")
    if wanted is not None and set(model.signature.tasks) != set(wanted):
        raise ModelError(
            f"answers {', '.join(model.signature.tasks)}, not {', '.join(wanted)}",
            where=f"model {name!r}",
            remedy="choose a model made for the task",
        )
    return model


def resolve(name: str) -> Factory:
    """The function that builds `name`.

    Raises:
        ModelError: no built-in, plug-in or timm architecture has this name.
    """
    if name in MODELS:
        module, _, function = MODELS[name].partition(":")
        factory: Factory = getattr(import_module(module), function)
        return factory
    plugins = {point.name: point for point in entry_points(group=GROUP)}
    if name in plugins:
        return _plugged(plugins[name])
    import timm

    if timm.is_model(name):
        return resolve("resnet50")
    known = [*MODELS, *plugins, *timm.list_models()]
    raise ModelError(f"{name!r} is no model", remedy=f"{nearest(name, known)} built in: {', '.join(MODELS)}")


def _plugged(point: EntryPoint) -> Factory:
    try:
        loaded: Factory = point.load()
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"its plug-in {point.value} cannot be loaded ({error})", where=f"model {point.name!r}"
        ) from error
    return loaded


def nearest(word: str, known: Iterable[str]) -> str:
    """A clause that names the known word nearest to `word`, empty where none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""


def checked_options(name: str, factory: Factory, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the factory's annotations want them, without defaults filled in.

    Raises:
        ModelError: an option that the model does not have, or a value of the wrong kind.
    """
    kinds = get_type_hints(factory, include_extras=True)
    known = {
        parameter.name: (kinds[parameter.name], parameter.default)
        for parameter in inspect.signature(factory).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    for option in options:
        if option not in known:
            hint = nearest(option, known) or f"its options: {', '.join(known) or 'none'}"
            raise ModelError(f"has no option {option!r}", where=f"model {name!r}", remedy=hint)
    shape: dict[str, Any] = known
    form = create_model("Options", __config__=ConfigDict(arbitrary_types_allowed=True), **shape)
    try:
        filled = form(**options)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['input']!r}: {item['msg']}"
            for item in error.errors()
        )
        raise ModelError(faults, where=f"options of model {name!r}") from None
    return {option: getattr(filled, option) for option in options}
