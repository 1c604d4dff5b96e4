"""JPEG files that careless writers left without an end, tables or a true index are sound."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sfumato.errors import Code, SampleError
from sfumato.imaging import codec, jpeg
from sfumato.imaging.codec import private_metadata
from sfumato.imaging.jpeg.header import read_huffman
from sfumato.imaging.jpeg.markers import DHT, walk
from sfumato.obfuscation import Gaussian
from tests.jpeg_images import coefficients, mpo, saved, several_scans

BOX = (40.0, 30.0, 90.0, 80.0)
END = b"\xff\xd9"


def shown(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def without_tables(data: bytes, kept: int = 0) -> bytes:
    """The same without its Huffman tables, but for the first ones: a frame of Motion JPEG."""
    parts, at, seen = [data[:2]], 2, 0
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        seen += data[at + 1] == DHT
        if data[at + 1] != DHT or seen <= kept:
            parts.append(data[at:end])
        at = end
    return b"".join(parts) + data[at:]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_end_is_put_there(options: dict[str, Any], missing: int) -> None:
    whole = saved(**options)
    data = whole[:-missing]
    assert np.array_equal(codec.decode(data).frames[0], shown(whole))
    edited, wanted = codec.edit(data, [BOX], Gaussian()), codec.edit(whole, [BOX], Gaussian())
    assert edited.data == wanted.data
    clean = codec.strip(data)
    assert clean.endswith(END)
    assert private_metadata(clean) == ()
    assert codec.difference(data, clean) == 0


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_missing_data_are_still_refused(options: dict[str, Any], share: float) -> None:
    data = saved(**options)
    for cut in (data[: int(len(data) * share)], data[:-40], data[:-8]):
        for use in (codec.decode, codec.strip):
            with pytest.raises(SampleError):
                use(cut)
        with pytest.raises(SampleError):
            codec.edit(cut, [BOX], Gaussian())


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kept", [0, 1])
def test_standard_tables_are_supplied_and_written(mode: str, kept: int) -> None:
    whole = saved(mode)
    data = without_tables(whole, kept)
    assert len(data) < len(whole)
    assert np.array_equal(codec.decode(data).frames[0], codec.decode(whole).frames[0])
    edited = codec.edit(data, [BOX], Gaussian())
    assert edited.encoding == "exact"
    again = codec.edit(whole, [BOX], Gaussian()).data
    for one, other in zip(coefficients(edited.data)[0], coefficients(again)[0], strict=True):
        assert np.array_equal(one, other)
    names = {
        name
        for segment in walk(edited.data)[0]
        if segment.marker == DHT
        for name in read_huffman(segment.payload)
    }
    assert names == ({0x00, 0x10} if mode != "RGB" else {0x00, 0x10, 0x01, 0x11})


def test_a_progressive_file_without_tables_is_refused() -> None:
    """Nobody defines which tables those would be."""
    data = without_tables(saved(progressive=True))
    with pytest.raises(SampleError):
        codec.edit(data, [BOX], Gaussian())


def test_files_that_hold_their_tables_get_no_others() -> None:
    for data in (saved(optimize=True), several_scans()):
        result = jpeg.edit(data, [BOX], Gaussian(), max_pixels=10**6)
        before = [s.payload for s in walk(data)[0] if s.marker == DHT]
        after = [s.payload for s in walk(result.data)[0] if s.marker == DHT]
        if result.method == "spliced":
            held = [name for payload in before for name in read_huffman(payload)]
            assert held == [name for payload in after for name in read_huffman(payload)]


def _broken_indices() -> dict[str, bytes]:
    data = mpo(saved())
    at = data.index(b"MPF\0") + 4
    entry = data.index(struct.pack("<HHI", 0xB002, 7, 32))
    second = at + struct.unpack_from("<I", data, entry + 8)[0] + 16 + 8  # its offset
    return {
        "offset-behind-the-end": data[:second] + b"\xff\xff\xff\x7f" + data[second + 4 :],
        "offset-at-no-image": data[:second] + struct.pack("<I", 1000) + data[second + 4 :],
        "cut-off": data[: data.index(END) + 2],
        "no-byte-order": data[:at] + b"xxxx" + data[at + 4 :],
        "no-directory": data[: at + 4] + b"\xff\xff\xff\x7f" + data[at + 8 :],
        "more-entries-than-there-are": data.replace(
            struct.pack("<HHII", 0xB001, 4, 1, 2), struct.pack("<HHII", 0xB001, 4, 1, 9)
        ),
    }


INDICES = _broken_indices()


@pytest.mark.parametrize("name", INDICES)
def test_behind_a_broken_index_the_first_image_is_sound(name: str) -> None:
    data = INDICES[name]
    assert data != mpo(saved())
    header = codec.inspect(data)
    assert (header.format, header.frames) == ("JPEG", 1)
    first = mpo(saved())
    first = first[: first.index(END) + 2]
    assert np.array_equal(codec.decode(data).frames[0], shown(first))
    edited = codec.edit(data, [BOX], Gaussian())
    assert edited.encoding == "exact"
    assert private_metadata(edited.data) == ()
    assert codec.difference(data, codec.strip(data)) == 0


def test_a_true_index_still_leads_to_all_images() -> None:
    data = mpo(saved())
    header = codec.inspect(data)
    assert (header.format, header.frames) == ("MPO", 1)  # the first alone is decoded
    (other,) = codec.embedded_images(data)
    assert other.data is not None
    assert codec.inspect(other.data).width == header.width


def test_the_reason_names_no_bytes_of_the_file() -> None:
    with pytest.raises(SampleError) as refused:
        codec.decode(saved()[:-100])
    assert refused.value.code is Code.IMAGE_DECODE
