"""Pictures that are copies of one another, exact, nearly, or mirrored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from sightline.core.likeness import MIN_CORRELATION, likeness, near_pairs
from sightline.core.records import Record
from sightline.data.audit.facts import Facts

How = Literal["exact", "near", "mirrored"]
NEARLY: tuple[How, ...] = ("near", "mirrored")

SHARED_FRAMES = 0.25
MOST_SEQUENCES = 50


@dataclass(frozen=True, slots=True)
class Copies:
    """Records that show one picture, two or more, in the dataset's order.

    Attributes:
        how: `exact` (byte for byte), `near` (recompressed, resized, brightened, a burst), `mirrored`.
        ids: the records.
        likeness: the least confirmed likeness of a pair, 0..1; 1 for exact ones.
    """

    how: How
    ids: tuple[str, ...]
    likeness: float


def find_copies(records: Sequence[Record], facts: Mapping[str, Facts]) -> list[Copies]:
    """All sets of copies.

    Frames of a sequence (a video, or numbered pictures of one group) look alike, and so do those of another
    sequence from the same fixed camera: of frames only exact copies count, and only where two sequences share
    a quarter of them, so that a title card or a black frame makes no copy of two videos. A near pair with an
    exact copy on either side counts once, by its first record.
    """
    seen = {r.id: r for r in records}
    by_digest: dict[str, list[str]] = {}
    for record in records:
        fact = facts.get(record.id)
        if fact is not None and fact.digest:
            by_digest.setdefault(fact.digest, []).append(record.id)
    out = [
        Copies("exact", stills, 1.0)
        for ids in by_digest.values()
        if len(stills := tuple(i for i in ids if seen[i].frame < 0)) > 1
        and len({seen[i].media for i in stills}) > 1
    ]
    out += _copied_sequences([[seen[i] for i in ids if seen[i].frame >= 0] for ids in by_digest.values()])
    firsts = [ids[0] for ids in by_digest.values() if seen[ids[0]].frame < 0]
    for how in NEARLY:
        pairs = _confirmed(firsts, facts, mirrored=how == "mirrored")
        out += [Copies(how, ids, least) for ids, least in _sets(firsts, pairs)]
    return out


def _copied_sequences(same: Sequence[Sequence[Record]]) -> list[Copies]:
    """Frames with equal pixels, of sequences that share enough of them."""
    frames: Counter[str] = Counter()
    shared: Counter[tuple[str, str]] = Counter()
    sets = []
    for records in same:
        sides = sorted({_sequence(r) for r in records})
        frames.update(sides)
        shared.update(combinations(sides, 2) if len(sides) <= MOST_SEQUENCES else ())
        if len(sides) > 1:
            sets.append(records)
    copied = {
        pair for pair, n in shared.items() if n >= SHARED_FRAMES * min(frames[pair[0]], frames[pair[1]])
    }
    out = []
    for records in sets:
        sides = sorted({_sequence(r) for r in records})
        if any(pair in copied for pair in combinations(sides[:MOST_SEQUENCES], 2)):
            out.append(Copies("exact", tuple(r.id for r in records), 1.0))
    return out


def _sequence(record: Record) -> str:
    return record.group or record.media


def joined(ids: Iterable[str], copies: Iterable[Copies]) -> dict[str, str]:
    """For each id one representative of everything it is a copy of, directly or through others."""
    parent = {i: i for i in ids}

    def root(i: str) -> str:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for found in copies:
        known = [i for i in found.ids if i in parent]
        for other in known[1:]:
            parent[root(other)] = root(known[0])
    return {i: root(i) for i in parent}


def _confirmed(
    ids: Sequence[str], facts: Mapping[str, Facts], *, mirrored: bool
) -> list[tuple[int, int, float]]:
    """Pairs of positions whose pictures are alike, with their likeness."""
    places = [i for i, id in enumerate(ids) if facts[id].look is not None]
    looks = [look for i in places if (look := facts[ids[i]].look) is not None]
    if len(looks) < 2:
        return []
    hashes = np.array([k.hash for k in looks], np.uint64)
    if mirrored:
        turned = np.array([k.mirrored for k in looks], np.uint64)
        pairs = near_pairs(np.concatenate([hashes, turned]))
        pairs = pairs[(pairs[:, 0] < len(looks)) & (pairs[:, 1] >= len(looks))] - (0, len(looks))
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    else:
        pairs = near_pairs(hashes)
    likely = ((a, b, likeness(looks[a], looks[b], mirrored=mirrored)) for a, b in pairs.tolist())
    return [(places[a], places[b], alike) for a, b, alike in likely if alike >= MIN_CORRELATION]


def _sets(ids: Sequence[str], pairs: Sequence[tuple[int, int, float]]) -> list[tuple[tuple[str, ...], float]]:
    """Connected sets of pairs, and the least likeness in each."""
    links = [Copies("near", (ids[a], ids[b]), alike) for a, b, alike in pairs]
    involved = sorted({i for a, b, _ in pairs for i in (a, b)})
    roots = joined((ids[i] for i in involved), links)
    members: dict[str, list[str]] = {}
    for i in involved:
        members.setdefault(roots[ids[i]], []).append(ids[i])
    least: dict[str, float] = {}
    for link in links:
        at = roots[link.ids[0]]
        least[at] = min(least.get(at, 1.0), link.likeness)
    return [(tuple(group), least[root]) for root, group in members.items()]
