"""Obfuscate images of 16 bits a channel in all their bits, and write them as they came.

Obfuscators take 8 bits. They get the samples stretched between the least and the largest that they
are asked to change, so that no level is lost where a file uses 10 bits of 16. Within their reach
nothing but what they return is written: of a sample's own bits below those 8 none stays. Where the
high bytes draw the image, the low ones repeat them there, as in an image that once had 8 bits.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.errors import Code, SampleError
from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.encoding import Edited, png_extras, tiff_texts
from sfumato.imaging.codec.profile import published_profile
from sfumato.imaging.codec.reading import Opened
from sfumato.imaging.codec.rebuilding import Entry, append_part, one_page
from sfumato.imaging.codec.renderings import BRIGHT
from sfumato.imaging.codec.samples import Samples, png_samples, tiff_samples
from sfumato.imaging.embedded.panorama import panorama_packet
from sfumato.imaging.jpeg import Policy
from sfumato.types import Box, Obfuscator, Pixels

_FULL: Final = 65535
_COMPRESSIONS: Final = {
    1: "raw",
    5: "tiff_lzw",
    8: "tiff_adobe_deflate",
    32773: "packbits",
    32946: "tiff_adobe_deflate",
}
_DEFLATE: Final = 8
# Colours, orientation, resolution, extra samples, sample format, and the text of "keep-safe".
_KEPT: Final[tuple[int, ...]] = (254, 256, 257, 258, 262, 274, 277, 282, 283, 296, 338, 339)


def samples_of(opened: Opened) -> Samples:
    """Return the stored samples of an image of 16 bits.

    Raises:
        SampleError: IMAGE_UNSUPPORTED for others than PNG and TIFF.
    """
    found: Samples | None = None
    if opened.header.format == "PNG":
        found = png_samples(opened.data)
    elif opened.header.format == "TIFF":
        found = tiff_samples(opened.data)
    if found is None or not 1 <= found.shape[2] <= 4:
        reason = f"faces can't be obfuscated in {opened.header.bits}-bit images of this kind yet"
        raise SampleError(Code.IMAGE_UNSUPPORTED, reason)
    return found


def obfuscated(samples: Samples, boxes: Sequence[Box], obfuscator: Obfuscator) -> Samples:
    """Return samples of which all bits within the reach of the boxes are what a cover gives."""
    height, width = samples.shape[:2]
    places = [
        (slice(max(int(y0), 0), max(int(y1), 0)), slice(max(int(x0), 0), max(int(x1), 0)))
        for x0, y0, x1, y1 in (_outwards(reach) for reach in obfuscator.reaches(boxes))
    ]
    touched = np.zeros((height, width), dtype=np.bool_)
    for place in places:
        touched[place] = True
    if not touched.any():
        return samples.copy()
    channels = samples.shape[2]
    low, high = np.zeros(channels, np.int64), np.full(channels, _FULL, np.int64)
    if getattr(obfuscator, "colour", None) is None:
        inside = samples[touched]
        low, high = inside.min(axis=0).astype(np.int64), inside.max(axis=0).astype(np.int64)
    span = np.maximum(high - low, 1)
    above = np.clip(samples, low, high) - low
    shown: Pixels = ((above * 255 + span // 2) // span).astype(np.uint8)
    del above
    shown.flags.writeable = False  # it belongs to us
    covered = obfuscator(shown, boxes)[touched].astype(np.int64)
    covered = low + (covered * span + 127) // 255
    if int(samples.max()) >= BRIGHT:  # low bytes that repeat the high ones say nothing more
        covered = (covered + 128) // 257 * 257
    result = samples.copy()
    result[touched] = covered.astype(np.uint16)
    return result


def _outwards(box: Box) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box
    return int(np.floor(x0)), int(np.floor(y0)), int(np.ceil(x1)), int(np.ceil(y1))


def write_deep(opened: Opened, samples: Samples, policy: Policy) -> Edited:
    """Write an image of 16 bits in the format, byte order and compression that it came in.

    What else it keeps is the same as of 8 bits. A TIFF is written in strips with its channels
    together; a compression with loss, or one that isn't common, becomes deflate.
    """
    write = _png if opened.header.format == "PNG" else _tiff
    return Edited(write(opened, samples, policy), "exact")


def _png(opened: Opened, samples: Samples, policy: Policy) -> bytes:
    height, width, channels = samples.shape
    head = opened.data[16:28] + b"\x00"  # not interlaced
    kept = png_extras(opened, policy)
    for name, start, end in chunks.png_chunks(opened.data):
        if name == b"tRNS" and end - start == 2 * channels and channels in (1, 3):
            kept.append(chunks.png_chunk(name, opened.data[start:end]))
    rows = samples.astype(">u2").view(np.uint8).reshape(height, 2 * width * channels)
    coded = zlib.compress(_filtered(rows, 2 * channels), 6)
    parts = (chunks.png_chunk(b"IHDR", head), *kept, chunks.png_chunk(b"IDAT", coded))
    return opened.data[:8] + b"".join((*parts, chunks.png_chunk(b"IEND", b"")))


def _filtered(rows: NDArray[np.uint8], step: int) -> bytes:
    """Give each row the filter that leaves the least, by PNG's own rule of thumb (section 12.7)."""
    left, up = np.zeros_like(rows), np.zeros_like(rows)
    left[:, step:], up[1:] = rows[:, :-step], rows[:-1]
    tried = [rows, rows - left, rows - up]
    sizes = [np.abs(one.view(np.int8).astype(np.int32)).sum(axis=1) for one in tried]
    best = np.argmin(np.stack(sizes), axis=0)
    out = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    out[:, 0] = best
    for kind, one in enumerate(tried):
        out[best == kind, 1:] = one[best == kind]
    return out.tobytes()


def _tiff(opened: Opened, samples: Samples, policy: Policy) -> bytes:
    tiff = chunks.parse_tiff(opened.data)
    tags, order = tiff.pages[0].tags, tiff.order
    coding = tiff.number(0, 259, 1)
    coding = coding if coding in _COMPRESSIONS else _DEFLATE
    differenced = tiff.number(0, 317, 1) == 2 and coding not in (1, 32773)
    height, width, channels = samples.shape
    if differenced:
        samples = samples.copy()
        samples[:, 1:] -= samples[:, :-1].copy()
    rows = samples.astype(order + "u2").view(np.uint8).reshape(height, 2 * width * channels)
    per_strip, strips = _strips(rows, _COMPRESSIONS[coding])
    out = bytearray(opened.data[: tiff.head])
    places = [append_part(out, strip) for strip in strips]
    entries: list[Entry] = [
        (number, tags[number].type, tags[number].count, _value(tiff, tags[number]))
        for number in _KEPT
        if number in tags
    ]
    told = {259: coding, 278: per_strip, 284: 1} | ({317: 2} if differenced else {})
    entries += [(tag, 4, 1, struct.pack(order + "I", value)) for tag, value in told.items()]
    entries += [(274, 3, 1, struct.pack(order + "H", opened.header.orientation))] * (
        opened.header.orientation != 1 and 274 not in tags
    )
    for tag, values in ((273, places), (279, [len(strip) for strip in strips])):
        entries.append((tag, 4, len(values), struct.pack(f"{order}{len(values)}I", *values)))
    if packet := panorama_packet(opened.xmp):
        entries.append((700, 1, len(packet), packet))
    profile = published_profile(opened.image.info.get("icc_profile"))
    entries += [(34675, 7, len(profile), profile)] if profile else []
    entries += tiff_texts(opened, policy)
    return one_page(out, tiff, entries)


def _value(tiff: chunks.Tiff, tag: chunks.Tag) -> bytes:
    value = tiff.data[tag.at : tag.at + tag.size]
    if len(value) < tag.size:
        raise ValueError("a value reaches past the end of the file")
    return value


def _strips(rows: NDArray[np.uint8], compression: str) -> tuple[int, list[bytes]]:
    """Compress rows of bytes; return how many rows each strip has, and the strips."""
    out = io.BytesIO()
    Image.fromarray(rows).save(out, "TIFF", compression=compression)
    data = out.getvalue()
    tiff = chunks.parse_tiff(data)
    strips = [data[at : at + size] for at, size in chunks.tiff_parts(tiff, 0)]
    return tiff.number(0, 278, len(rows)), strips
