"""What may stay of EXIF, written for any format.

`sfumato.imaging.jpeg.exif` reads and writes the blocks themselves; nothing is ever copied from one.
"""

from __future__ import annotations

from sfumato.imaging.jpeg import Policy
from sfumato.imaging.jpeg.exif import orientation_of, rebuilt_exif

_HEAD = b"Exif\x00\x00"


def orientation_exif(orientation: int) -> bytes:
    """Return an EXIF block with the orientation alone; nothing for the usual one."""
    return rebuilt_exif(b"", orientation if orientation > 1 else None, keep_safe=False)


def kept_exif(block: bytes, orientation: int, policy: Policy) -> bytes:
    """Return an EXIF block with the orientation, and under "keep-safe" what is safe of another.

    Safe are the maker and model of the camera, the dates and the copyright line, as printable
    ASCII; never the place, notes of the maker, or a preview.
    """
    if policy == "keep-safe" and block:
        block = _HEAD + block.removeprefix(_HEAD)
        told = orientation_of(block)
        turned = told if told == orientation else orientation if orientation > 1 else None
        return rebuilt_exif(block, turned, keep_safe=True)
    return orientation_exif(orientation)
