"""Live sources: connect, read, lose, wait, connect again; and the addresses that name them."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from sightline.core.errors import MediaError, UsageError
from sightline.video.clock import Timeline
from sightline.video.decoding import NETWORK, OPEN_S, READ_S, AvConnection, AvOptions, Connection
from sightline.video.sources import Fault, Frame, Source, find_sources

Backend = Literal["pyav", "gstreamer"]
SCHEMES = ("rtsp", "rtsps", "http", "https", "tcp", "udp", "rtp", "srt", "rtmp")
_CAMERA = re.compile(r"(?:/dev/video|camera:)(\d+)")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before each try to connect again: `first_s`, doubled each time, `most_s` at most."""

    first_s: float = 0.1
    most_s: float = 2.0

    def __call__(self, tries: int) -> float:
        """Seconds to wait after `tries` failures in a row, at least one."""
        return min(self.most_s, self.first_s * 2.0 ** min(tries - 1, 30))


class LiveSource:
    """A camera or a network stream, sought again whenever it is lost.

    Indices count on through every loss, and times run on (`clock.Timeline`).

    Args:
        name: what results call it.
        connect: opens a connection; called in the thread that iterates.
        backoff: see `Backoff`.
        give_up_s: seconds without a frame after which the source ends with a fault.

    Attributes:
        packets: coded frames that came in, over all connections.
        decoded: frames that came out.
        corrupt: packets the decoder refused.
        losses: connections lost.
        longest_gap_s: longest time from a loss to the next frame.
        timeline: where jumps of the source's clock are counted.
        decoder: what decodes, in words; empty before the first connection.
    """

    length: int | None = None

    def __init__(
        self,
        name: str,
        connect: Callable[[], Connection],
        *,
        backoff: Backoff | None = None,
        give_up_s: float = 60.0,
    ) -> None:
        self.name, self._connect = name, connect
        self._backoff, self._give_up_s = backoff or Backoff(), give_up_s
        self._stop = threading.Event()
        self._past = [0, 0, 0]
        self._lost_s: float | None = None
        self._open: Connection | None = None
        self.losses, self.longest_gap_s = 0, 0.0
        self.timeline, self.decoder = Timeline(), ""
        self.rate: float | None = None

    @property
    def packets(self) -> int:
        """Coded frames that came in."""
        return self._past[0] + (self._open.packets if self._open else 0)

    @property
    def decoded(self) -> int:
        """Frames that came out."""
        return self._past[1] + (self._open.decoded if self._open else 0)

    @property
    def corrupt(self) -> int:
        """Packets that the decoder refused."""
        return self._past[2] + (self._open.corrupt if self._open else 0)

    def heed(self, stop: threading.Event) -> None:
        """End when `stop` is set, from whichever thread; at the latest when the read under way returns."""
        self._stop = stop

    def __iter__(self) -> Iterator[Frame | Fault]:
        """Frames for as long as the source gives them.

        Raises:
            MediaError: it cannot be opened in the first place.
        """
        self._begin(self._first())
        tries, without_s = 0, 0.0
        while not self._stop.is_set():
            before, began = self.decoded, time.monotonic()
            reason, ended = yield from self._one_connection()
            if ended or self._stop.is_set():
                return
            if not tries or self.decoded > before:
                tries, without_s, began = 0, 0.0, time.monotonic()
                self._lost_s = began
                self.losses += 1
                yield Fault(self.name, self.decoded, f"lost: {reason}", "disconnected")
            tries += 1
            if tries > 1 and without_s > self._give_up_s:
                yield Fault(self.name, self.decoded, f"gone for {self._give_up_s:g} s: {reason}")
                return
            self._stop.wait(self._backoff(tries))
            # A machine that was asleep in between has not tried for that long.
            without_s += min(time.monotonic() - began, OPEN_S + READ_S)

    def _one_connection(self) -> Generator[Frame | Fault, None, tuple[str, bool]]:
        """Everything one connection gives; returns why it is over, and whether that is the end."""
        try:
            connection = self._open or self._begin(self._connect())
            for item in self._read(connection):
                yield item
                if self._stop.is_set():
                    break
            return "the stream ended", connection.finite
        except (OSError, MediaError) as error:
            return str(error), False
        finally:
            self._end()

    def _first(self) -> Connection:
        try:
            return self._connect()
        except OSError as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise MediaError(f"cannot be opened ({reason})", where=self.name) from error

    def _begin(self, connection: Connection) -> Connection:
        self._open = connection
        self.decoder, self.rate = connection.decoder, connection.rate
        return connection

    def _end(self) -> None:
        if self._open is not None:
            now = (self._open.packets, self._open.decoded, self._open.corrupt)
            self._past = [a + b for a, b in zip(self._past, now, strict=True)]
            self._open.close()
            self._open = None

    def _read(self, connection: Connection) -> Iterator[Frame | Fault]:
        """Items of one connection with indices and times that run on from the last."""
        first, fresh = self._past[1], True
        for item in connection.frames():
            if isinstance(item, Frame):
                if self._lost_s is not None:
                    self.longest_gap_s = max(self.longest_gap_s, time.monotonic() - self._lost_s)
                    self._lost_s = None
                captured = time.monotonic() if item.captured_s is None else item.captured_s
                at = self.timeline.seconds(item.time_s, captured, fresh=fresh)
                item, fresh = replace(item, time_s=at, captured_s=captured), False
            yield replace(item, source=self.name, index=first + item.index)


def is_live(text: str) -> bool:
    """Whether a text names no file but a camera, an address, or (`-`) standard input."""
    if Path(text).exists():
        return camera_device(text) is not None and not Path(text).is_file()
    return text == "-" or camera_device(text) is not None or "://" in text


def goes_on(text: str) -> bool:
    """Whether a text names something that goes on without us: a camera or the network."""
    return is_live(text) and text != "-"


def camera_device(text: str) -> str | None:
    """The device that `/dev/video0` or `camera:0` names, or None."""
    found = _CAMERA.fullmatch(text)
    return f"/dev/video{found[1]}" if found else None


def open_address(
    text: str, *, backend: Backend = "pyav", hardware: bool = True, **options: Any
) -> list[Source]:
    """Sources for a file, a folder, a glob, or what `open_live` takes, read by the backend that is named.

    Raises:
        UsageError: it names nothing, or its scheme is unknown.
        MissingExtra: GStreamer is asked for and not installed.
    """
    if backend == "gstreamer":
        from sightline.video.gstreamer import open_gstreamer

        return open_gstreamer(text, hardware=hardware, give_up_s=options.get("give_up_s", 60.0))
    if is_live(text):
        return [open_live(text, hardware=hardware, **options)]
    return find_sources([text], hardware=hardware)


def open_live(
    text: str, *, hardware: bool = True, options: dict[str, str] | None = None, give_up_s: float = 60.0
) -> Source:
    """A source for a camera (`/dev/video0`, `camera:0`), an address, or standard input (`-`).

    Args:
        text: what to open.
        hardware: whether hardware decoders are tried.
        options: FFmpeg's own, by name.
        give_up_s: see `LiveSource`.

    Raises:
        UsageError: its scheme is unknown.
    """
    given = AvOptions(options=options or {}, hardware=hardware)
    device, scheme = camera_device(text), text.partition("://")[0].lower()
    if text == "-":
        given.frame_threads = True
        return LiveSource("standard input", _Piped(given), give_up_s=give_up_s)
    if device is not None:
        given.format = "v4l2"
        return LiveSource(device, partial(AvConnection, device, device, given), give_up_s=give_up_s)
    if scheme not in SCHEMES:
        return _plugin(scheme, text)
    given.options = {**NETWORK, **given.options}
    name = without_password(text)
    return LiveSource(name, partial(AvConnection, text, name, given), give_up_s=give_up_s)


class _Piped:
    """Standard input as a connection that has an end."""

    def __init__(self, given: AvOptions) -> None:
        self._given = given

    def __call__(self) -> Connection:
        connection = AvConnection(sys.stdin.buffer, "standard input", self._given)
        connection.finite = True
        return connection


def without_password(address: str) -> str:
    """An address as results may show it: no user, no password, no query (which often holds a key)."""
    parts = urlsplit(address)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=place, query="", fragment="").geturl()


def _plugin(scheme: str, text: str) -> Source:
    """A source that a third party declared for a scheme (`sightline.sources`)."""
    plugins: dict[str, Any] = {point.name: point for point in entry_points(group="sightline.sources")}
    if scheme not in plugins:
        known = ", ".join([*SCHEMES, *plugins])
        raise UsageError(
            f"no source reads {scheme}://", where=without_password(text), remedy=f"known are {known}"
        )
    found: Source = plugins[scheme].load()(text)
    return found
