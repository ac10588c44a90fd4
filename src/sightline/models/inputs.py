"""First layers, and the checks of what an architecture is asked to read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.core.specs import InputSpec, Pixels, Task
from sightline.models.base import Normalise

Specs = dict[str, InputSpec]

TRACK = "track"


class Grey(nn.Module):
    """First layer for grey: uint8 (..., H, W) to f32 (..., 3, H, W), as a colour picture without colour."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = Normalise()

    def forward(self, pictures: Tensor) -> Tensor:
        """Raw pixels to centred floats, channels first."""
        scaled: Tensor = self.colour(pictures.unsqueeze(-1).expand(*pictures.shape, 3))
        return scaled


class Depth(nn.Module):
    """First layer for depth: uint16 millimetres (B, H, W) to f32 (B, 2, H, W).

    The channels are the logarithm of the distance (0 at one metre, 1 at ten) and 1 where it is known;
    unknown places are 0 in both.
    """

    def forward(self, millimetres: Tensor) -> Tensor:
        """Raw pixels to floats, channels first."""
        metres = millimetres.float() / 1000
        known = (metres > 0).float()
        log = torch.log10(metres.clamp_min(1e-3)) * known
        return torch.stack([log, known], dim=1)


def first_layer(spec: InputSpec) -> nn.Module:
    """The layer from raw pixels of `spec` to floats (B, C, H, W): 3 channels of colour, 2 of depth."""
    layers: dict[Pixels, type[nn.Module]] = {"rgb8": Normalise, "grey8": Grey, "depth16": Depth}
    return layers[spec.pixels]()


def only_input(
    name: str, inputs: Specs | None, default: InputSpec, *, clips: bool = False
) -> tuple[str, InputSpec]:
    """The one colour or grey input of a model, or its default, by name.

    Raises:
        ModelError: several inputs, depth, or a clip where the model reads single pictures.
    """
    if inputs is None:
        return ("clip" if default.frames > 1 else "image"), default
    if len(inputs) != 1:
        raise ModelError(f"reads one input, not {len(inputs)}: {', '.join(inputs)}", where=f"model {name!r}")
    key, spec = next(iter(inputs.items()))
    if spec.pixels not in ("rgb8", "grey8"):
        raise ModelError(f"reads rgb8 or grey8, not {spec.pixels}", where=f"model {name!r}, input {key!r}")
    if spec.frames > 1 and not clips:
        raise ModelError(
            f"reads single pictures, not clips of {spec.frames} frames",
            where=f"model {name!r}, input {key!r}",
            remedy="set frames: 1",
        )
    return key, spec


def with_track(name: str, inputs: Specs | None, rows: int) -> tuple[Specs | None, Specs]:
    """The inputs that show pictures, and `{"track": spec}` where a model reads `rows` past points, else `{}`.

    Raises:
        ModelError: a track that the model does not read, by name or by length.
    """
    tracks = {key: spec for key, spec in (inputs or {}).items() if spec.pixels == "track"}
    if not rows and tracks:
        raise ModelError(f"reads no track {next(iter(tracks))!r}", where=f"model {name!r}")
    if tracks and (set(tracks) != {TRACK} or tracks[TRACK].frames != rows):
        raise ModelError(f"reads one track, {TRACK!r} of {rows} frames", where=f"model {name!r}")
    pictures = None if inputs is None else {key: spec for key, spec in inputs.items() if key not in tracks}
    if not rows:
        return pictures, {}
    return pictures, tracks or {TRACK: InputSpec((1, 1), pixels="track", frames=rows)}


def only_task(name: str, tasks: Sequence[Task] | None, task: Task) -> None:
    """Refuse any task but `task`.

    Raises:
        ModelError: other tasks are asked for.
    """
    if tasks is not None and tuple(tasks) != (task,):
        raise ModelError(f"answers {task}, not {', '.join(tasks)}", where=f"model {name!r}")


def need_classes(name: str, classes: Sequence[str], least: int = 1) -> None:
    """Refuse to build without enough class names.

    Raises:
        ModelError: fewer than `least`.
    """
    if len(classes) < least:
        raise ModelError(f"needs at least {least} classes, given {len(classes)}", where=f"model {name!r}")
