"""What is known of a picture file before it is decoded; hostile files are in `test_hostile.py`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.serve import pictures
from sightline.serve.options import Limits
from sightline.serve.refusals import Refused

# Mostly the bytes that markers are made of.
CODED = st.lists(st.sampled_from([0xFF, 0xFF, 0xD9, 0xDA, 0x00]), max_size=60).map(bytes)


@given(CODED, st.integers(0, 8), st.integers(1, 9))
def test_the_end_of_a_jpeg_is_where_a_plain_search_finds_it(data: bytes, start: int, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "_PIECE", piece)
        at = data.find(b"\xff\xd9", start)
        scans = data.count(b"\xff\xda", start)
        limits = Limits(scans=max(1, scans))
        assert pictures._jpeg_end(data, start, limits, "x") == (None if at < 0 else at + 2)
        if scans > 1:
            with pytest.raises(Refused, match="scans"):
                pictures._jpeg_end(data, start, Limits(scans=scans - 1), "x")
