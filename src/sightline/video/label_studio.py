"""A model's answers as pre-annotated tasks for Label Studio: an annotator corrects instead of drawing.

The folder is the one `data.formats.label_studio` writes and reads: `tasks.json`, `label_config.xml` and
`media/`, from which the server shows pictures and videos as local files.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TextIO

from sightline.core import label_studio
from sightline.core.files import folder_written_whole, write_text
from sightline.core.label_studio_guesses import KINDS, guesses
from sightline.core.results import Points
from sightline.video.label_studio_video import VideoTask
from sightline.video.pipeline import Prediction
from sightline.video.sinks import relative_name


class LabelStudio:
    """A folder of pre-annotated tasks, one a picture or a video; it appears when it is whole.

    Media are linked into it where the file system can (a hard link costs no room), else copied.

    Args:
        folder: to make.
        classes: of the model.
        root: the folder that holds all sources, from which media names start.
        model: its name, told to the annotators.
    """

    needs_pixels = False

    def __init__(self, folder: Path, classes: tuple[str, ...], root: Path, *, model: str = "") -> None:
        self.folder, self._classes, self._root = folder, classes, root
        self._model = model or label_studio.MODEL
        self._stack = ExitStack()
        self._tasks = 0
        self._controls: set[str] = set()
        self._video: VideoTask | None = None
        self._source = ""
        self._rates: list[float] = []
        self._hidden = False

    def __enter__(self) -> Self:
        self._part = self._stack.enter_context(folder_written_whole(self.folder))
        path = self._part / label_studio.TASKS
        self._file: TextIO = self._stack.enter_context(path.open("w", encoding="utf-8"))
        self._file.write("[")
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._end_video()
            self._file.write("\n]\n")
            rate = self._rates[0] if self._rates else None
            text = label_studio.configuration(self._classes, self._controls, rate=rate, hidden=self._hidden)
            write_text(self._part / label_studio.CONFIG, text)
        self._stack.__exit__(*error)

    def write(self, prediction: Prediction) -> None:
        """Take one prediction; a fault makes no task."""
        if prediction.results is None:
            return
        if prediction.source != self._source or prediction.index < 0:
            self._end_video()
            self._source = prediction.source
        if prediction.index >= 0:
            self._video = self._video or VideoTask(self._model)
            self._video.add(prediction)
            return
        found = guesses(prediction.results, prediction.size_wh)
        self._controls |= {KINDS[type(r)] for r in prediction.results.values() if type(r) in KINDS}
        self._hidden |= any(isinstance(r, Points) for r in prediction.results.values())
        data = {"image": label_studio.address(self._place(prediction.source))}
        self._add(label_studio.task(data, found["guess"], model=self._model, score=found.get("score")))

    def _end_video(self) -> None:
        video, self._video = self._video, None
        if video is None:
            return
        data = {"video": label_studio.address(self._place(self._source))}
        self._controls |= video.controls
        self._rates.append(video.rate)
        self._add(label_studio.task(data, video.regions(), model=self._model, score=video.score))

    def _add(self, task: dict[str, Any]) -> None:
        text = json.dumps(task, ensure_ascii=False, allow_nan=False)
        self._file.write(("," if self._tasks else "") + "\n" + text)
        self._tasks += 1

    def _place(self, source: str) -> str:
        """Put a source's file among the media; its name there."""
        name = relative_name(source, self._root)
        target = self._part / label_studio.MEDIA / name
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(Path(source), target)
        return name.as_posix()


def link_or_copy(origin: Path, target: Path, link: Callable[[Path, Path], None] = os.link) -> None:
    """A hard link where the file system can, else a copy."""
    try:
        link(origin.resolve(), target)
    except OSError:
        shutil.copyfile(origin, target)
