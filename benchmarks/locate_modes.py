"""Which stage runs when: the modes of a two-stage package on the same films, what each finds and costs.

    python benchmarks/locate_modes.py [PACKAGE] [FILMS] [--sets test,replay] [--arithmetic bf16]

The package and the films are those of `benchmarks/locate.py`. A film is decoded once and kept, and every mode
answers it in turn, so that what else the machine does falls on all of them; decoding is not in the times.
Frames are answered as those of a recording: `smart` may withdraw what it has said. The last line holds the
default mode to the published one, `smart`: a higher F1 of hits (in sight and within 8 px) at no more
core-milliseconds a frame, or an F1 that cannot be told from it (95% interval of the paired difference over
films) at fewer. All of this is simulation.

What a film gave is kept in `--out`; an interrupted call goes on from there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from locate import blur_of, labelled
from sightline.core.files import write_text
from sightline.core.picture import Picture, Yuv420
from sightline.core.results import Points
from sightline.data.dataset import Dataset
from sightline.evaluate.bootstrap import draws, interval
from sightline.evaluate.films import pictures_of
from sightline.evaluate.metrics.tracks import Columns, Tracks
from sightline.runtime.coarse_to_fine import DEFAULT_MODE, MODES, CoarseToFine
from sightline.runtime.loading import load

REPO = Path(__file__).resolve().parent.parent
PUBLISHED = "smart"
ROUNDS, WARM_UP = 1000, 5


@dataclass
class Played:
    """A mode over some films.

    Attributes:
        tracks: truth and answers.
        frames: answered.
        coarse: of those, with the coarse stage.
        windows: that the fine stage read.
        wall_s: seconds of answering.
        core_s: processor seconds of it, all threads.
    """

    tracks: Tracks = field(default_factory=Tracks)
    frames: int = 0
    coarse: int = 0
    windows: int = 0
    wall_s: float = 0.0
    core_s: float = 0.0

    @property
    def core_ms(self) -> float:
        """Core-milliseconds a frame."""
        return 1e3 * self.core_s / self.frames

    def add(self, other: Played) -> None:
        """The films of another too."""
        for one in fields(Tracks):
            own, more = getattr(self.tracks, one.name), getattr(other.tracks, one.name)
            setattr(self.tracks, one.name, own + more)
        for name in ("frames", "coarse", "windows", "wall_s", "core_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def main() -> int:
    args = arguments()
    found = load(args.package, args.threads, "throughput", runtime=args.runtime, arithmetic=args.arithmetic)
    if not isinstance(found, CoarseToFine):
        sys.exit(f"error: {args.package}: is no package of two stages")
    print(f"{args.package.name}: {args.arithmetic}, {args.threads} threads")
    modes = {name: Played() for name in MODES}
    for name in args.sets.split(","):
        dataset = labelled(args.films / name)
        blur = blur_of(args.films / name, dataset)
        for media in media_of(dataset)[: args.most]:
            place = args.out / f"{key(args)}-{name}-{Path(media).stem}.json"
            film = read(place) or play(found, dataset, media, blur)
            write_text(place, json.dumps({mode: asdict(played) for mode, played in film.items()}))
            for mode, played in film.items():
                modes[mode].add(played)
            told = ", ".join(f"{mode} {played.core_ms:.1f}" for mode, played in film.items())
            print(f"{name} {media}: core-ms a frame: {told}", flush=True)
    table(modes)
    return verdict(modes[DEFAULT_MODE], modes[PUBLISHED])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path, nargs="?", default=REPO / "work" / "locate" / "package")
    parser.add_argument(
        "films", type=Path, nargs="?", help="folder of the sets; else the newest of locate.py"
    )
    parser.add_argument("--sets", default="test,replay", help="folders of films in it")
    parser.add_argument("--most", type=int, help="films of each set")
    parser.add_argument("--out", type=Path, default=REPO / "work" / "locate_modes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runtime", help="onnx, openvino; else what suits")
    parser.add_argument("--arithmetic", choices=("bf16", "f32"), default="bf16")
    args = parser.parse_args()
    if not (args.package / "manifest.json").is_file():
        sys.exit(f"error: {args.package}: no package; run benchmarks/locate.py first, or name one")
    if args.films is None:
        kept = sorted((REPO / "work" / "locate").glob("films-*"), key=lambda p: p.stat().st_mtime)
        if not kept:
            sys.exit("error: no films; run benchmarks/locate.py first, or name their folder")
        args.films = kept[-1]
    return args


def key(args: argparse.Namespace) -> str:
    """Tells packages and ways of running them apart."""
    told = (args.package / "manifest.json").read_text(), args.threads, args.runtime, args.arithmetic
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


def read(place: Path) -> dict[str, Played] | None:
    """What a film gave in an earlier call."""
    if not place.exists():
        return None
    kept = json.loads(place.read_text())
    return {mode: Played(**{**row, "tracks": Tracks(**row["tracks"])}) for mode, row in kept.items()}


def media_of(dataset: Dataset) -> list[str]:
    """The dataset's films, in order."""
    return list(dict.fromkeys(record.media for record in dataset.records))


def play(found: CoarseToFine, dataset: Dataset, media: str, blur: dict[str, float]) -> dict[str, Played]:
    """One film through every mode in turn."""
    records = {r.frame: r for r in dataset.records if r.media == media}
    pictures = list(copied(dataset.media_path(media)))
    film: dict[str, Played] = {}
    for name in MODES:
        locator, played = found.with_mode(name), Played()
        for index, points in enumerate(answered(locator, played, pictures)):
            if index in records:
                record = records[index]
                played.tracks.add(record, points, locator.stages.least, blur[record.id])
        film[name] = played
    return film


def copied(film: Path) -> Iterator[Picture]:
    """Frames that outlive the decoder."""
    for picture in pictures_of(film):
        yield picture.copied() if isinstance(picture, Yuv420) else picture


def answered(locator: CoarseToFine, played: Played, pictures: list[Picture]) -> list[Points]:
    """What a mode says of a film's frames in the end, and what it took."""
    with locator.open_stream() as warm:
        for picture in pictures[:WARM_UP]:
            warm.locate(picture).result()
    with locator.open_stream() as stream:
        wall, core = time.perf_counter(), time.process_time()
        waiting = []
        for picture in pictures:
            waiting.append(stream.locate(picture))
            if len(waiting) >= stream.ahead:
                waiting[-stream.ahead].result()
        outcomes = [future.result() for future in waiting]
        played.wall_s, played.core_s = time.perf_counter() - wall, time.process_time() - core
        tally = stream.tally
        played.frames, played.coarse, played.windows = tally.frames, tally.coarse, tally.windows
    found = [locator.result(outcome) for outcome in outcomes]
    for index, outcome in enumerate(outcomes):
        for taken in range(index + 1 - outcome.withdrawn, index + 1):
            found[taken] = replace(found[taken], visible=np.zeros(1, np.float32))
    return found


def table(modes: dict[str, Played]) -> None:
    """A row a mode, as `docs/locate.md` shows it."""
    print("\n| mode | coarse | windows a frame | F1 of hits | median px | core-ms a frame | ms a frame |")
    print("|---|---|---|---|---|---|---|")
    for name, played in modes.items():
        figures = played.tracks.columns().estimates(ROUNDS)
        f1, median = figures.get("f1"), figures.get("median_px")
        cells: list[Any] = [
            f"`{name}`",
            f"{played.coarse / played.frames:.1%}",
            f"{played.windows / played.frames:.2f}",
            "-" if f1 is None else f"{f1.value:.3f} [{f1.low:.3f}, {f1.high:.3f}]",
            "-" if median is None else f"{median.value:.2f} [{median.low:.2f}, {median.high:.2f}]",
            f"{played.core_ms:.1f}",
            f"{1e3 * played.wall_s / played.frames:.1f}",
        ]
        print(f"| {' | '.join(cells)} |")


def verdict(ours: Played, theirs: Played) -> int:
    """Whether the default mode is better than the published one; 0 where it is."""
    a, b = ours.tracks.columns(), theirs.tracks.columns()
    gap, low, high = difference(a, b)
    higher, equal = gap > 0, low <= 0 <= high and a.values()["f1"][0] > 0
    better = (higher and ours.core_ms <= theirs.core_ms) or (equal and ours.core_ms < theirs.core_ms)
    films, word = len(set(ours.tracks.group)), "better" if better else "not better"
    print(
        f"\nlocate_modes: `{DEFAULT_MODE}` against `{PUBLISHED}`: F1 {gap:+.3f} [{low:+.3f}, {high:+.3f}], "
        f"{films} films; {ours.core_ms:.1f} against {theirs.core_ms:.1f} core-ms a frame: {word}"
    )
    return 0 if better else 1


def difference(a: Columns, b: Columns) -> tuple[float, float, float]:
    """F1 of `a` less that of `b` over the same frames, with its 95% interval over films."""
    gaps = [a.values(weights)["f1"] - b.values(weights)["f1"] for weights in draws(list(a.group), ROUNDS, 0)]
    low, high = interval(np.concatenate(gaps))
    return float(a.values()["f1"][0] - b.values()["f1"][0]), float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
