"""The search of further images inside a file: which of them must not leave.

The images come from `codec.embedded_images`; here they are decoded and searched for faces like the
file's own. What shows a face goes, and so does what nobody can search.
"""

from __future__ import annotations

from collections.abc import Sequence

from sfumato import codec
from sfumato.codec import Embedded
from sfumato.detection import find
from sfumato.errors import SampleError
from sfumato.types import Detector


def unwanted(
    images: Sequence[Embedded], detectors: Sequence[Detector], *, max_pixels: int
) -> tuple[Embedded, ...]:
    """Return the images that show a face to one of the detectors, or that can't be searched.

    Without a detector none can be. All of them together may have `max_pixels`; what is beyond
    that isn't decoded and counts as not searched.
    """
    left = max_pixels
    goes: dict[bytes | None, bool] = {None: True}  # programs write the same preview twice
    for one in images:
        if one.data not in goes:
            pixels = _pixels(one, left)
            left -= pixels or 0
            searched = bool(detectors) and pixels is not None
            goes[one.data] = not searched or _shows_face(one, detectors, max_pixels)
    return tuple(one for one in images if goes[one.data])


def _pixels(one: Embedded, most: int) -> int | None:
    """Return how many pixels an image has in all its frames; None if they can't be had."""
    if one.data is None:
        return None
    try:
        header = codec.inspect(one.data, max_pixels=most)
    except SampleError:
        return None
    return header.width * header.height * header.frames


def _shows_face(one: Embedded, detectors: Sequence[Detector], max_pixels: int) -> bool:
    try:
        image = codec.decode(one.data or b"", max_pixels=max_pixels)
    except SampleError:
        return True  # perhaps: nobody can say
    return bool(find(image, detectors))
