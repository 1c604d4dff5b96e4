"""What may stay of a colour profile and of EXIF, written for any format.

`sfumato.jpeg.exif` reads and writes the blocks themselves; nothing is ever copied from one.
"""

from __future__ import annotations

import struct
import zlib

from sfumato.codec import chunks
from sfumato.jpeg import Policy
from sfumato.jpeg.exif import rebuilt_exif

_HEAD = b"Exif\x00\x00"
_MOST_PROFILE = 1 << 24  # bytes of a colour profile; a larger one is something else


def orientation_exif(orientation: int) -> bytes:
    """Return an EXIF block with the orientation alone; nothing for the usual one."""
    if orientation == 1:
        return b""
    tag = struct.pack("<HHHIHH", 1, chunks.ORIENTATION, 3, 1, orientation, 0)
    return _HEAD + b"II*\x00\x08\x00\x00\x00" + tag + b"\x00\x00\x00\x00"


def kept_exif(block: bytes, orientation: int, policy: Policy) -> bytes:
    """Return an EXIF block with the orientation, and under "keep-safe" what is safe of another.

    Safe are the maker and model of the camera, the dates and the copyright line, as printable
    ASCII; never the place, notes of the maker, or a preview.
    """
    if policy == "keep-safe" and block:
        rebuilt = rebuilt_exif(_HEAD + block.removeprefix(_HEAD), keep_safe=True)
        if chunks.exif_orientation(rebuilt) == orientation:
            return rebuilt
    return orientation_exif(orientation)


def valid_profile(profile: object) -> bytes | None:
    """Return a colour profile that is one: "acsp" at byte 36 (ICC.1, 7.2.12), cut to its length."""
    if not isinstance(profile, bytes) or len(profile) < 132 or profile[36:40] != b"acsp":
        return None
    length = int.from_bytes(profile[:4], "big")
    return profile[:length] if 132 <= length <= len(profile) else None


def inflated_profile(chunk: bytes) -> bytes | None:
    """Return the profile in the payload of PNG's iCCP; None where there is none."""
    _, _, rest = chunk.partition(b"\x00")
    try:
        return valid_profile(zlib.decompressobj().decompress(rest[1:], _MOST_PROFILE))
    except zlib.error:
        return None
