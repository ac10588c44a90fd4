"""Pictures that are copies of one another, exact, nearly, or mirrored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sightline.core.records import Record
from sightline.data.audit.facts import Facts
from sightline.data.audit.likeness import MIN_CORRELATION, likeness, near_pairs

How = Literal["exact", "near", "mirrored"]


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
    """All sets of copies; frames of one video, and records that share media, are not held to be copies.

    A near pair with an exact copy on either side counts once, by its first record.
    """
    seen = {r.id: r for r in records}
    by_digest: dict[str, list[str]] = {}
    for record in records:
        fact = facts.get(record.id)
        if fact is not None and fact.digest:
            by_digest.setdefault(fact.digest, []).append(record.id)
    exact = [tuple(ids) for ids in by_digest.values() if len({seen[i].media for i in ids}) > 1]
    out = [Copies("exact", ids, 1.0) for ids in exact]
    firsts = [ids[0] for ids in by_digest.values() if facts[ids[0]].look is not None]
    near = _confirmed(firsts, seen, facts, mirrored=False)
    out += [Copies("near", ids, least) for ids, least in _sets(firsts, near)]
    flipped = _confirmed(firsts, seen, facts, mirrored=True)
    out += [Copies("mirrored", ids, least) for ids, least in _sets(firsts, flipped)]
    return out


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
    ids: Sequence[str], seen: Mapping[str, Record], facts: Mapping[str, Facts], *, mirrored: bool
) -> list[tuple[int, int, float]]:
    """Pairs of positions whose pictures are alike, with their likeness."""
    looks = [look for i in ids if (look := facts[i].look) is not None]
    if len(looks) < 2:
        return []
    hashes = np.array([k.hash for k in looks], np.uint64)
    if mirrored:
        turned = np.array([k.mirrored for k in looks], np.uint64)
        pairs = near_pairs(np.concatenate([hashes, turned]))
        pairs = pairs[(pairs[:, 0] < len(ids)) & (pairs[:, 1] >= len(ids))] - (0, len(ids))
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    else:
        pairs = near_pairs(hashes)
    out = []
    for a, b in pairs.tolist():
        first, second = seen[ids[a]], seen[ids[b]]
        if first.frame >= 0 and first.media == second.media:
            continue
        alike = likeness(looks[a], looks[b], mirrored=mirrored)
        if alike >= MIN_CORRELATION:
            out.append((a, b, alike))
    return out


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
