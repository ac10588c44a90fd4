"""What the review queue keeps: an answered picture, why it is worth a look, and the options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sightline.core.errors import UsageError

Plain = dict[str, Any]
Privacy = Literal["keep", "blur", "results"]
PRIVACIES: tuple[Privacy, ...] = get_args(Privacy)

# Why a picture is kept. A flag says more than any rule, so its value is the only one that reaches 1.
REASONS = ("uncertain", "novel", "unstable", "flagged")
FLAGGED = 1.0
MOST_BY_RULE = 0.99

MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """What is kept of what the service answers, and how much.

    Attributes:
        uncertain: least doubt, 0..1, for which a picture is kept; 1 keeps none for it.
        novel: least novelty, 0..1, as `review_reasons.Novelty` counts it; 1 keeps none for it.
        unstable: least share of answers that came or went between two frames; 1 keeps none for it.
        privacy: `keep` the file as it was sent; `blur` keeps it so coarse that nobody can be known;
            `results` keeps no picture at all.
        budget_mb: most megabytes of pictures; beyond it the least valuable go, the oldest first.
        most_items: most pictures listed, with or without their file.
        most_predictions: most past answers for which labels can still come; the oldest go.
        waiting: most answers that wait to be looked at, and
        waiting_mb: most memory they and the latest answers (which may yet be flagged) hold.
    """

    uncertain: float = 0.6
    novel: float = 0.5
    unstable: float = 0.5
    privacy: Privacy = "keep"
    budget_mb: float = 2048.0
    most_items: int = 50_000
    most_predictions: int = 200_000
    waiting: int = 256
    waiting_mb: float = 64.0

    def __post_init__(self) -> None:
        if self.privacy not in PRIVACIES:
            raise UsageError(f"privacy {self.privacy!r} is not one of {', '.join(PRIVACIES)}")
        wrong = [n for n in ("uncertain", "novel", "unstable") if not 0 <= getattr(self, n) <= 1]
        if wrong:
            raise UsageError(f"{wrong[0]} must lie between 0 and 1, not {getattr(self, wrong[0])}")
        if min(self.budget_mb, self.most_items, self.most_predictions, self.waiting, self.waiting_mb) <= 0:
            raise UsageError("a review queue of nothing keeps nothing", remedy="give positive limits")

    @property
    def budget_bytes(self) -> int:
        """Most bytes of pictures."""
        return int(self.budget_mb * MEGABYTE)


@dataclass(frozen=True, slots=True)
class About:
    """What must be known of a package to read what it answered.

    Attributes:
        tasks: names.
        classes: names by index.
        thresholds: by task.
        quality: what the package promised: `task.metric` -> {value, low, high}.
    """

    tasks: tuple[str, ...]
    classes: tuple[str, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    quality: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def to_json(self) -> Plain:
        """Plain values."""
        return {
            "tasks": list(self.tasks),
            "classes": list(self.classes),
            "thresholds": dict(self.thresholds),
            "quality": {name: dict(row) for name, row in self.quality.items()},
        }

    @classmethod
    def from_json(cls, value: Plain) -> About:
        """What `to_json` gave."""
        return cls(tuple(value["tasks"]), tuple(value["classes"]), value["thresholds"], value["quality"])


@dataclass(frozen=True, slots=True)
class Prediction:
    """One picture that was answered.

    Attributes:
        model: name under which the package was served.
        version: of the package.
        request_id: what the client was told.
        index: which picture of the request, 0-based.
        created: seconds since 1970.
        size_wh: of the picture, in pixels.
        results: plain values by task, as the plain route answers them.
    """

    model: str
    version: str
    request_id: str
    index: int
    created: float
    size_wh: tuple[int, int]
    results: Plain


@dataclass(frozen=True, slots=True)
class Find:
    """A picture that is worth a look.

    Attributes:
        prediction: what was answered.
        reasons: of `REASONS`, each with its value 0..1.
        picture: a picture file as it is to be stored, empty where none is kept.
        suffix: of that file, with its dot.
        hash: 64-bit perceptual hash of what was sent, or None where it is not to be remembered.
        thumb: (64 * 64 + 48) bytes, grey and colours, for telling copies apart; empty where not kept.
        note: what the client who flagged it says.
        group: the stream it is from; frames of one stream are alike.
    """

    prediction: Prediction
    reasons: Mapping[str, float]
    picture: bytes = b""
    suffix: str = ""
    hash: int | None = None
    thumb: bytes = b""
    note: str = ""
    group: str = ""

    @property
    def value(self) -> float:
        """How much it is worth, 0..1: its strongest reason."""
        return max(self.reasons.values(), default=0.0)


State = Literal["open", "exported", "dismissed"]


@dataclass(frozen=True, slots=True)
class Item:
    """A find as it lies in the store.

    Attributes:
        id: its number in the store.
        prediction: what was answered.
        reasons: with their values.
        state: `open`, `exported` (an annotator has it) or `dismissed`.
        seen: how often a picture like it came.
        bytes: of its picture; 0 where none is kept.
        suffix: of the picture's file.
        note: what a client said.
        group: stream it is from, or empty.
    """

    id: int
    prediction: Prediction
    reasons: Mapping[str, float]
    state: str
    seen: int
    bytes: int
    suffix: str
    note: str
    group: str

    @property
    def value(self) -> float:
        """Its strongest reason."""
        return max(self.reasons.values(), default=0.0)

    @property
    def file_name(self) -> str:
        """A name for its picture that no other item has."""
        model = "".join(c if c.isalnum() or c in "-_" else "_" for c in self.prediction.model)
        stamp = int(self.prediction.created * 1000)
        return f"{model}-{stamp:013d}-{self.id:06d}{self.suffix or '.jpg'}"
