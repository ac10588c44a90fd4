"""GStreamer as a reader: what is plugged in decodes, chosen by rank, and is named.

On boards whose video decoder FFmpeg does not know (Jetson, many ARM boards), GStreamer is how it is
reached. Needs PyGObject (the `gstreamer` extra) and the system's GStreamer with its typelibs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.errors import MissingExtra, UsageError
from sightline.core.picture import Yuv420, as_rgb
from sightline.video.connecting import LiveSource, camera_device, is_live, without_password
from sightline.video.decoding import OPEN_S, READ_S
from sightline.video.sources import Fault, Frame, PictureSource, Source, find_sources

# Best first: NVIDIA's boards, NVIDIA's cards, VA (Intel, AMD), other boards' codecs, software.
DECODERS = (
    "nvv4l2decoder",
    "nvh264dec",
    "nvh265dec",
    "vah264dec",
    "vah265dec",
    "v4l2h264dec",
    "v4l2h265dec",
    "avdec_h264",
    "avdec_h265",
)
_SOFTWARE = "avdec_"
_RANK = 512  # above GStreamer's own PRIMARY (256), whatever a package brings
_HELD = 4
_POLL_S = 0.2
_LATENCY_MS = 50
_TCP = 4
_SECOND = 1_000_000_000


@cache
def gst() -> Any:
    """GStreamer's own module, ready for use.

    Raises:
        MissingExtra: PyGObject is not installed.
        UsageError: GStreamer or its typelibs are not.
    """
    try:
        import gi
    except ModuleNotFoundError as error:
        raise MissingExtra("PyGObject", "gstreamer") from error
    try:
        for name in ("Gst", "GstApp", "GstVideo"):
            gi.require_version(name, "1.0")
        from gi.repository import Gst, GstApp, GstVideo  # noqa: F401  (GstApp gives the sink its methods)
    except (ValueError, ImportError) as error:
        raise UsageError(
            f"GStreamer cannot be used ({error})",
            remedy="on Debian run `make gstreamer`, which names the packages",
        ) from error
    Gst.init(None)
    return Gst


def rank_decoders(*, hardware: bool = True) -> tuple[str, ...]:
    """Set the decoders' ranks, for the whole process, by `DECODERS`; returns those that are installed."""
    registry, found = gst().Registry.get(), []
    for place, name in enumerate(DECODERS):
        feature = registry.lookup_feature(name)
        if feature is None:
            continue
        usable = hardware or name.startswith(_SOFTWARE)
        feature.set_rank(_RANK + len(DECODERS) - place if usable else 0)
        if usable:
            found.append(name)
    return tuple(found)


def open_gstreamer(text: str, *, hardware: bool = True, give_up_s: float = 60.0) -> list[Source]:
    """Sources that GStreamer reads, for the same texts as `connecting.open_address`; pictures as ever.

    Raises:
        MissingExtra: PyGObject is not installed.
        UsageError: GStreamer is not, or the text names nothing.
    """
    rank_decoders(hardware=hardware)
    if is_live(text):
        device = camera_device(text)
        uri = "fd://0" if text == "-" else f"v4l2://{device}" if device else text
        name = "standard input" if text == "-" else device or without_password(text)
        return [LiveSource(name, partial(GstConnection, uri, name), give_up_s=give_up_s)]
    found: list[Source] = []
    for source in find_sources([text]):
        if isinstance(source, PictureSource):
            found.append(source)
        else:
            uri = gst().filename_to_uri(str(Path(source.name).absolute()))
            found.append(LiveSource(source.name, partial(GstConnection, uri, source.name)))
    return found


class GstConnection:
    """A `decoding.Connection` through GStreamer.

    Args:
        uri: what `uridecodebin` takes.
        name: what results call it.

    Raises:
        OSError: it cannot be opened, or gives no frame in time.
    """

    def __init__(self, uri: str, name: str) -> None:
        self._gst, self._name = gst(), name
        self.packets = self.decoded = self.corrupt = 0
        self.rate: float | None = None
        self._chosen = ""
        self._build(uri)
        state = self._pipeline.set_state(self._gst.State.PLAYING)
        self._live = state == self._gst.StateChangeReturn.NO_PREROLL
        try:
            self._first = self._pull(OPEN_S)
        except OSError:
            self.close()
            raise
        known, length = self._pipeline.query_duration(self._gst.Format.TIME)
        self.finite = bool(known and length > 0) or uri.startswith("fd:")
        self.decoder = f"{self._chosen or 'no decoder (raw pictures)'} in GStreamer"

    def _build(self, uri: str) -> None:
        """`uridecodebin ! convert ! 4:2:0 ! appsink`, by hand: a text would need its parts quoted."""
        make = self._gst.ElementFactory.make
        self._pipeline = self._gst.Pipeline.new(None)
        source = make("uridecodebin", None)
        convert = make("nvvidconv", None) or make("videoconvert", None)
        wanted, self._sink = make("capsfilter", None), make("appsink", None)
        if None in (source, convert, wanted, self._sink):
            raise UsageError(
                "GStreamer lacks its base plugins", remedy="on Debian run `make gstreamer`, which names them"
            )
        source.set_property("uri", uri)
        source.connect("source-setup", self._at_source)
        source.connect("pad-added", self._at_pad, convert)
        wanted.set_property("caps", self._gst.Caps.from_string("video/x-raw,format={I420,NV12}"))
        for name, value in {"sync": False, "max-buffers": _HELD, "drop": False}.items():
            self._sink.set_property(name, value)
        self._pipeline.connect("deep-element-added", self._at_element)
        for element in (source, convert, wanted, self._sink):
            self._pipeline.add(element)
        convert.link(wanted)
        wanted.link(self._sink)

    def _at_source(self, _: Any, element: Any) -> None:
        """Low delay, and TCP, so that nothing is lost on the way without a word."""
        for name, value in {"latency": _LATENCY_MS, "protocols": _TCP}.items():
            if element.find_property(name) is not None:
                element.set_property(name, value)

    def _at_pad(self, _: Any, pad: Any, convert: Any) -> None:
        caps = pad.get_current_caps() or pad.query_caps(None)
        sink = convert.get_static_pad("sink")
        if caps.get_structure(0).get_name().startswith("video/") and not sink.is_linked():
            pad.link(sink)

    def _at_element(self, _: Any, __: Any, element: Any) -> None:
        """Note what decodes, count what goes in, and let it live through damage."""
        factory = element.get_factory()
        kind = factory.get_metadata("klass") if factory else ""
        if "Decoder" not in kind or "Video" not in kind:
            return
        self._chosen = factory.get_name()
        if element.find_property("max-errors") is not None:
            element.set_property("max-errors", -1)
        element.get_static_pad("sink").add_probe(self._gst.PadProbeType.BUFFER, self._at_packet)

    def _at_packet(self, *_: Any) -> Any:
        self.packets += 1
        return self._gst.PadProbeReturn.OK

    def frames(self) -> Iterator[Frame | Fault]:
        """See `decoding.Connection`."""
        sample, refused = self._first, self.corrupt
        self._first = None
        while sample is not None:
            yield self._frame(sample)
            sample = self._pull(READ_S)
            while refused < self.corrupt:
                refused += 1
                yield Fault(self._name, self.decoded, "a packet does not decode", "corrupt")
        if not self._chosen:
            self.packets = self.decoded  # raw pictures: nothing was coded

    def _pull(self, patience_s: float) -> Any:
        """The next sample; None at the end of the stream.

        Raises:
            ConnectionError: the pipeline failed.
            TimeoutError: nothing came in time.
        """
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            sample = self._sink.try_pull_sample(round(_POLL_S * _SECOND))
            self._hear()
            if sample is not None:
                return sample
            if self._sink.is_eos():
                return None
        raise TimeoutError(f"no frame for {patience_s:g} s")

    def _hear(self) -> None:
        kinds = self._gst.MessageType.ERROR | self._gst.MessageType.WARNING
        while (message := self._pipeline.get_bus().pop_filtered(kinds)) is not None:
            if message.type == self._gst.MessageType.ERROR:
                raise ConnectionError(message.parse_error()[0].message)
            factory = message.src.get_factory() if hasattr(message.src, "get_factory") else None
            if factory is not None and factory.get_name() == self._chosen:
                self.corrupt += 1

    def _frame(self, sample: Any) -> Frame:
        buffer, now = sample.get_buffer(), time.monotonic()
        at = None if buffer.pts == self._gst.CLOCK_TIME_NONE else buffer.pts / _SECOND
        picture = self._picture(sample.get_caps(), buffer)
        index = self.decoded
        self.decoded += 1
        captured = now - self._held_for(sample, buffer) if at is not None else now
        return Frame(self._name, index, at, partial(as_rgb, picture), lambda: picture, captured)

    def _held_for(self, sample: Any, buffer: Any) -> float:
        """Seconds since a live source stamped this frame; 0 for recordings."""
        if not self._live:
            return 0.0
        running = sample.get_segment().to_running_time(self._gst.Format.TIME, buffer.pts)
        held = (self._pipeline.get_clock().get_time() - self._pipeline.get_base_time() - running) / _SECOND
        return float(min(max(held, 0.0), OPEN_S))

    def _picture(self, caps: Any, buffer: Any) -> Yuv420:
        """The frame's planes, copied once out of GStreamer's memory."""
        from gi.repository import GstVideo

        info = GstVideo.VideoInfo.new_from_caps(caps)
        self.rate = info.fps_n / info.fps_d if info.fps_n and info.fps_d else None
        meta = GstVideo.buffer_get_video_meta(buffer)
        strides, offsets = (meta.stride, meta.offset) if meta else (info.stride, info.offset)
        data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
        width, height = info.width, info.height
        half_wh = ((width + 1) // 2, (height + 1) // 2)
        y = _plane(data, offsets[0], strides[0], width, height)
        if info.finfo.n_planes == 2:
            both = _plane(data, offsets[1], strides[1], 2 * half_wh[0], half_wh[1])
            u, v = np.ascontiguousarray(both[:, 0::2]), np.ascontiguousarray(both[:, 1::2])
        else:
            u, v = (_plane(data, offsets[i], strides[i], *half_wh) for i in (1, 2))
        colours = info.colorimetry
        matrix = "bt709" if colours.matrix == GstVideo.VideoColorMatrix.BT709 else "bt601"
        full = colours.range == getattr(GstVideo.VideoColorRange, "0_255")
        return Yuv420(y, u, v, matrix, full)  # type: ignore[arg-type]

    def close(self) -> None:
        """Stop the pipeline and free it."""
        self._pipeline.set_state(self._gst.State.NULL)


def _plane(data: Any, offset: int, stride: int, width: int, height: int) -> Any:
    """A plane of a buffer as rows; the last row may lack the padding of the others."""
    rows = np.lib.stride_tricks.as_strided(data[offset:], (height, width), (stride, 1), writeable=False)
    if offset + stride * (height - 1) + width > data.size:
        raise OSError(f"a frame of {data.size} bytes is too short for {width}x{height}")
    return rows
