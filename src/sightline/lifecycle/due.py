"""Whether a new model is due, by the rules in the problem's `retrain`, each with its evidence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.core.errors import FormatError
from sightline.core.manifest import Manifest
from sightline.core.problem import RetrainSection

if TYPE_CHECKING:
    from sightline.data.dataset import Dataset
    from sightline.data.split import Split


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule and what it found.

    Attributes:
        name: `drift`, `new_labels` or `every_days`.
        wanted: its limit in words.
        found: the evidence in words.
        due: whether it asks for a new model.
    """

    name: str
    wanted: str
    found: str
    due: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """What a report of `monitor --json` says, as far as it is about this champion.

    Attributes:
        path: the report.
        at: when it was written.
        package: name and version it is about.
        drifted: whether it found drift.
        sentences: what moved.
    """

    path: Path
    at: datetime
    package: str
    drifted: bool
    sentences: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Drift | None:
        """The report in a file; None where there is no file.

        Raises:
            FormatError: it is no report of `monitor --json`.
        """
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            said = tuple(str(sentence) for sentence in value["sentences"])
            return cls(path, at, str(value["package"]), bool(value["drifted"]), said)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"is no report of drift ({error!r})",
                where=path,
                remedy="make one with: sightline monitor PACKAGE PICTURES --json",
            ) from error

    def about(self, champion: Manifest) -> bool:
        """Whether it is about this package and version."""
        return self.package == f"{champion.name} {champion.version}"


def due(
    section: RetrainSection,
    champion: Manifest,
    promoted_at: datetime,
    drift: Drift | None,
    fresh: int,
    now: datetime | None = None,
) -> list[Rule]:
    """Each rule that the problem gives, and whether it asks for a new model.

    Args:
        section: the problem's `retrain`.
        champion: manifest of the version in use.
        promoted_at: when it came into use.
        drift: the latest report on drift; one about another version counts for nothing.
        fresh: labelled records that the champion has not seen.
        now: the time; the clock's unless given.
    """
    now = now or datetime.now(UTC)
    rules = []
    if section.drift:
        rules.append(_drift(champion, drift))
    if section.new_labels is not None:
        found = f"{fresh} labelled records that version {champion.version} has not seen"
        rules.append(Rule("new_labels", f"{section.new_labels} or more", found, fresh >= section.new_labels))
    if section.every_days is not None:
        age = now - promoted_at
        found = f"in use for {age / timedelta(days=1):.1f} days"
        rules.append(
            Rule(
                "every_days", f"{section.every_days:g} days", found, age >= timedelta(days=section.every_days)
            )
        )
    return rules


def _drift(champion: Manifest, drift: Drift | None) -> Rule:
    if drift is None:
        return Rule("drift", "drift", "no report of monitor", False)
    when = drift.at.isoformat(timespec="minutes")
    if not drift.about(champion):
        return Rule("drift", "drift", f"{drift.path.name} of {when} is about {drift.package}", False)
    said = "; ".join(drift.sentences) or "drifted"
    return Rule("drift", "drift", f"{when}: {said if drift.drifted else 'none'}", drift.drifted)


def fresh_labels(dataset: Dataset, seen: Split) -> int:
    """Records with labels, or looked at and found empty, that a split does not know."""
    return sum(record.id not in seen.parts for record in dataset.records)
