"""Why a picture is worth a look: how novelty is measured, and when doubt is doubt."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.finds import detections, scores
from monitor.worlds import baseline, world
from sightline.core.results import Points
from sightline.monitor.review_items import ReviewOptions
from sightline.monitor.review_reasons import Judge, Novelty, Steadiness, doubt

SURE = {"classify": scores(0.98, 0.02)}
BOX = (10.0, 10.0, 40.0, 40.0)


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    base = baseline(world(300, 1))
    assert base.moments is not None
    return Novelty(base.sample.embedding, base.moments)


def vectors(n: int, seed: int, shift: float = 0.0) -> list[np.ndarray]:
    return [seen.embedding for seen in world(n, seed, shift=shift) if seen.embedding is not None]


def test_pictures_of_the_known_world_are_rarely_novel_and_far_ones_always(novelty: Novelty) -> None:
    usual = np.array([novelty(vector) for vector in vectors(400, 2)])
    assert (usual >= 0.5).mean() <= 0.04 and 0.1 < np.median(usual) < 0.5
    assert all(novelty(vector) > 0.8 for vector in vectors(20, 3, shift=5.0))


def test_novelty_grows_with_the_distance_and_stays_below_one(novelty: Novelty) -> None:
    way = np.ones(96)
    found = [novelty(far * way) for far in (0.0, 2.0, 4.0, 8.0, 1000.0)]
    assert found == sorted(found) and 0 <= found[0] < 0.5 < found[3] < found[4] <= 1


def test_a_sure_answer_to_a_novel_picture_is_kept_and_to_a_known_one_not(novelty: Novelty) -> None:
    judge = Judge(ReviewOptions(), {}, novelty)
    (known,), (far,) = vectors(1, 4), vectors(1, 4, shift=6.0)
    assert judge(SURE, known) == {}
    assert set(judge(SURE, far)) == {"novel"} and judge(SURE, None) == {}
    assert Judge(ReviewOptions(novel=1.0), {}, novelty)(SURE, far) == {}  # 1 keeps none


def test_doubt_is_by_the_margin_the_threshold_and_the_least_sure_point() -> None:
    assert doubt({"classify": scores(0.55, 0.45)}) == pytest.approx(0.9)
    above, near = detections((0.9, 0, BOX)), detections((0.9, 0, BOX), (0.51, 1, BOX))
    assert doubt({"detect": above}, {"detect": 0.5}) == 0
    assert doubt({"detect": near}, {"detect": 0.5}) == pytest.approx((0 + 1 - 0.01 / 0.3) / 2, abs=1e-5)
    points = Points([[1, 1], [2, 2]], [0.99, 0.5], ("a", "b"), 0.5)
    assert doubt({"locate": points}) == 1.0 and doubt({"detect": detections()}) == 0


def test_steadiness_looks_at_one_source_at_a_time() -> None:
    steady, one, none = Steadiness(), {"detect": detections((0.9, 0, BOX))}, {"detect": detections()}
    assert steady("door", one) == 0 and steady("yard", none) == 0
    assert steady("door", one) == 0 and steady("yard", one) == 1 and steady("door", none) == 1
