"""The search of further images inside a file: which of them must not leave.

The images come from `codec.embedded_images`; here they are decoded and searched for faces like the
file's own. What shows a face goes, and so does what nobody can search.
"""

from __future__ import annotations

from collections.abc import Sequence

from sfumato.detection.detect import find
from sfumato.errors import SampleError
from sfumato.imaging import codec
from sfumato.imaging.codec import Embedded
from sfumato.types import Detector


def unwanted(
    images: Sequence[Embedded], detectors: Sequence[Detector], *, max_pixels: int
) -> tuple[Embedded, ...]:
    """Return the images that show a face to one of the detectors, or that can't be searched.

    Without a detector none can be. All of them together may have `max_pixels`; what is beyond
    that isn't decoded and counts as not searched.
    """
    left, gone = max_pixels, set[bytes]()
    # Programs write the same preview twice.
    for data in dict.fromkeys(one.data for one in images if one.data is not None):
        pixels = _pixels(data, left)
        left -= pixels or 0
        searched = bool(detectors) and pixels is not None
        if not searched or _shows_face(data, detectors, max_pixels):
            gone.add(data)
    return tuple(one for one in images if one.data is None or one.data in gone)


def _pixels(data: bytes, most: int) -> int | None:
    """Return how many pixels an image has in all its frames; None if they can't be had."""
    try:
        header = codec.inspect(data, max_pixels=most)
    except SampleError:
        return None
    return header.width * header.height * header.frames


def _shows_face(data: bytes, detectors: Sequence[Detector], max_pixels: int) -> bool:
    try:
        image = codec.decode(data, max_pixels=max_pixels)
    except SampleError:
        return True  # perhaps: nobody can say
    return bool(find(image, detectors))
