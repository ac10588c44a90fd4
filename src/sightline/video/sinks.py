"""Where predictions go: JSON Lines, COCO, CSV, drawn pictures and MP4. A file appears when it is whole."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Protocol, Self, TextIO

from sightline.core.errors import MediaError, UsageError
from sightline.core.files import written_whole
from sightline.core.media import write_picture
from sightline.core.picture import as_rgb
from sightline.core.plain import Plain, plain_results, rows
from sightline.draw import draw_results
from sightline.video.overlay import drawn_on, to_av
from sightline.video.pipeline import Prediction
from sightline.video.trail import Trails

CSV_COLUMNS = (
    "source",
    "index",
    "time_s",
    "task",
    "class",
    "score",
    "x1",
    "y1",
    "x2",
    "y2",
    "x",
    "y",
    "fault",
)
LIVE_COLUMNS = ("captured_at", "age_ms")
CLOCK = 90_000
DEFAULT_RATE = 25.0


class Sink(Protocol):
    """Takes predictions in order; a context manager that finishes its files when it is left well."""

    needs_pixels: bool

    def write(self, prediction: Prediction) -> None:
        """Take one prediction."""

    def __enter__(self) -> Self:
        """Open."""

    def __exit__(self, *error: Any) -> None:
        """Finish, or leave nothing where an error passes through."""


class _FileSink:
    """A text file that is written beside its place and renamed."""

    needs_pixels = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        part = self._stack.enter_context(written_whole(self.path))
        self._file: TextIO = self._stack.enter_context(part.open("w", encoding="utf-8", newline=""))
        self._begin()
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._end()
        self._stack.__exit__(*error)

    def _begin(self) -> None:
        """Write what comes first."""

    def _end(self) -> None:
        """Write what comes last."""


class JsonLines(_FileSink):
    """A line a frame: source, index, time_s, size_wh and results by task, or the fault."""

    def write(self, prediction: Prediction) -> None:
        """Take one prediction."""
        self._file.write(json_line(prediction) + "\n")


class JsonLinesTo:
    """JSON Lines to a stream that is open, such as standard output."""

    needs_pixels = False

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, prediction: Prediction) -> None:
        """Take one prediction."""
        self._file.write(json_line(prediction) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.flush()


def json_line(prediction: Prediction) -> str:
    """One prediction as a line of JSON."""
    value: Plain = {"source": prediction.source}
    if prediction.index >= 0:
        value |= {"index": prediction.index, "time_s": prediction.time_s}
    if prediction.captured_at is not None:
        value |= {"captured_at": round(prediction.captured_at, 6), "age_ms": _ms(prediction.age_s)}
    if prediction.fault is not None:
        value["fault"] = prediction.fault
    else:
        value |= {"size_wh": list(prediction.size_wh), "results": plain_results(prediction.results or {})}
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


class Csv(_FileSink):
    """A row an answer; a frame without one has a row with its name alone, a fault its reason.

    Args:
        path: the file.
        live: with `captured_at` and `age_ms` behind the rest.
    """

    def __init__(self, path: Path, *, live: bool = False) -> None:
        super().__init__(path)
        self._columns = CSV_COLUMNS + (LIVE_COLUMNS if live else ())

    def _begin(self) -> None:
        self._writer = csv.DictWriter(self._file, self._columns, restval="", extrasaction="ignore")
        self._writer.writeheader()

    def write(self, prediction: Prediction) -> None:
        """Take one prediction."""
        time_s = "" if prediction.time_s is None else round(prediction.time_s, 6)
        place: Plain = {"source": prediction.source, "index": prediction.index, "time_s": time_s}
        if prediction.captured_at is not None:
            place |= {"captured_at": f"{prediction.captured_at:.6f}", "age_ms": _ms(prediction.age_s)}
        found = list(rows(prediction.results or {}))
        for row in found or [{}]:
            self._writer.writerow({**place, **row, "fault": prediction.fault or ""})


class Coco(_FileSink):
    """One COCO file: images, categories, and annotations with a score. Boxes and masks only.

    A video's frame is an image called `NAME#INDEX`. Categories count from 1.
    """

    def __init__(self, path: Path, classes: tuple[str, ...]) -> None:
        super().__init__(path)
        self._classes, self._images, self._annotations = classes, 0, 0

    def _begin(self) -> None:
        rest = tempfile.TemporaryFile("w+", encoding="utf-8", dir=self.path.parent)  # noqa: SIM115
        self._rest: TextIO = self._stack.enter_context(rest)
        categories = [{"id": i + 1, "name": name} for i, name in enumerate(self._classes)]
        self._file.write(f'{{"categories": {json.dumps(categories, ensure_ascii=False)},\n"images": [')

    def write(self, prediction: Prediction) -> None:
        """Take one prediction; a fault has no image."""
        if prediction.results is None:
            return
        self._images += 1
        tail = f"#{prediction.index}" if prediction.index >= 0 else ""
        width, height = prediction.size_wh
        image = {
            "id": self._images,
            "file_name": prediction.source + tail,
            "width": width,
            "height": height,
        }
        self._file.write(("," if self._images > 1 else "") + "\n" + json.dumps(image, ensure_ascii=False))
        for answers in plain_results(prediction.results).values():
            for row in answers if isinstance(answers, list) else []:
                if "box" in row:
                    self._annotate(row)

    def _annotate(self, row: Plain) -> None:
        x1, y1, x2, y2 = row["box"]
        self._annotations += 1
        annotation = {
            "id": self._annotations,
            "image_id": self._images,
            "category_id": self._classes.index(row["class"]) + 1,
            "bbox": [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)],
            "area": round((x2 - x1) * (y2 - y1), 3),
            "iscrowd": 0,
            "score": row["score"],
            **({"segmentation": row["mask"]} if "mask" in row else {}),
        }
        self._rest.write(("," if self._annotations > 1 else "") + "\n" + json.dumps(annotation))

    def _end(self) -> None:
        self._file.write('\n],\n"annotations": [')
        self._rest.seek(0)
        while chunk := self._rest.read(1 << 20):
            self._file.write(chunk)
        self._file.write("\n]}\n")


class Pictures:
    """Drawn pictures in a folder, one a frame; a picture's folders are kept, a video gets one of its own."""

    needs_pixels = True

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder, self._root = folder, root

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *error: Any) -> None:
        """Each picture was whole when it was written."""

    def write(self, prediction: Prediction) -> None:
        """Take one prediction; a fault has no picture."""
        if prediction.pixels is None or prediction.results is None:
            return
        if prediction.index >= 0:
            name = relative_name(prediction.source, self._root) / f"{prediction.index:06d}.jpg"
        else:
            name = drawn_name(prediction.source, self._root)
        target = self._folder / name
        refuse_sources([prediction.source], [target])
        drawn = draw_results(as_rgb(prediction.pixels), prediction.results)
        with written_whole(target) as part:
            named = part.with_name(part.name + target.suffix)
            try:
                write_picture(named, drawn)
                named.replace(part)
            finally:
                named.unlink(missing_ok=True)


def relative_name(source: str, root: Path) -> Path:
    """A source's path below `root`, or its bare name where it lies elsewhere."""
    path = Path(source).absolute()
    return path.relative_to(root) if path.is_relative_to(root) else Path(path.name)


def drawn_name(source: str, root: Path) -> Path:
    """`relative_name`; what is neither PNG nor JPEG is drawn as JPEG and gets that suffix too."""
    name = relative_name(source, root)
    return name if name.suffix.lower() in (".png", ".jpg", ".jpeg") else name.with_name(f"{name.name}.jpg")


def refuse_sources(sources: Iterable[str | Path], targets: Iterable[Path]) -> None:
    """Raise UsageError where a target is one of the sources, by whatever name."""
    read = {Path(source).resolve() for source in sources}
    for target in targets:
        if target.resolve() in read:
            raise UsageError("would be written over a source", where=target, remedy="name another place")


class Mp4:
    """One drawn video: every frame of a source at its own time, H.264; located points leave a trail.

    A picture between videos becomes a frame like any other; frames of another size are refused.
    """

    needs_pixels = True

    def __init__(self, path: Path, rate: float | None = None) -> None:
        if path.suffix.lower() != ".mp4":
            raise UsageError("must end in .mp4", where=path)
        self.path, self._rate = path, rate or DEFAULT_RATE
        self._stack = ExitStack()
        self._stream: Any = None
        self._count = 0
        self._last_pts = -1
        self._trails = Trails()

    def __enter__(self) -> Self:
        import av

        part = self._stack.enter_context(written_whole(self.path))
        self._container: Any = self._stack.enter_context(av.open(str(part), "w", format="mp4"))
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            try:
                self._finish()
            except BaseException as failure:
                self._stack.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._stack.__exit__(*error)

    def write(self, prediction: Prediction) -> None:
        """Take one prediction; a fault has no frame."""
        if prediction.pixels is None or prediction.results is None:
            return
        trails = self._trails.push(prediction.results)
        frame = to_av(drawn_on(prediction.pixels, prediction.results, trails))
        if self._stream is None:
            self._open(frame)
        if (self._stream.width, self._stream.height) != (frame.width, frame.height):
            raise MediaError(
                f"is {frame.width}x{frame.height}, the video before it is "
                f"{self._stream.width}x{self._stream.height}",
                where=prediction.source,
                remedy="write one MP4 for each size",
            )
        frame.pts = self._pts(prediction.time_s)
        frame.time_base = Fraction(1, CLOCK)
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def _pts(self, time_s: float | None) -> int:
        at = self._count / self._rate if time_s is None else time_s
        self._last_pts = max(round(at * CLOCK), self._last_pts + 1)
        return self._last_pts

    def _open(self, frame: Any) -> None:
        rate = Fraction(self._rate).limit_denominator(1001)
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.width, self._stream.height = frame.width, frame.height
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.colorspace, context.color_range = frame.colorspace, frame.color_range
        self._stream.codec_context.time_base = Fraction(1, CLOCK)
        self._stream.codec_context.options = {"preset": "ultrafast", "crf": "21"}

    def _finish(self) -> None:
        if self._stream is None:
            raise MediaError("no frame was drawn, so there is no video to write", where=self.path)
        self._container.mux(self._stream.encode(None))
