"""Which pictures belong together: frames of one sequence, or copies made of one source picture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from sightline.core.errors import UsageError
from sightline.core.records import Record

NAMED = ("auto", "none", "folder", "stem")

# A rule is believed only where it makes several groups and none of them swallows the set.
LEAST_GROUPS = 5
LARGEST_SHARE = 0.5

_COPY = re.compile(r"^(?P<stem>.+)\.rf\.[0-9a-zA-Z]{6,}$")
_NUMBERED = re.compile(r"^(?P<stem>.*?)[ _.\-]*(?:frame|img|f)?[ _.\-]*\d+$", re.IGNORECASE)

Rule = Callable[[str], str]


def group_names(records: Sequence[Record], rule: str) -> tuple[list[str], str]:
    """A group for each record, and a sentence about how it was found.

    With `auto`, a group that a format gave is kept and frames of a video belong to their video. For other
    pictures it tries, in this order: copies of one source (Roboflow's `.rf.HASH` suffix), numbered frames in
    a folder of their own, and a common stem before a frame number. The last two are believed only where they
    make at least 5 groups and none holds more than half of the pictures. What is left stands alone.

    Args:
        records: all of the dataset.
        rule: `auto`, `none`, `folder`, `stem`, or a regular expression searched in the media name, whose
            first bracket (or whole match) is the group.

    Raises:
        UsageError: the expression is not valid, or matches no media name.
    """
    if rule != "auto":
        return group_media([r.media for r in records], rule)
    groups = [r.group or (r.media if r.frame >= 0 else "") for r in records]
    free = [i for i, group in enumerate(groups) if not group]
    names = [records[i].media for i in free]
    found, why = group_media(names, rule)
    for i, group in zip(free, found, strict=True):
        groups[i] = group
    if len(free) < len(groups):
        given = f"{len(groups) - len(free)} by video or as the labels say"
        why = f"{given}; {why}" if free else given
    return groups, why


def group_media(names: Sequence[str], rule: str) -> tuple[list[str], str]:
    """Groups of pictures by their media names alone, and how; see `group_names`."""
    if rule == "none":
        return [""] * len(names), "each picture stands alone, as told"
    if rule == "auto":
        return _auto(names)
    if rule in ("folder", "stem"):
        by: Rule = _folder if rule == "folder" else _stem
        return [by(name) for name in names], f"by {rule}, as told"
    return _by_expression(names, rule)


def _auto(names: Sequence[str]) -> tuple[list[str], str]:
    copies = [copy_of(name) for name in names]
    if any(copies):
        return copies, "copies of one source picture, by the .rf. suffix of their names"
    for by, why in (
        (_numbered_folder, "numbered frames in one folder"),
        (_stem, "a common stem before a number"),
    ):
        groups = [by(name) for name in names]
        sizes = Counter(group for group in groups if group)
        if len(sizes) >= LEAST_GROUPS and max(sizes.values()) <= LARGEST_SHARE * len(names):
            return groups, f"{why} ({len(sizes)} groups)"
    return [""] * len(names), "each picture stands alone: the names show no sequences"


def _by_expression(names: Sequence[str], rule: str) -> tuple[list[str], str]:
    try:
        expression = re.compile(rule)
    except re.error as error:
        raise UsageError(
            f"--group {rule!r} is neither one of {', '.join(NAMED)} nor a regular expression ({error})"
        ) from None
    matches = [expression.search(name) for name in names]
    if names and not any(matches):
        raise UsageError(f"--group {rule!r} matches no media name; the first is {names[0]!r}")
    groups = [
        "" if match is None else (match.group(1) if expression.groups and match.group(1) else match.group(0))
        for match in matches
    ]
    missed = sum(match is None for match in matches)
    return groups, f"by {rule!r}, as told" + (
        f"; {missed} pictures do not match and stand alone" if missed else ""
    )


def copy_of(name: str) -> str:
    """The source picture that a media name says it is an augmented copy of, or empty."""
    match = _COPY.match(_split(name)[1]) if ".rf." in name else None
    return match.group("stem") if match else ""


def _split(name: str) -> tuple[str, str]:
    """Folder and stem of a media name; the folder of a bare file is `.`."""
    folder, _, file = name.rpartition("/")
    stem, dot, _ = file.rpartition(".")
    return folder or ".", stem if dot else file


def _folder(name: str) -> str:
    return _split(name)[0]


def _numbered_folder(name: str) -> str:
    folder, stem = _split(name)
    match = _NUMBERED.match(stem) if folder != "." else None
    return folder if match is not None and not match.group("stem") else ""


def _stem(name: str) -> str:
    folder, stem = _split(name)
    match = _NUMBERED.match(stem)
    return f"{folder}/{match.group('stem')}" if match is not None and match.group("stem") else ""
