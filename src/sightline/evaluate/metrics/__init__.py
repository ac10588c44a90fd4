"""The metric families, one a task, and what every figure means."""

from __future__ import annotations

from sightline.evaluate.metrics.base import Family, Measure
from sightline.evaluate.metrics.classify import Classify
from sightline.evaluate.metrics.depth import Depth
from sightline.evaluate.metrics.detect import Detect
from sightline.evaluate.metrics.instances import Instances
from sightline.evaluate.metrics.locate import Locate
from sightline.evaluate.metrics.panoptic import Panoptic
from sightline.evaluate.metrics.segment import Segment

FAMILIES: dict[str, type[Family]] = {
    "classify": Classify,
    "detect": Detect,
    "segment": Segment,
    "locate": Locate,
    "instances": Instances,
    "panoptic": Panoptic,
    "depth": Depth,
}

MEASURES: dict[str, Measure] = {
    f"{task}.{measure.name}": measure for task, family in FAMILIES.items() for measure in family.measures
}

# The figure that stands for a task where one must be chosen: best checkpoint, gap of train and validation.
CHIEF: dict[str, str] = {
    "classify": "classify.accuracy",
    "detect": "detect.map",
    "segment": "segment.miou",
    "locate": "locate.within_4px",
    "instances": "instances.map",
    "panoptic": "panoptic.pq",
    "depth": "depth.abs_rel",
}


def higher_is_better(metric: str) -> bool:
    """Direction of a figure named `task.metric`; `bench.*` and unknown names are lower-is-better costs."""
    found = MEASURES.get(metric)
    return found.higher if found else False
