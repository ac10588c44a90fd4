"""Key and value text at the end of an ONNX file, read and written without the onnx library.

An ONNX file is one protocol buffer message, and fields of such a message may be appended: text added
to `metadata_props` (field 14) after the rest leaves every byte before it as it was. So a hash of those
bytes can stand in the text itself, and a file that travels alone can still be checked.
"""

from __future__ import annotations

METADATA_TAG = (14 << 3) | 2
_SKIPPED_BYTES = {1: 8, 5: 4}


def append_metadata(body: bytes, metadata: dict[str, str]) -> bytes:
    """An ONNX file's bytes with the entries added at its end."""
    entries = b"".join(
        _field(METADATA_TAG, _field(10, key.encode()) + _field(18, value.encode()))
        for key, value in metadata.items()
    )
    return body + entries


def split_metadata(data: bytes) -> tuple[bytes, dict[str, str]]:
    """The bytes before the trailing metadata, and all the metadata of an ONNX file.

    Raises:
        ValueError: the bytes are not a whole protocol buffer message.
    """
    at, body_end = 0, 0
    metadata: dict[str, str] = {}
    if not data:
        raise ValueError("0 bytes")
    view = memoryview(data)
    while at < len(data):
        tag, value, at = _read_field(view, at)
        if tag == METADATA_TAG:
            key, text = _entry(value)
            metadata[key] = text
        else:
            body_end = at
    return data[:body_end], metadata


def _entry(value: memoryview) -> tuple[str, str]:
    """Key and value of one StringStringEntryProto."""
    parts = {10: "", 18: ""}
    at = 0
    while at < len(value):
        tag, text, at = _read_field(value, at)
        if tag in parts:
            parts[tag] = bytes(text).decode()
    return parts[10], parts[18]


def _read_field(data: memoryview, at: int) -> tuple[int, memoryview, int]:
    """Tag, content (empty unless length-delimited) and end of the field at `at`."""
    tag, at = _read_varint(data, at)
    kind = tag & 7
    if kind == 2:
        length, at = _read_varint(data, at)
        end = at + length
    elif kind == 0:
        length, end = 0, _read_varint(data, at)[1]
    elif kind in _SKIPPED_BYTES:
        length, end = 0, at + _SKIPPED_BYTES[kind]
    else:
        raise ValueError(f"field of kind {kind} at byte {at}")
    if end > len(data):
        raise ValueError(f"cut short at byte {len(data)}")
    return tag, data[at : at + length], end


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError(f"number cut short at byte {at}")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(tag: int, content: bytes) -> bytes:
    return _varint(tag) + _varint(len(content)) + content
