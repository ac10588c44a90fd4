"""Two stages behind one predictor: alone, streamed and all at once, they answer alike."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from sightline.core.errors import ModelError, PackageError
from sightline.core.picture import Yuv420
from sightline.core.predictor import Predictor
from sightline.core.results import Points, Result
from sightline.core.specs import InputSpec, Signature
from sightline.runtime.coarse_to_fine import MODES, CoarseToFine

SIZE_WH = (640, 360)
Arrays = dict[str, Any]


def brightest(pixels: Any) -> tuple[Any, Any]:
    """The middle of what is brighter than half in the newest frame of clips (B, T, H, W, 3), and whether."""
    weight = np.maximum(pixels[:, -1].mean(-1) - 128.0, 0)
    mass = weight.sum((1, 2))
    ys, xs = np.arange(weight.shape[1]) + 0.5, np.arange(weight.shape[2]) + 0.5
    safe = np.maximum(mass, 1e-6)
    points = np.stack([(weight.sum(1) @ xs) / safe, (weight.sum(2) @ ys) / safe], 1)
    return points[:, None].astype(np.float32), np.where(mass > 0, 0.9, 0.1)[:, None].astype(np.float32)


class Stage:
    """A locator of the brightest spot that counts how often it is asked, in which threads."""

    def __init__(self, spec: InputSpec, **more: InputSpec) -> None:
        self.calls: list[tuple[int, int]] = []
        self.tracks: list[Any] = []
        signature = Signature(("locate",), ("head",), {"clip": spec, **more})
        self.predictor = Predictor(signature, self.infer, batch=4)

    def infer(self, inputs: Arrays) -> Arrays:
        self.calls.append((len(inputs["clip"]), threading.get_ident()))
        if "track" in inputs:
            self.tracks.append(inputs["track"])
        points, visible = brightest(inputs["clip"])
        return {"locate.points": points, "locate.visible": visible}


def stages() -> tuple[Stage, Stage]:
    return Stage(InputSpec((160, 90), frames=3)), Stage(InputSpec((96, 96), fit="native", frames=3))


def locator(mode: str = "track", workers: int = 2, **settings: float) -> CoarseToFine:
    coarse, fine = stages()
    pipeline = {"mode": mode, "settings": settings}
    return CoarseToFine(coarse.predictor, fine.predictor, pipeline, workers=workers)


def video(frames: int = 40) -> tuple[list[Yuv420], list[tuple[float, float] | None]]:
    """A bright spot that flies, turns, hides and comes back elsewhere."""
    pictures, truth = [], []
    for n in range(frames):
        x, y = 60.0 + 9 * n, 180.0 - 40 * np.sin(n / 5)
        at = None if 14 <= n < 20 else (x, y) if n < 30 else (640 - x, 250.0)
        luma = np.full(SIZE_WH[::-1], 60, np.uint8)
        if at is not None:
            left, top = round(at[0]) - 4, round(at[1]) - 4
            luma[top : top + 8, left : left + 8] = 235
        chroma = np.full((180, 320), 128, np.uint8)
        pictures.append(Yuv420(luma, chroma, chroma))
        truth.append(None if at is None else (float(round(at[0])), float(round(at[1]))))
    return pictures, truth


def points(results: dict[str, Result]) -> Points:
    found = results["locate"]
    assert isinstance(found, Points)
    return found


@pytest.mark.parametrize("mode", list(MODES))
def test_a_video_at_once_is_answered_as_frame_by_frame(mode: str) -> None:
    pictures, _ = video()
    together = locator(mode).predict_video(pictures)
    stream = locator(mode).open_stream()
    apart = [stream.push({"clip": picture}) for picture in pictures]
    withdrawn = mode == "smart"  # a video at once takes back what a stream has said already
    for a, b in zip(map(points, together), map(points, apart), strict=True):
        if withdrawn and a.visible[0] == 0:
            continue
        np.testing.assert_allclose(a.points, b.points, atol=0.1)
        np.testing.assert_allclose(a.visible, b.visible, atol=1e-4)


@pytest.mark.parametrize("mode", ["track", "each"])
def test_answers_do_not_depend_on_how_many_threads_give_them(mode: str) -> None:
    pictures, _ = video()
    one, two = locator(mode, workers=1), locator(mode, workers=2)
    with one.open_stream() as alone, two.open_stream() as side_by_side:
        assert (alone.ahead, side_by_side.ahead) == (1, 2)
        expected = [alone.push({"clip": picture}) for picture in pictures]
        futures = [side_by_side.submit({"clip": picture}) for picture in pictures]
        for a, b in zip(expected, futures, strict=True):
            np.testing.assert_array_equal(points(a).points, points(b.result()).points)
        assert alone.tally == side_by_side.tally


def test_the_object_is_followed_with_few_coarse_frames() -> None:
    pictures, truth = video()
    found = locator(lag=1, check_every=0)
    with found.open_stream() as stream:
        answers = [points(stream.push({"clip": picture})) for picture in pictures]
        tally = stream.tally
    for answer, at in zip(answers, truth, strict=True):
        assert answer.seen[0] == (at is not None)
        if at is not None:
            assert np.abs(answer.points[0] - at).max() < 0.6
    assert tally.frames == 40
    assert tally.coarse < 15


def test_clips_alone_take_both_stages_and_rgb_or_planes() -> None:
    pictures, truth = video(4)
    found = locator()
    planes = points(found.predict([{"clip": pictures[1:4]}])[0])
    rgb = points(found.predict([{"clip": np.stack([p.rgb() for p in pictures[1:4]])}])[0])
    np.testing.assert_allclose(planes.points, rgb.points, atol=0.1)
    np.testing.assert_allclose(planes.points[0], truth[3], atol=0.6)


def test_a_frame_is_placed_once_and_only_for_the_coarse_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    import sightline.runtime.locating_stages as module

    placed: list[str] = []
    place = module.place

    def counting(picture: Any, spec: InputSpec, *rest: Any) -> Any:
        placed.append(spec.fit)
        return place(picture, spec, *rest)

    monkeypatch.setattr(module, "place", counting)
    pictures, _ = video(10)
    stream = locator("each", workers=1).open_stream()
    for picture in pictures:
        stream.push({"clip": picture})
    assert placed.count("letterbox") == 10
    placed.clear()
    stream = locator(workers=1, lag=1, check_every=0).open_stream()
    for picture in pictures:
        stream.push({"clip": picture})
    assert placed.count("letterbox") == 1
    assert placed.count("native") == 30


def test_a_frame_of_another_size_begins_anew() -> None:
    pictures, _ = video(4)
    stream = locator(workers=1, lag=1).open_stream()
    for picture in pictures:
        stream.push({"clip": picture})
    small = np.zeros((100, 200, 3), np.uint8)
    small[40:48, 150:158] = 255
    found = points(stream.push({"clip": small}))
    assert stream.tally.coarse == 2
    np.testing.assert_allclose(found.points[0], (154, 44), atol=0.6)


@pytest.mark.parametrize(("lag", "known"), [(1, 3), (2, 2)])
def test_a_fine_stage_that_asks_for_it_gets_the_track_in_its_own_pixels(lag: int, known: int) -> None:
    coarse = Stage(InputSpec((160, 90), frames=3))
    window = InputSpec((96, 96), fit="native", frames=3)
    fine = Stage(window, track=InputSpec((1, 1), pixels="track", frames=3))
    found = CoarseToFine(coarse.predictor, fine.predictor, {"settings": {"lag": lag}}, workers=1)
    pictures, truth = video(8)
    stream = found.open_stream()
    for picture in pictures:
        stream.push({"clip": picture})
    rows = fine.tracks[-1][0]
    assert rows[:, 2].tolist() == [1.0] * known + [0.0] * (3 - known)
    steps = np.diff(rows[:known, :2], axis=0)
    want = np.diff(np.array(truth[4 : 4 + known]), axis=0)
    np.testing.assert_allclose(steps, want, atol=1.0)


def test_all_fine_models_vote_in_a_calibration() -> None:
    coarse, fine = stages()
    other = Stage(InputSpec((96, 96), fit="native", frames=3))
    found = CoarseToFine(coarse.predictor, [fine.predictor, other.predictor], {"mode": "calibration"})
    with found.open_stream() as stream:
        stream.push({"clip": video(1)[0][0]})
    assert sum(n for n, _ in fine.calls) == sum(n for n, _ in other.calls) == 3


def test_a_fault_in_a_stage_reaches_who_asks() -> None:
    coarse, fine = stages()

    def broken(inputs: Arrays) -> Arrays:
        raise ModelError("broken")

    with CoarseToFine(Predictor(coarse.predictor.signature, broken), fine.predictor).open_stream() as stream:
        with pytest.raises(ModelError, match="broken"):
            stream.push({"clip": video(1)[0][0]})
        with pytest.raises(ModelError, match="missing"):
            stream.push({"image": video(1)[0][0]})


def test_stages_that_do_not_fit_together_are_refused() -> None:
    coarse, fine = stages()
    with pytest.raises(ModelError, match="native"):
        CoarseToFine(coarse.predictor, coarse.predictor)
    with pytest.raises(ModelError, match="whole frames"):
        CoarseToFine(fine.predictor, fine.predictor)
    two = Predictor(Signature(("locate",), ("a", "b"), {"clip": InputSpec((9, 9), fit="native")}), fine.infer)
    with pytest.raises(ModelError, match="2 classes"):
        CoarseToFine(coarse.predictor, two)
    apart = Stage(InputSpec((96, 96), fit="native", frames=3, stride=2))
    with pytest.raises(ModelError, match="strides"):
        CoarseToFine(coarse.predictor, apart.predictor)
    with pytest.raises(PackageError, match=r"mode is called 'quick'.*track"):
        CoarseToFine(coarse.predictor, fine.predictor, {"mode": "quick"})


def test_a_clip_of_another_length_is_refused() -> None:
    pictures, _ = video(3)
    with pytest.raises(ModelError, match="2 frames, the stages read 3"):
        locator().predict([{"clip": pictures[:2]}])
    with pytest.raises(ModelError, match="missing"):
        locator().predict([{"image": pictures}])


def test_another_mode_and_threshold_keep_the_stages() -> None:
    found = locator()
    fast = found.with_mode("fast", every=3)
    assert fast.stages.coarse is found.stages.coarse
    assert fast.with_thresholds({"locate": 0.95}).stages.least == 0.95
    with pytest.raises(PackageError, match="evry"):
        found.with_mode("fast", evry=3)
