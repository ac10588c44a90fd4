"""The last places of located objects, for drawing behind them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.results import Points, Result

LENGTH = 12


class Trails:
    """Remembers the points of one source, frame by frame; where one is hidden it leaves a gap."""

    def __init__(self) -> None:
        self._past: deque[NDArray[np.float64]] = deque(maxlen=LENGTH)

    def push(self, results: Mapping[str, Result]) -> list[NDArray[Any]]:
        """Trails (N, 2) of every point so far, this frame's last; none where nothing is located."""
        found = next((result for result in results.values() if isinstance(result, Points)), None)
        if found is None:
            return []
        places = found.points.astype(np.float64)
        places[~found.seen] = np.nan
        self._past.append(places)
        return [np.stack([frame[k] for frame in self._past]) for k in range(len(places))]
