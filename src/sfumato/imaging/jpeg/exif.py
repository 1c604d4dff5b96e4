"""As much of EXIF as is needed to keep an image upright, and to keep nothing else.

An EXIF segment is a small TIFF file (TIFF 6.0; CIPA DC-008): a byte order, then directories of
12-byte entries (tag, type, count, value or the offset of the value). It is never copied: what
may stay is read and written into a new one, so that nothing can hide in it.
"""

from __future__ import annotations

import struct
from typing import Final

from sfumato.imaging.embedded.orientation import told_by_exif

_HEAD: Final = b"Exif\0\0"
_ORIENTATION, _EXIF_DIRECTORY, _DATE_TAKEN = 0x0112, 0x8769, 0x9003
_SAFE: Final = (0x010F, 0x0110, 0x0132, 0x8298)  # make, model, date changed, copyright
_ASCII, _SHORT, _LONG = 2, 3, 4
_LONGEST_TEXT: Final = 256

_Entry = tuple[int, int, bytes]  # type, count, the 4 bytes of the value field


def orientation_of(payload: bytes) -> int | None:
    """Return tag 0x0112 of an EXIF segment if it is there and lies in 1 to 8."""
    value = told_by_exif(payload)
    return value if value is not None and 1 <= value <= 8 else None


def rebuilt_exif(payload: bytes, turned: int | None, *, keep_safe: bool) -> bytes:
    """Write an EXIF segment that holds an orientation, if there is one; b"" for nothing at all.

    With `keep_safe` also what another segment, `payload`, says of the maker and model of the
    camera, the dates and the copyright line, as printable ASCII. Never the place, notes of the
    maker, or a preview.
    """
    tiff = payload[len(_HEAD) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    texts, taken = {}, b""
    if keep_safe and order is not None:
        main = _directory(tiff, order, _long(tiff, order, 4))
        texts = {tag: text for tag in _SAFE if (text := _text(tiff, order, main.get(tag)))}
        inner = _number(main.get(_EXIF_DIRECTORY), order)
        if inner is not None:
            taken = _text(tiff, order, _directory(tiff, order, inner).get(_DATE_TAKEN))
    if turned is None and not texts and not taken:
        return b""
    return _HEAD + _written(turned, texts, taken)


def orientation_exif(orientation: int) -> bytes:
    """Return an EXIF block with the orientation alone; nothing for the usual one."""
    return rebuilt_exif(b"", orientation if orientation > 1 else None, keep_safe=False)


def kept_exif(block: bytes, orientation: int, policy: str) -> bytes:
    """Return a block with the orientation, and under "keep-safe" what is safe of another one."""
    if policy == "keep-safe" and block:
        block = _HEAD + block.removeprefix(_HEAD)
        told = orientation_of(block)
        turned = told if told == orientation else orientation if orientation > 1 else None
        return rebuilt_exif(block, turned, keep_safe=True)
    return orientation_exif(orientation)


def _long(tiff: bytes, order: str, at: int) -> int:
    """Return the 32-bit number at an offset; 0, where no directory can be, outside the file."""
    return int(struct.unpack_from(order + "I", tiff, at)[0]) if 0 <= at <= len(tiff) - 4 else 0


def _directory(tiff: bytes, order: str, at: int) -> dict[int, _Entry]:
    """Return the entries of the directory at an offset; the first one of each tag counts."""
    entries: dict[int, _Entry] = {}
    if not 8 <= at <= len(tiff) - 2:
        return entries
    (count,) = struct.unpack_from(order + "H", tiff, at)
    for start in range(at + 2, min(at + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHI", tiff, start)
        entries.setdefault(tag, (kind, number, tiff[start + 8 : start + 12]))
    return entries


def _number(entry: _Entry | None, order: str) -> int | None:
    """Return the value of an entry that holds one 16- or 32-bit number."""
    if entry is None or entry[1] != 1 or entry[0] not in (_SHORT, _LONG):
        return None
    return int(struct.unpack_from(order + ("H" if entry[0] == _SHORT else "I"), entry[2])[0])


def _text(tiff: bytes, order: str, entry: _Entry | None) -> bytes:
    """Return the text of an entry, printable ASCII only, cut at a length that no one needs."""
    if entry is None or entry[0] != _ASCII:
        return b""
    _, count, value = entry
    if count > 4:
        start = _long(value, order, 0)
        value = tiff[start : start + min(count, _LONGEST_TEXT)]
    value = value[:count].split(b"\0")[0]
    return bytes(byte for byte in value if 32 <= byte < 127).strip()


def _written(turned: int | None, texts: dict[int, bytes], taken: bytes) -> bytes:
    """Write a little-endian TIFF file of one directory, and a second one for the date taken."""
    entries: list[tuple[int, int, int, bytes]] = [
        (tag, _ASCII, len(text) + 1, text + b"\0") for tag, text in texts.items()
    ]
    if turned is not None:
        entries.append((_ORIENTATION, _SHORT, 1, struct.pack("<H", turned)))
    if not taken:
        return b"II*\0\x08\0\0\0" + _directory_bytes(entries, 8)
    # The inner directory comes last: lay the outer one out once to learn where that is.
    entries.append((_EXIF_DIRECTORY, _LONG, 1, b"\0\0\0\0"))
    inner = 8 + len(_directory_bytes(entries, 8))
    entries[-1] = (_EXIF_DIRECTORY, _LONG, 1, struct.pack("<I", inner))
    date = [(_DATE_TAKEN, _ASCII, len(taken) + 1, taken + b"\0")]
    return b"II*\0\x08\0\0\0" + _directory_bytes(entries, 8) + _directory_bytes(date, inner)


def _directory_bytes(entries: list[tuple[int, int, int, bytes]], at: int) -> bytes:
    """Lay out a directory at an offset: sorted entries, then the values of over 4 bytes."""
    head, tail = struct.pack("<H", len(entries)), b""
    values = at + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in sorted(entries):
        head += struct.pack("<HHI", tag, kind, count)
        if len(value) <= 4:
            head += value.ljust(4, b"\0")
        else:
            head += struct.pack("<I", values + len(tail))
            tail += value + b"\0" * (len(value) % 2)
    return head + b"\0\0\0\0" + tail
