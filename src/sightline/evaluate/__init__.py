"""Measured evidence: metrics of every task, intervals, causes of errors, comparison, the page."""

from sightline.evaluate.bootstrap import Difference, Estimate
from sightline.evaluate.evaluation import evaluate, score, scored
from sightline.evaluate.metrics import CHIEF, MEASURES, higher_is_better
from sightline.evaluate.report import Report
from sightline.evaluate.scores import Scores, compare

__all__ = [
    "CHIEF",
    "MEASURES",
    "Difference",
    "Estimate",
    "Report",
    "Scores",
    "compare",
    "evaluate",
    "higher_is_better",
    "score",
    "scored",
]
