"""timm networks without their heads: features of a whole picture, or maps at several strides."""

from __future__ import annotations

from typing import Any

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


def pooled(name: str, size_hw: tuple[int, int], **options: Any) -> nn.Module:
    """A timm network from (B, 3, H, W) to one feature vector (B, D) a picture.

    Networks that work at one size only (most transformers) are made for `size_hw`.
    """
    full = timm_name(name)
    config = timm.get_pretrained_cfg(full)
    if config is not None and config.fixed_input_size:
        options["img_size"] = size_hw
    try:
        network: nn.Module = timm.create_model(full, pretrained=False, num_classes=0, **options)
    except (AssertionError, TypeError, ValueError) as error:
        raise ModelError(f"cannot be built at {size_hw[1]}x{size_hw[0]}: {error}", where=name) from error
    return network


def feature_width(network: nn.Module) -> int:
    """Length of the vector that a network of `pooled` gives."""
    width = getattr(network, "head_hidden_size", None) or network.num_features
    return int(str(width))


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
        full = timm_name(name)
        try:
            probe: Any = timm.create_model(full, pretrained=False, features_only=True)
        except (RuntimeError, AttributeError, TypeError, ValueError) as error:
            raise ModelError(f"backbone {name!r} offers no feature maps: {error}") from error
        picked = [i for i, stride in enumerate(probe.feature_info.reduction()) if least <= stride <= most]
        if not picked:
            raise ModelError(f"backbone {name!r} has no maps of stride {least} to {most}")
        net: Any = timm.create_model(
            full, pretrained=False, features_only=True, out_indices=picked, in_chans=channels_in
        )
        self.net: nn.Module = net
        info = net.feature_info
        self.strides: tuple[int, ...] = tuple(info.reduction())
        self.widths: tuple[int, ...] = tuple(info.channels())

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Maps (B, C_i, H_i, W_i), finest first."""
        maps: list[Tensor] = self.net(pixels)
        return [m if m.shape[1] == w else m.movedim(-1, 1) for m, w in zip(maps, self.widths, strict=True)]
