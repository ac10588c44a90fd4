"""timm networks without their heads: features of a whole picture, or maps at several strides."""

from __future__ import annotations

from typing import Any, cast

import timm
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.models.catalogue import nearest

# Short names of ours -> timm's. Any other name is timm's own.
PRESETS = {
    "mobilenetv3": "mobilenetv3_large_100",
    "efficientnetv2_b0": "tf_efficientnetv2_b0",
    "efficientnetv2_b3": "tf_efficientnetv2_b3",
}


def timm_name(name: str) -> str:
    """The name timm gives an architecture (a preset or timm's own).

    Raises:
        ModelError: timm has no such network.
    """
    full = PRESETS.get(name, name)
    if not timm.is_model(full):
        hint = nearest(full, [*PRESETS, *timm.list_models()])
        raise ModelError(f"{name!r} is no timm backbone", remedy=hint or "timm.list_models() lists them")
    return full


class Pooled(nn.Module):
    """A timm network from (B, 3, H, W) to one feature vector (B, D) a picture.

    Args:
        name: a preset or timm's own name.
        size_hw: input size; networks that work at one size only (most transformers) are made for it.
        options: further arguments of `timm.create_model`.

    Attributes:
        name: timm's name.
        width: length D of the vector.
    """

    def __init__(self, name: str, size_hw: tuple[int, int], **options: Any) -> None:
        super().__init__()
        self.name = timm_name(name)
        config = timm.get_pretrained_cfg(self.name)
        if config is not None and config.fixed_input_size:
            options["img_size"] = size_hw
        self._options = {"num_classes": 0, **options}
        try:
            net: Any = timm.create_model(self.name, pretrained=False, **self._options)
        except (AssertionError, TypeError, ValueError) as error:
            raise ModelError(f"cannot be built at {size_hw[1]}x{size_hw[0]}: {error}", where=name) from error
        self.net: nn.Module = net
        self.width = int(getattr(net, "head_hidden_size", None) or net.num_features)

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (B, D) of centred pixels."""
        features: Tensor = self.net(pixels)
        return features

    def fetch(self) -> dict[str, Tensor]:
        """The tensors of this module as timm publishes them, downloaded."""
        return fetched(self.name, self._options)


def fetched(name: str, options: dict[str, Any]) -> dict[str, Tensor]:
    """Published weights of a timm network, named as inside `Pooled` and `Maps`.

    Raises:
        ModelError: timm has published none. Errors of the network pass as they are.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise ModelError(f"timm publishes no weights for {name}")
    net: nn.Module = timm.create_model(name, pretrained=True, **options)
    return {f"net.{key}": value for key, value in net.state_dict().items()}


class Maps(nn.Module):
    """A timm network from (B, 3, H, W) to feature maps, finest first.

    Args:
        name: a preset or timm's own name; it must offer feature maps.
        least: finest stride kept, in pixels.
        most: coarsest stride kept.
        channels_in: channels of the input.

    Attributes:
        strides: of the maps, in pixels.
        widths: channels of the maps.
    """

    def __init__(self, name: str, *, least: int = 4, most: int = 32, channels_in: int = 3) -> None:
        super().__init__()
        self.name = timm_name(name)
        config = timm.get_pretrained_cfg(self.name)
        if config is not None and config.fixed_input_size:
            raise ModelError(f"backbone {name!r} works at one size only", remedy="choose a convolutional one")
        try:
            probe: Any = timm.create_model(self.name, pretrained=False, features_only=True)
        except (RuntimeError, AttributeError, TypeError, ValueError) as error:
            raise ModelError(f"backbone {name!r} offers no feature maps: {error}") from error
        picked = [i for i, stride in enumerate(probe.feature_info.reduction()) if least <= stride <= most]
        if not picked:
            raise ModelError(f"backbone {name!r} has no maps of stride {least} to {most}")
        self._options: dict[str, Any] = {
            "features_only": True,
            "out_indices": picked,
            "in_chans": channels_in,
        }
        net: Any = timm.create_model(self.name, pretrained=False, **self._options)
        self.net: nn.Module = _cut(net)
        info = net.feature_info
        self.strides: tuple[int, ...] = tuple(info.reduction())
        self.widths: tuple[int, ...] = tuple(info.channels())

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Maps (B, C_i, H_i, W_i), finest first."""
        maps: list[Tensor] = self.net(pixels)
        return [m if m.shape[1] == w else m.movedim(-1, 1) for m, w in zip(maps, self.widths, strict=True)]

    def fetch(self) -> dict[str, Tensor]:
        """The tensors of this module as timm publishes them, downloaded."""
        return fetched(self.name, self._options)


def _cut(net: Any) -> nn.Module:
    """A network of maps without the blocks past its last map: some of timm's keep and run them all."""
    stage, _, number = net.feature_info.module_name()[-1].partition(".")
    if stage == "blocks" and number.isdigit() and isinstance(getattr(net, "blocks", None), nn.Sequential):
        net.blocks = net.blocks[: int(number) + 1]
    return cast(nn.Module, net)
