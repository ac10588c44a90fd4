"""The frames that belong to a track's CSV: a video, or a folder of numbered pictures, by name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sightline.core.errors import MediaError
from sightline.core.frames import FrameReader
from sightline.core.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES, probe
from sightline.core.records import Annotation, Record

_NUMBER = re.compile(r"(\d+)$")
_SUFFIX = re.compile(r"_(ball|predict|label)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of one track.

    Attributes:
        media: the video's name, or the folder's.
        size_wh: (0, 0) where it is not known.
        pictures: names by number, for a folder.
        times_s: times of a video's frames.
        is_absent: nothing is there; every number is then taken as it is.
    """

    media: str
    size_wh: tuple[int, int] = (0, 0)
    pictures: Mapping[int, str] = field(default_factory=dict)
    times_s: tuple[float, ...] = ()
    is_absent: bool = False

    @classmethod
    def absent(cls, media: str) -> Frames:
        """For labels without media."""
        return cls(media, is_absent=True)

    @property
    def numbered(self) -> bool:
        """Whether pictures carry the numbers themselves."""
        return bool(self.pictures)

    @property
    def count(self) -> int:
        """How many frames there are, 0 where it is not known."""
        return len(self.pictures) or len(self.times_s)

    def has(self, frame: int) -> bool:
        """Whether a frame is there."""
        return self.is_absent or frame in self.pictures or 0 <= frame < len(self.times_s)

    def record(self, frame: int, mark: Annotation, place: str) -> Record:
        """The record of one frame, in the group of its video."""
        media = self.pictures.get(frame, self.media)
        return Record(
            id=media if self.pictures else f"{media}#{frame}",
            media=media,
            size_wh=self.size_wh,
            annotations=(mark,),
            frame=frame,
            group=self.media,
            time_s=self.times_s[frame] if self.times_s else None,
            source=place,
        )


class FramesFinder:
    """Looks under a media folder for what has a CSV's name; the nearest by folders is taken."""

    def __init__(self, root: Path, source: Path) -> None:
        self._source = source
        self.root = root
        self._index = _index(root)
        if not self._index and source.is_file():
            self.root = source.parent.parent
            self._index = _index(self.root)

    def name_of(self, path: Path) -> str:
        """What the video of a CSV would be called."""
        name = _SUFFIX.sub("", path.stem) + ".mp4"
        base = self._source if self._source.is_dir() else self._source.parent
        return path.with_name(name).relative_to(base).as_posix()

    def find(self, path: Path) -> Frames | None:
        """Frames of a CSV: of its name with or without `_ball`, or beside it."""
        for key in dict.fromkeys([_SUFFIX.sub("", path.stem), path.stem]):
            found = sorted(self._index.get(key.casefold(), []), key=lambda place: self._distance(place, path))
            for place in found:
                frames = self._open(place)
                if frames is not None:
                    return frames
        beside = _numbered(path.parent)
        return (
            self._pictures(path.parent, beside) if beside and path.parent.is_relative_to(self.root) else None
        )

    def _distance(self, place: Path, path: Path) -> tuple[int, str]:
        common = os.path.commonpath([place.absolute(), path.absolute()])
        return -len(Path(common).parts), str(place)

    def _open(self, place: Path) -> Frames | None:
        if place.is_dir():
            numbers = _numbered(place)
            return self._pictures(place, numbers) if numbers else None
        try:
            reader = FrameReader(place)
        except MediaError:
            return None
        times = tuple(reader.time_s(i) for i in range(len(reader)))
        size_wh = reader.size_wh
        reader.close()
        return Frames(place.relative_to(self.root).as_posix(), size_wh, times_s=times)

    def _pictures(self, folder: Path, numbers: dict[int, Path]) -> Frames:
        names = {number: path.relative_to(self.root).as_posix() for number, path in numbers.items()}
        try:
            size_wh = probe(next(iter(numbers.values()))).size_wh
        except MediaError:  # the import names it
            size_wh = (0, 0)
        return Frames(folder.relative_to(self.root).as_posix(), size_wh, names)


def _index(root: Path) -> dict[str, list[Path]]:
    """Videos by stem and folders of pictures by name, in small letters."""
    found: dict[str, list[Path]] = {}
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        suffixes = {Path(file).suffix.lower() for file in files}
        if suffixes & PICTURE_SUFFIXES:
            found.setdefault(Path(folder).name.casefold(), []).append(Path(folder))
        for file in sorted(files):
            if Path(file).suffix.lower() in VIDEO_SUFFIXES:
                found.setdefault(Path(file).stem.casefold(), []).append(Path(folder) / file)
    return found


def _numbered(folder: Path) -> dict[int, Path]:
    """Pictures of a folder by the number their names end with, in order of the numbers."""
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        match = _NUMBER.search(path.stem)
        if match and path.suffix.lower() in PICTURE_SUFFIXES:
            found.setdefault(int(match.group(1)), path)
    return dict(sorted(found.items()))
