"""One opened stream in PyAV: packets in, frames out, each one counted, and what decodes said plainly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, partial
from typing import IO, Any, Protocol

import av

from sightline.core.errors import MediaError
from sightline.core.frames import to_rgb
from sightline.core.picture import from_av
from sightline.video.sources import Fault, Frame

OPEN_S, READ_S = 8.0, 4.0
_REMEMBERED = 256
NOT_ASKED = "hardware was not asked for"
# RTSP over TCP, so that no packet is lost on the way; a short look at the stream. Not `nobuffer`: that
# throws away what was looked at.
NETWORK = {"rtsp_transport": "tcp", "analyzeduration": "1000000", "probesize": "500000"}

Tap = Callable[[Any], Any]


class Connection(Protocol):
    """A stream that is open: what a live source makes anew after each loss.

    Attributes:
        packets: coded frames that came in.
        decoded: frames that came out; the difference is lost, or still in the decoder.
        corrupt: packets that the decoder refused.
        decoder: what decodes, in words.
        rate: frames a second it claims, or None.
        finite: whether it has an end, so that reaching it is no loss.
    """

    packets: int
    decoded: int
    corrupt: int
    decoder: str
    rate: float | None
    finite: bool

    def frames(self) -> Iterator[Frame | Fault]:
        """Frames with their times of capture, indices from 0; faults of kind `corrupt` between them.

        Raises:
            OSError: the connection is lost (PyAV's errors are OSErrors too).
        """

    def close(self) -> None:
        """Free what it holds."""


@dataclass(slots=True)
class AvOptions:
    """How PyAV opens an address.

    Attributes:
        format: FFmpeg's name of the container or device; None is found out.
        options: FFmpeg's own, by name.
        hardware: whether a hardware decoder is tried.
        threads: decoder threads; 0 lets FFmpeg choose.
        frame_threads: whether threads may hold several frames at once: more a second, each one later.
        tap: called with each packet as it comes; gives the packet to decode, or None to end the stream.
    """

    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    hardware: bool = True
    threads: int = 0
    frame_threads: bool = False
    tap: Tap | None = None


class AvConnection:
    """A `Connection` through FFmpeg.

    Raises:
        MediaError: it holds no video.
        OSError: it cannot be opened.
    """

    def __init__(self, address: str | IO[bytes], name: str, given: AvOptions | None = None) -> None:
        given = given or AvOptions()
        self._name, self._tap = name, given.tap
        device, why_not = hardware_decoder() if given.hardware else (None, NOT_ASKED)
        self._container = _opened(address, given, device)
        if not self._container.streams.video:
            self._container.close()
            raise MediaError("holds no video stream", where=name)
        self._stream: Any = self._container.streams.video[0]
        context = self._stream.codec_context
        self._stream.thread_type = "AUTO" if given.frame_threads else "SLICE"
        context.thread_count = given.threads
        self.packets = self.decoded = self.corrupt = 0
        self.rate = _rate(self._stream)
        self.finite = self._container.duration is not None
        self.seconds = (self._container.duration or 0) / av.time_base
        self.decoder = describe(context, device, why_not)
        self._arrivals: dict[int, float] = {}

    def frames(self) -> Iterator[Frame | Fault]:
        """See `Connection`; what the decoder still holds when the connection is lost comes out first."""
        try:
            for packet in self._container.demux(self._stream):
                if self._tap is not None and packet.size:
                    packet = self._tap(packet)
                    if packet is None:
                        break
                yield from self._decode(packet, time.monotonic())
            yield from self._drain()
        except (av.FFmpegError, OSError) as error:
            yield from self._drain()
            raise ConnectionError(_reason(error)) from error

    def _decode(self, packet: Any, arrived: float) -> Iterator[Frame | Fault]:
        if packet.size:
            self.packets += 1
            if packet.pts is not None:
                self._remember(packet.pts, arrived)
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            if isinstance(error, av.EOFError):
                return
            self.corrupt += 1
            yield Fault(self._name, self.decoded, f"a packet does not decode ({_reason(error)})", "corrupt")
            return
        for frame in frames:
            yield self._frame(frame, arrived)

    def _drain(self) -> Iterator[Frame]:
        """What the decoder still holds; nothing where it was flushed before."""
        arrived = time.monotonic()
        try:
            for frame in self._stream.codec_context.decode(None):
                yield self._frame(frame, arrived)
        except av.FFmpegError:
            return  # what it held is lost, and shows as packets without a frame

    def _frame(self, frame: Any, arrived: float) -> Frame:
        captured = arrived if frame.pts is None else self._arrivals.pop(frame.pts, arrived)
        at = None if frame.pts is None else float(frame.pts * (frame.time_base or Fraction(0)))
        index = self.decoded
        self.decoded += 1
        return Frame(self._name, index, at, partial(to_rgb, frame), partial(from_av, frame), captured)

    def _remember(self, pts: int, arrived: float) -> None:
        self._arrivals[pts] = arrived
        if len(self._arrivals) > _REMEMBERED:
            del self._arrivals[next(iter(self._arrivals))]

    def close(self) -> None:
        """Free the decoder and the connection."""
        self._container.close()


def _opened(address: str | IO[bytes], given: AvOptions, device: str | None) -> Any:
    try:
        return av.open(
            address,
            format=given.format,
            options=dict(given.options),
            timeout=(OPEN_S, READ_S),
            hwaccel=accelerator(device),
        )
    except av.FFmpegError as error:
        raise ConnectionError(_reason(error)) from error


@cache
def hardware_decoder() -> tuple[str | None, str]:
    """The first device on which this FFmpeg decodes H.264, or None; and why there is none."""
    from av.codec.hwaccel import HWAccel, hwdevices_available

    codec = av.Codec("h264", "r")
    known = {config.device_type.name for config in codec.hardware_configs or () if config.is_supported}
    refused = []
    for device in hwdevices_available():
        if device not in known:
            continue
        try:
            HWAccel(device_type=device).create(codec)
        except (av.FFmpegError, OSError, RuntimeError, NotImplementedError) as error:
            refused.append(f"{device}: {_reason(error)}")
        else:
            return device, ""
    return None, "no hardware decoder: " + (", ".join(refused) or "this FFmpeg has none")


def accelerator(device: str | None) -> Any:
    """What `av.open` takes to decode on a device, or None; a stream it cannot decode goes to software."""
    if device is None:
        return None
    from av.codec.hwaccel import HWAccel

    return HWAccel(device_type=device, allow_software_fallback=True)


def describe(context: Any, device: str | None, why_not: str) -> str:
    """What decodes, in words."""
    if device is not None and context.is_hwaccel:
        return f"{context.name} on {device}"
    return f"{context.name} in software ({why_not or f'{device} does not take this stream'})"


def _rate(stream: Any) -> float | None:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate and float(rate) < 1000 else None


def _reason(error: BaseException) -> str:
    """What an error says, without the address: that may hold a password."""
    return str(getattr(error, "strerror", None) or error)
