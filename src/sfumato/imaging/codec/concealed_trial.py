"""What a WebP or an AVIF holds that no viewer shows.

Where their coded data end can only be told by decoding them. So an image is decoded without the
last bytes of each part of its coded data: if it stays the same, nobody needs them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial

from sfumato.imaging.codec import av1, chunks, isobmff, vp8
from sfumato.imaging.codec.behind import CODED, FRAMES, PIXELS, UNKNOWN, holds, needed
from sfumato.imaging.codec.stills import Chunk, webp_frame, webp_still
from sfumato.imaging.codec.trial import pixels_of

_COLOURS = (b"VP8 ", b"VP8L")
_ANIMATION = 0x02  # of VP8X
_FRAME_OBUS = (3, 6)  # a frame header alone, a frame
_KNOWN_OBUS = frozenset((1, 2, 3, 4, 5, 6, 7))  # up to the redundant frame header
_LONGEST_HEAD = 256  # bytes of a sequence header
_MARGIN = 64  # pixels that the tiles of a grid may reach beyond it


def find_webp(data: bytes) -> Iterator[str]:
    """Name second images, frames without an animation, and bytes behind the coded data."""
    parts = [(name, data[a:b]) for name, a, b in chunks.riff_chunks(data)]
    names = [name for name, _ in parts]
    images = [name for name in names if name in _COLOURS]
    moving = names[:1] == [b"VP8X"] and bool(parts[0][1][:1]) and parts[0][1][0] & _ANIMATION
    frames = [payload for name, payload in parts if name == b"ANMF"]
    if len(images) != (0 if moving else 1) or bool(frames) != bool(moving):
        yield FRAMES
        return
    if names.count(b"ALPH") > (0 if moving else 1):
        yield FRAMES
        return
    for one in map(webp_frame, frames) if moving else [parts]:
        yield from _webp_image([part for part in one if part[0] in (*_COLOURS, b"ALPH")])


def _webp_image(parts: list[Chunk]) -> Iterator[str]:
    """Name what is too much in the coded data of one image."""
    names = [name for name, _ in parts]
    if sorted(names) not in ([b"VP8 "], [b"VP8L"], [b"ALPH", b"VP8 "]):
        yield FRAMES
        return
    whole = pixels_of(webp_still(parts))
    if whole is None:
        yield UNKNOWN
        return
    for index, (name, payload) in enumerate(parts):
        for place in _partitions(name, payload):
            cut = partial(_shortened, parts, index, place)
            kept = needed(place[1], partial(_shows, whole, cut))
            if holds((payload[place[0] + kept : sum(place)],)):
                yield CODED


def _shows(whole: bytes, cut: Callable[[int], list[Chunk]], count: int) -> bool:
    return pixels_of(webp_still(cut(count))) == whole


def _partitions(name: bytes, payload: bytes) -> list[tuple[int, int]]:
    """Return (start, size) of each part of a chunk that is coded by itself (RFC 6386, 9.5)."""
    if name != b"VP8 ":
        return [(0, len(payload))]
    first, count = vp8.partitions(payload)
    table = 10 + first
    start = table + 3 * (count - 1)
    places = [(10, first)]
    for index in range(count - 1):
        size = int.from_bytes(payload[table + 3 * index : table + 3 * index + 3], "little")
        places.append((start, size))
        start += size
    places.append((start, max(len(payload) - start, 0)))
    return places


def _shortened(parts: list[Chunk], index: int, place: tuple[int, int], count: int) -> list[Chunk]:
    """Return the chunks with one part of one of them cut down to so many bytes."""
    name, payload = parts[index]
    start, size = place
    cut = bytearray(payload[: start + count] + payload[start + size :])
    if name == b"VP8 ":
        places = _partitions(name, payload)
        number = places.index(place)
        if number == 0:
            tag = int.from_bytes(payload[:3], "little") & 0x1F | count << 5
            cut[:3] = tag.to_bytes(3, "little")
        elif number < len(places) - 1:
            at = 10 + places[0][1] + 3 * (number - 1)
            cut[at : at + 3] = count.to_bytes(3, "little")
    return [*parts[:index], (name, bytes(cut)), *parts[index + 1 :]]


def cut_webp(data: bytes) -> bytes:
    """Return a still WebP without chunks that aren't shown.

    Raises:
        ValueError: what is too much lies in the coded data of the image that is shown.
    """
    parts = [(name, data[a:b]) for name, a, b in chunks.riff_chunks(data)]
    if parts[0][0] == b"VP8X" and parts[0][1][0] & _ANIMATION:
        raise ValueError("an animation")
    first = [name in _COLOURS for name, _ in parts].index(True)
    gone = {*_COLOURS, b"ANMF", b"ANIM"}
    front = [part for part in parts[:first] if part[0] not in gone]
    behind = [part for part in parts[first + 1 :] if part[0] not in {*gone, b"ALPH"}]
    shown = [*front, parts[first], *behind]
    image = [part for part in shown if part[0] in (*_COLOURS, b"ALPH")]
    if list(_webp_image(image)):
        raise ValueError("more than its pixels")
    return chunks.webp_written(shown) + data[chunks.riff_end(data) :]


def find_avif(data: bytes) -> Iterator[str]:
    """Name frames, pixels and bytes in the coded data of an AVIF that nobody sees.

    That of its own image: other items are told by `private_metadata`.
    """
    avif = isobmff.parse_avif(data)
    for item in avif.shown():
        coded = avif.bytes_of(item)
        units = av1.obus(coded)
        if sum(kind in _FRAME_OBUS for kind, _, _ in units) != 1:
            yield FRAMES
            return
        sizes = {(one.width, one.height) for one in av1.sequences(coded)}
        if sizes != {avif.size(item)}:
            yield PIXELS
        strange = [coded[a:b] for kind, a, b in units if kind not in _KNOWN_OBUS]
        strange += [coded[a + _LONGEST_HEAD : b] for kind, a, b in units if kind == 1]
        strange += [coded[a:b] for kind, a, b in units if kind in (2, 7)]
        told = (part for part in item.properties if part.name == b"av1C")
        strange += [avif.data[part.start + _LONGEST_HEAD : part.end] for part in told]
        if holds(strange) or _behind(avif, item, units):
            yield CODED
    yield from _grid(avif)


def _behind(avif: isobmff.Avif, item: isobmff.Item, units: list[tuple[int, int, int]]) -> bool:
    """Tell whether the last tiles show the same without their last bytes.

    These become padding, an OBU of its own, so that everything stays where it is.
    """
    places = [place for place in units if place[0] in (4, 6)]
    if not places or len(item.extents) != 1:
        return True
    _, start, end = places[-1]
    data, offset = avif.data, item.extents[0][0]
    coded = avif.bytes_of(item)
    tail = coded[end:]

    def enough(count: int) -> bool:
        head = _sized(count, coded, start)
        gap = end - start - count
        if head is None or gap < 2:
            return False
        at, field = head
        filler = b"\x7a" + _leb128(gap - 2 if gap - 2 < 128 else gap - 4, 1 if gap < 130 else 3)
        filler = filler.ljust(gap, b"\x80")
        shorter = coded[:at] + field + coded[start : start + count] + filler + tail
        patched = data[:offset] + shorter + data[offset + len(coded) :]
        return pixels_of(patched) == whole

    whole = pixels_of(data)
    kept = needed(end - start, enough)
    return holds((coded[start + kept : end],))


def _sized(count: int, coded: bytes, start: int) -> tuple[int, bytes] | None:
    """Return where the length of the OBU whose payload begins here stands, and its new bytes."""
    at = start - 1
    while at > 0 and coded[at - 1] & 0x80 and start - at < 8:
        at -= 1
    if at < 1 or count >> 7 * (start - at):
        return None
    return at, _leb128(count, start - at)


def _leb128(value: int, width: int) -> bytes:
    rest = [value >> 7 * index & 0x7F for index in range(width)]
    return bytes(byte | 0x80 for byte in rest[:-1]) + bytes(rest[-1:])


def _grid(avif: isobmff.Avif) -> Iterator[str]:
    """Name what the tiles of a grid hold beyond it."""
    for number in sorted(avif.parts()):
        item = avif.items[number]
        if item.kind != b"grid":
            continue
        told = avif.bytes_of(item)
        rows, columns = told[2] + 1, told[3] + 1
        width, height = struct.unpack_from(">II" if told[1] & 1 else ">HH", told, 4)
        tiles = [to for kind, source, to in avif.references if kind == b"dimg" and source == number]
        if len(tiles) != rows * columns or len(set(tiles)) != len(tiles):
            yield FRAMES
            return
        across, down = avif.size(avif.items[tiles[0]])
        if columns * across - width > _MARGIN or rows * down - height > _MARGIN:
            yield PIXELS
