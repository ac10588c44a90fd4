"""What the service is told when it starts; every limit has a default that is safe on a small machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sightline.core.errors import UsageError

FORMATS = ("jpeg", "png", "webp", "bmp", "tiff")
MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost.

    Attributes:
        body_bytes: largest body, as sent and after `Content-Encoding` is undone.
        json_bytes: largest JSON part with numbers in it; a parser makes many times that of it in memory.
        buffered_bytes: bodies held at once by all requests together.
        pixels: largest picture, width times height.
        side: longest side of a picture.
        pixels_per_byte: most pixels a byte of a file may claim, for pictures over `bomb_pixels`.
        bomb_pixels: pictures up to this many pixels may be as empty as they like.
        scans: most scans of a progressive JPEG; each costs as much as decoding the picture once.
        pictures: most pictures, or rows of a tensor, in one request.
        formats: kinds of picture files that are decoded at all.
        header_s: seconds for a request's head to arrive.
        body_s: seconds for its body to arrive.
        connections: most connections open at once.
    """

    body_bytes: int = 32 * MEGABYTE
    json_bytes: int = 8 * MEGABYTE
    buffered_bytes: int = 256 * MEGABYTE
    pixels: int = 40_000_000
    side: int = 20_000
    pixels_per_byte: int = 200
    bomb_pixels: int = 4_000_000
    scans: int = 64
    pictures: int = 64
    formats: frozenset[str] = frozenset({"jpeg", "png", "webp", "bmp"})
    header_s: float = 10.0
    body_s: float = 30.0
    connections: int = 1024

    def __post_init__(self) -> None:
        unknown = self.formats - set(FORMATS)
        if unknown or not self.formats:
            raise UsageError(f"formats {sorted(unknown)} are not read", remedy=f"known: {', '.join(FORMATS)}")
        numbers = (self.body_bytes, self.json_bytes, self.buffered_bytes, self.pixels, self.pictures)
        if min(*numbers, self.connections, self.header_s, self.body_s) <= 0:
            raise UsageError("a limit of nothing would refuse everything", remedy="give positive limits")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How packages are served.

    Attributes:
        threads: cores used by each model; None is every core this process may use.
        sessions: calls of the network at once; None is one a core and one more.
        batch: most pictures in one call; None measures it while warming up.
        delay_ms: how long a call may wait for its batch to fill, where more pictures are on their way.
        deadline_ms: a request not answered by then is given up; a client may ask for less.
        queue: most requests that wait; None is what can be answered within half the deadline.
        warmup_s: how long measuring may take, all layouts together.
        runtime: another runtime than the manifest's.
        arithmetic: as `runtime.load` takes it; None is the package's own.
        top: how many classes of `classify` an answer lists.
        limits: what one request may cost.
        origins: web origins besides the service's own that may call it from a browser.
        media: folder whose pictures Label Studio's tasks may name; empty for none.
        drain_s: how long open work may take once the service is told to stop.
        watch_s: how often the packages are looked at for a new version; 0 looks only when asked to.
    """

    threads: int | None = None
    sessions: int | None = None
    batch: int | None = None
    delay_ms: float = 2.0
    deadline_ms: float = 2000.0
    queue: int | None = None
    warmup_s: float = 0.6
    runtime: str | None = None
    arithmetic: Literal["f32", "bf16"] | None = None
    top: int = 5
    limits: Limits = field(default_factory=Limits)
    origins: frozenset[str] = frozenset()
    media: str = ""
    drain_s: float = 20.0
    watch_s: float = 2.0

    def __post_init__(self) -> None:
        wrong = [
            name
            for name in ("threads", "sessions", "batch", "queue")
            if (value := getattr(self, name)) is not None and value < 1
        ]
        if wrong or self.deadline_ms <= 0 or self.delay_ms < 0 or self.top < 1:
            raise UsageError(f"{', '.join(wrong) or 'deadline, delay or top'} must be positive")
