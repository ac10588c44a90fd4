"""Heatmaps over pictures: where a locator looks, and how sure it is."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
# The heat is laid over the picture no stronger than this, so that what lies under its peak can be seen.
STRONGEST = 0.75


def draw_heat(picture: NDArray[Any], heat: NDArray[Any]) -> Pixels:
    """A picture with a heatmap over it, each cell as large as it is in the picture.

    Args:
        picture: RGB (H, W, 3) uint8.
        heat: (h, w), any scale from 0: its highest cell is drawn strongest, 0 not at all.

    Returns:
        RGB (H, W, 3) uint8: the picture in grey, the heat in colour from dark red to yellow.
    """
    height, width = picture.shape[:2]
    top = float(heat.max()) if heat.size else 0.0
    share = np.clip(heat / top, 0, 1).astype(np.float32) if top > 0 else np.zeros((1, 1), np.float32)
    wide = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
    colour = cv2.applyColorMap((255 * wide).astype(np.uint8), cv2.COLORMAP_HOT)[:, :, ::-1]
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    alpha = (STRONGEST * np.sqrt(wide))[:, :, None]
    return np.asarray(np.round(grey * (1 - alpha) + colour * alpha), dtype=np.uint8)
