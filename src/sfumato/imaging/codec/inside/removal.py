"""Take further images out of a file and prove that its own pixels stay the same.

First only the parts that hold them go: a segment, a chunk, the end; of EXIF the preview, of
Photoshop's resources the block. Where that can't be done or leaves something, all metadata go
(`stripping`). What can't be proved is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from sfumato.errors import Code, SampleError
from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.inside import embedded_images
from sfumato.imaging.codec.inside.found import NOWHERE, Embedded, Part, Span
from sfumato.imaging.codec.inside.parts import parts_of
from sfumato.imaging.codec.reading import MAX_PIXELS
from sfumato.imaging.codec.signatures import HEAD, sniff
from sfumato.imaging.codec.stripping import difference, strip
from sfumato.imaging.jpeg.exif import orientation_of, rebuilt_exif

_EXIF: Final = b"Exif\x00\x00"
_MOST_IN_SEGMENT: Final = 65_533
_PHOTOSHOP: Final = b"Photoshop 3.0\x00"
_ADOBE_BYTES: Final = 12


def take_out(data: bytes, images: Sequence[Embedded], *, max_pixels: int = MAX_PIXELS) -> bytes:
    """Return a file without some of its `embedded_images`; what shares a part with them goes too.

    Its own frames stay the same pixels, with the same profile and orientation.

    Raises:
        SampleError: IMAGE_UNSUPPORTED where that can't be done or proved.
    """
    for clean in _ways(data, images, max_pixels):
        if clean is not None and _proved(data, clean, images, max_pixels):
            return clean
    raise SampleError(
        Code.IMAGE_UNSUPPORTED,
        f"it holds what can't be searched or shows a face ({images[0].kind}), and that can't be "
        "taken out safely",
    )


def _ways(data: bytes, images: Sequence[Embedded], max_pixels: int) -> Iterator[bytes | None]:
    yield _cut(data, images)
    with suppress(SampleError):
        yield strip(data, max_pixels=max_pixels)


def _cut(data: bytes, images: Sequence[Embedded]) -> bytes | None:
    cutter = _CUTTERS.get(sniff(data[:HEAD]) or "")
    if cutter is None:
        return None
    changes: dict[Span, bytes] = {}
    parts = parts_of(data)
    for number in sorted({one.part for one in images}):
        if number == NOWHERE or not parts[number].spans:
            return None
        spans = [one.span for one in images if one.part == number]
        changes |= cutter(data, parts[number], spans)
    if any(part.name == "behind the end" for part in (parts[one.part] for one in images)):
        # An index of what was behind the end.
        indices = [part for part in parts if part.payload.startswith(b"MPF\x00")]
        changes |= {span: b"" for part in indices for span in part.spans}
    clean = _spliced(data, changes)
    return _framed(clean) if clean.startswith(b"RIFF") else clean


def _proved(before: bytes, after: bytes, images: Sequence[Embedded], max_pixels: int) -> bool:
    gone = {one.data for one in images}
    if any(one.data is None or one.data in gone for one in embedded_images(after)):
        return False
    try:
        return difference(before, after, max_pixels=max_pixels) == 0
    except SampleError:
        return False


def _spliced(data: bytes, changes: dict[Span, bytes]) -> bytes:
    pieces, behind = [], 0
    for (start, end), new in sorted(changes.items()):
        pieces += [data[behind:start], new]
        behind = max(behind, end)
    pieces.append(data[behind:])
    return b"".join(pieces)


# One function for each format: what takes the place of a part's bytes in the file.


def _of_jpeg(data: bytes, part: Part, spans: Sequence[Span | None]) -> dict[Span, bytes]:
    changes = dict.fromkeys(part.spans, b"")
    first = part.spans[0]
    marker, payload = data[first[0] + 1], part.payload
    if part.name == "behind the end":
        closed = data[first[0] - 2 : first[0]] == b"\xff\xd9"
        return {first: b"" if closed else b"\xff\xd9"}
    if part.reading == "exif" and len(part.spans) == 1:
        changes[first] = _segment(marker, _kept_exif(payload, spans))
    elif part.reading == "photoshop":
        kept = _kept_resources(payload, spans)
        most = _MOST_IN_SEGMENT - len(_PHOTOSHOP)
        pieces = [kept[at : at + most] for at in range(0, len(kept), most)]
        changes[first] = b"".join(_segment(marker, _PHOTOSHOP + piece) for piece in pieces)
    elif payload.startswith(b"JFIF\x00"):  # without it colours may be taken for others
        changes[first] = _segment(marker, payload[:12] + b"\x00\x00")
    elif payload.startswith(b"Adobe") and marker == 0xEE:
        changes[first] = _segment(marker, payload[:_ADOBE_BYTES])
    return changes


def _segment(marker: int, payload: bytes) -> bytes:
    head = struct.pack(">BBH", 0xFF, marker, len(payload) + 2)
    return head + payload if payload else b""


def _of_png(data: bytes, part: Part, spans: Sequence[Span | None]) -> dict[Span, bytes]:
    changes = dict.fromkeys(part.spans, b"")
    if part.reading == "exif":
        block = _kept_exif(part.payload, spans)
        changes[part.spans[0]] = chunks.png_chunk(b"eXIf", block) if block else b""
    elif data[part.spans[0][0] + 4 :].startswith(b"IEND"):
        changes[part.spans[0]] = chunks.png_chunk(b"IEND", b"")
    return changes


def _of_webp(_: bytes, part: Part, spans: Sequence[Span | None]) -> dict[Span, bytes]:
    changes = dict.fromkeys(part.spans, b"")
    if part.reading == "exif":
        block = _kept_exif(part.payload, spans)
        head = b"EXIF" + struct.pack("<I", len(block))
        changes[part.spans[0]] = head + block + bytes(len(block) % 2) if block else b""
    return changes


def _whole(_: bytes, part: Part, __: Sequence[Span | None]) -> dict[Span, bytes]:
    return dict.fromkeys(part.spans, b"")


def _of_avif(_: bytes, part: Part, __: Sequence[Span | None]) -> dict[Span, bytes]:
    """Return zeros, but for what is behind the end: boxes tell where in the file others lie."""
    behind = part.name == "behind the end"
    return {span: b"" if behind else bytes(span[1] - span[0]) for span in part.spans}


def _framed(data: bytes) -> bytes:
    """Return a WebP whose size and flags fit its chunks again."""
    patched = bytearray(data)
    names = set()
    end = 12
    while end + 8 <= len(data) and end < chunks.riff_end(data):
        name, size = struct.unpack_from("<4sI", data, end)
        names.add(name)
        end += 8 + size + (size & 1)
    struct.pack_into("<I", patched, 4, min(end, len(data)) - 8)
    if data[12:16] == b"VP8X":
        flags = {b"EXIF": 0x08, b"XMP ": 0x04}
        for name, flag in flags.items():
            if name not in names:
                patched[20] &= ~flag & 0xFF
    return bytes(patched)


def _kept_exif(payload: bytes, spans: Sequence[Span | None]) -> bytes:
    """Return an EXIF block with zeros where its images were, and without a preview's directory.

    Nothing moves: notes of the maker point into the block. Where an image can't be wiped so,
    there is a new block with what is safe.
    """
    head = _EXIF if payload.startswith(_EXIF) else b""
    wiped = bytearray(payload)
    for span in spans:
        if span is not None:
            wiped[slice(*span)] = bytes(span[1] - span[0])
    block = head + _without_preview(bytes(wiped[len(head) :]))
    if None not in spans and not _holds_images(block):
        return block
    whole = _EXIF + payload[len(head) :]
    block = rebuilt_exif(whole, orientation_of(whole), keep_safe=True)
    return block[len(_EXIF) - len(head) :]


def _without_preview(block: bytes) -> bytes:
    """Return a block of tags whose first directory leads to no other, the others wiped."""
    try:
        tiff = chunks.parse_tiff(block)
    except chunks.MALFORMED:
        return block
    order, at = tiff.order, struct.unpack_from(tiff.order + "I", block, 4)[0]
    if tiff.big or len(tiff.pages) < 2:
        return block
    cut = bytearray(block)
    link = at + tiff.pages[0].size - 4
    (second,) = struct.unpack_from(order + "I", block, link)
    end = min(second + tiff.pages[1].size, len(block))
    cut[link : link + 4] = bytes(4)
    cut[second:end] = bytes(end - second)
    return bytes(cut)


def _holds_images(block: bytes) -> bool:
    probe = b"\xff\xd8" + _segment(0xE1, _EXIF + block.removeprefix(_EXIF)) + b"\xff\xd9"
    return len(block) > _MOST_IN_SEGMENT - len(_EXIF) or bool(embedded_images(probe))


def _kept_resources(payload: bytes, spans: Sequence[Span | None]) -> bytes:
    """Return Photoshop's resources without the blocks of images; none where these can't be told."""
    if None in spans:
        return b""
    kept, at = [], 0
    while at + 12 <= len(payload):
        start = at + 6 + (payload[at + 6] + 2) // 2 * 2
        size = int.from_bytes(payload[start : start + 4], "big")
        end = start + 4 + size + size % 2
        if not any(span and span[0] < end and at < span[1] for span in spans):
            kept.append(payload[at:end])
        at = end
    return b"".join(kept)


_CUTTERS: Final[dict[str, Callable[[bytes, Part, Sequence[Span | None]], dict[Span, bytes]]]] = {
    "JPEG": _of_jpeg,
    "PNG": _of_png,
    "WEBP": _of_webp,
    "GIF": _whole,
    "AVIF": _of_avif,
}
