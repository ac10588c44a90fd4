"""The eleven versions of the reference system as presets of our parts: `model` sections of a problem file.

What the reference publishes is kept: inputs, backbones, necks, what is told of the past, how visibility is
judged. What it does not publish (widths, sizes of hidden layers) is ours. Versions that differ in training
only have the same model here; `TRAINING` says what differs.
"""

from __future__ import annotations

from typing import Any

COARSE_INPUT: dict[str, Any] = {"size": [300, 300], "fit": "stretch", "frames": 4}
FINE_INPUT: dict[str, Any] = {"size": [224, 224], "fit": "native", "frames": 4}

VERSIONS: dict[str, dict[str, Any]] = {
    "coarse-v1": {
        "name": "locate-pooled",
        "input": COARSE_INPUT,
        "options": {"backbone": "efficientnet_b3", "past": "conv", "hidden": [512], "margin": 0.01},
    },
    "coarse-v2": {
        "name": "locate-pooled",
        "input": COARSE_INPUT,
        "options": {"backbone": "efficientnet_b3", "past": "conv", "hidden": [512, 256, 128], "margin": 0.01},
    },
    "coarse-v3": {
        "name": "locate-pooled",
        "input": COARSE_INPUT,
        "options": {
            "backbone": "efficientnet_b3",
            "past": "conv",
            "hidden": [512, 256],
            "margin": 0.01,
            "guesses": 3,
        },
    },
    "coarse-v4": {
        "name": "locate-coarse",
        "input": COARSE_INPUT,
        "options": {
            "backbone": "efficientnetv2_b3",
            "deepest": 32,
            "neck": "bifpn",
            "rounds": 2,
            "width": 64,
            "stride": 4,
            "fusion": "features",
            "prior": "last",
            "visibility": "linear",
            "loss": "heatmap",
            "sharpen": 2.0,
        },
    },
    "fine-v1": {
        "name": "locate-pooled",
        "input": FINE_INPUT,
        "options": {"backbone": "efficientnet_b0", "past": "conv", "hidden": [512], "margin": 0.02},
    },
    "fine-v2": {
        "name": "locate-pooled",
        "input": FINE_INPUT,
        "options": {"backbone": "efficientnet_b0", "past": "raw", "hidden": [512], "margin": 0.02},
    },
    "fine-v3": {
        "name": "locate-pooled",
        "input": FINE_INPUT,
        "options": {
            "backbone": "efficientnet_b0",
            "past": "raw",
            "hidden": [512, 256],
            "heads": "two",
            "margin": 0.02,
        },
    },
    "fine-v4": {
        "name": "locate-fine",
        "input": FINE_INPUT,
        "options": {
            "backbone": "efficientnet_b0",
            "deepest": 32,
            "neck": "fpn",
            "width": 64,
            "stride": 16,
            "fusion": "features",
            "prior": "quadratic",
            "film": True,
            "visibility": "linear",
            "loss": "heatmap+distance",
            "sharpen": 1.0,
        },
    },
    "fine-v5": {
        "name": "locate-fine",
        "input": FINE_INPUT,
        "options": {
            "backbone": "efficientnet_b0",
            "deepest": 32,
            "neck": "fpn",
            "width": 64,
            "stride": 16,
            "fusion": "features",
            "prior": "quadratic",
            "film": True,
            "visibility": "linear",
            "loss": "heatmap+distance",
            "sharpen": 1.0,
        },
    },
    "fine-v6": {
        "name": "locate-fine",
        "input": FINE_INPUT,
        "options": {
            "backbone": "efficientnetv2_b0",
            "deepest": 32,
            "neck": "bifpn",
            "rounds": 4,
            "width": 64,
            "stride": 4,
            "fusion": "features",
            "visibility": "none",
            "loss": "heatmap+distance",
            "sharpen": 1.0,
        },
    },
    "fine-v7": {
        "name": "locate-fine",
        "input": FINE_INPUT,
        "options": {
            "backbone": "efficientnetv2_b0",
            "deepest": 32,
            "neck": "bifpn",
            "rounds": 4,
            "width": 64,
            "stride": 4,
            "fusion": "features",
            "prior": "quadratic",
            "visibility": "none",
            "loss": "heatmap+distance",
            "sharpen": 1.0,
        },
    },
}

# What a version changes in the `train` section, over one budget for all. No version decays biases and norms
# (the reference began that with fine-v3; here it is the rule), and noise is drawn anew for each sample's
# strength unless it is said to be constant.
CONSTANT_NOISE: dict[str, Any] = {"augment": {"noise": 12.0, "noise_strength": "constant"}}
RANDOM_NOISE: dict[str, Any] = {"augment": {"noise": 24.0, "noise_strength": "random"}}

TRAINING: dict[str, dict[str, Any]] = {
    **dict.fromkeys(VERSIONS, CONSTANT_NOISE),
    "fine-v5": RANDOM_NOISE,
    "fine-v6": RANDOM_NOISE,
    "fine-v7": RANDOM_NOISE,
}
