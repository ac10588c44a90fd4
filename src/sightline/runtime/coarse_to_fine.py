"""`CoarseToFine`: two locators as one predictor. The coarse one finds a place in the whole frame, the fine
one reads a window about it at the frame's own scale; a mode (`locating`, `following`) says which runs when.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sightline.core.errors import ModelError, PackageError
from sightline.core.picture import Picture
from sightline.core.predictor import Inputs, Predictor
from sightline.core.results import Points, Result
from sightline.core.specs import CENTRE, InputSpec, Signature
from sightline.runtime.following import Track
from sightline.runtime.locating import Calibration, Each, Fast, Mode, Outcome, Smart, settings_of
from sightline.runtime.locating_stages import Stages, pixel_input, seen_of, track_input
from sightline.runtime.locating_stream import LocatingStream

KIND = "coarse-to-fine"
MODES: dict[str, type[Any]] = {
    "track": Track,
    "each": Each,
    "calibration": Calibration,
    "fast": Fast,
    "smart": Smart,
}
DEFAULT_MODE = "track"
CLIP = "clip"


class CoarseToFine:
    """A coarse and a fine locator behind the one predictor protocol (`core.predictor.AnyPredictor`).

    `predict` answers each clip alone, with both stages. `open_stream` answers the frames of one source in
    order, in the pipeline's mode. Pictures are RGB arrays or `Yuv420`.

    Args:
        coarse: locates one point in whole frames; reads one input.
        fine: locates it in a window (`native` fit); reads one input of pixels, and a track if it wants.
            Of several, the first answers, and all are asked where a mode lets them vote.
        pipeline: `mode` and its `settings`, as in a manifest; other keys are not read.
        workers: threads that answer frames side by side, where the mode plans several at once.

    Raises:
        ModelError: a stage that answers something else, or inputs that cannot be one clip.
        PackageError: an unknown mode or setting.
    """

    def __init__(
        self,
        coarse: Predictor,
        fine: Predictor | Sequence[Predictor],
        pipeline: Mapping[str, Any] | None = None,
        *,
        workers: int = 2,
    ) -> None:
        self.stages = Stages(coarse, (fine,) if isinstance(fine, Predictor) else fine)
        self.pipeline, self.workers = dict(pipeline or {}), workers
        self.mode = mode_of(self.pipeline)
        spec = replace(pixel_input(coarse.signature)[1], frames=self.stages.frames, stride=self.stages.stride)
        first = self.stages.fines[0].signature
        self.signature = Signature(("locate",), first.classes, {CLIP: spec}, dict(first.thresholds))

    def with_mode(self, mode: str, **settings: float) -> CoarseToFine:
        """The same stages in another mode, or with other settings.

        Raises:
            PackageError: an unknown mode or setting.
        """
        pipeline = self.pipeline | {"mode": mode, "settings": settings}
        return CoarseToFine(self.stages.coarse, self.stages.fines, pipeline, workers=self.workers)

    def with_thresholds(self, thresholds: Mapping[str, float]) -> CoarseToFine:
        """The same stages with another threshold of what counts as in sight."""
        fines = [one.with_thresholds(thresholds) for one in self.stages.fines]
        return CoarseToFine(self.stages.coarse, fines, self.pipeline, workers=self.workers)

    def predict(self, batch: Sequence[Inputs]) -> list[dict[str, Result]]:
        """Results for each clip alone: coarse over the newest frame, then fine about its place.

        Raises:
            ModelError: an element holds no `clip`, or one of another length.
        """
        clips = [_checked(element, self.signature.inputs[CLIP]) for element in batch]
        coarse, fine = self.stages.coarse, self.stages.fines[0]
        name, spec = pixel_input(coarse.signature)
        found = coarse.predict([{name: _newest(clip, spec)} for clip in clips])
        name, spec = pixel_input(fine.signature)
        track = track_input(fine.signature)
        no_past = {} if track is None else {track[0]: np.zeros((track[1].frames, 3), np.float32)}
        windows = [
            {name: _newest(clip, spec), CENTRE: np.array(seen_of(results).xy), **no_past}
            for clip, results in zip(clips, found, strict=True)
        ]
        return fine.predict(windows)

    def predict_video(self, pictures: Sequence[Picture]) -> list[dict[str, Result]]:
        """Results for every frame of one video, oldest first: as a stream answers, for all of it at once.

        Unlike a stream, it can take answers back that the mode withdraws later: their score is 0.
        """
        if isinstance(self.mode, Each):
            spec = self.signature.inputs[CLIP]
            ages = [(spec.frames - 1 - i) * spec.stride for i in range(spec.frames)]
            clips = ([pictures[max(0, n - age)] for age in ages] for n in range(len(pictures)))
            return self.predict([{CLIP: clip if spec.frames > 1 else clip[0]} for clip in clips])
        answers: list[dict[str, Result]] = []
        for outcome in self._outcomes(pictures):
            answers.append({"locate": self.result(outcome)})
            for index in range(len(answers) - outcome.withdrawn, len(answers)):
                points = answers[index]["locate"]
                assert isinstance(points, Points)
                answers[index] = {"locate": replace(points, visible=np.zeros(1, np.float32))}
        return answers

    def open_stream(self) -> LocatingStream:
        """A stream for the frames of one source, in the pipeline's mode."""
        return LocatingStream(self.stages, self.mode, self.result, workers=self.workers, key=CLIP)

    def result(self, outcome: Outcome) -> Points:
        """An outcome as the task's result; one that is withdrawn is out of sight."""
        score = 0.0 if outcome.withdrawn else outcome.seen.score
        points, scores = np.array([outcome.seen.xy], np.float32), np.array([score], np.float32)
        return Points(points, scores, self.signature.classes, self.stages.least)

    def _outcomes(self, pictures: Sequence[Picture]) -> Iterator[Outcome]:
        with self.open_stream() as stream:
            waiting = []
            for picture in pictures:
                waiting.append(stream.locate(picture))
                if len(waiting) >= stream.ahead:
                    yield waiting.pop(0).result()
            for outcome in waiting:
                yield outcome.result()


def mode_of(pipeline: Mapping[str, Any], *, where: object = "pipeline") -> Mode:
    """The mode that a manifest's pipeline names, `track` where it names none.

    Raises:
        PackageError: an unknown mode or setting.
    """
    name = pipeline.get("mode", DEFAULT_MODE)
    if name not in MODES:
        raise PackageError(f"no mode is called {name!r}", where=where, remedy=f"known: {', '.join(MODES)}")
    mode: Mode = settings_of(MODES[name], dict(pipeline.get("settings", {})), where=where)
    return mode


def _checked(element: Inputs, spec: InputSpec) -> Any:
    clip = element.get(CLIP)
    if clip is None:
        raise ModelError(f"input {CLIP!r} is missing; given: {', '.join(element) or 'nothing'}")
    if spec.frames > 1 and len(clip) != spec.frames:
        raise ModelError(f"holds {len(clip)} frames, the stages read {spec.frames}", where=f"input {CLIP!r}")
    return clip if spec.frames > 1 else [clip]


def _newest(clip: Any, spec: InputSpec) -> Any:
    return clip[len(clip) - spec.frames :] if spec.frames > 1 else clip[-1]
