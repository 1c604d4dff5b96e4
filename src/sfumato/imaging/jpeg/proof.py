"""Read an edited file again and compare it with what it was made from.

Nothing that writing has computed is trusted: the bytes are walked and decoded from scratch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import Code, SampleError
from sfumato.imaging.jpeg.header import Header, read_header
from sfumato.imaging.jpeg.image import Coefficients, JpegImage, decode
from sfumato.imaging.jpeg.markers import (
    Segment,
    holds_preview,
    icc_profile,
    orientation,
    published_profile,
    start_of_image,
    walk,
)

Flags = NDArray[np.bool_]


def check(data: bytes, source: JpegImage, intended: Coefficients, touched: Flags) -> None:
    """Check that `data` holds the intended coefficients, and only touched blocks differ.

    Args:
        data: the edited file.
        source: the file before the edit, as read.
        intended: the coefficients that were to be written.
        touched: for each block, whether it was to change.

    Raises:
        SampleError: `IMAGE_ENCODE`, with what differs: coefficients, tables, coding process,
            sampling, colour, orientation, profile; or with a second image in the file.
    """
    frame = source.header.frame
    segments, end = walk(data)
    header = read_header(segments, max_pixels=frame.width * frame.height)
    _check_headers(source, header, segments)
    if holds_preview(data, segments, end) or start_of_image(data, 2) is not None:
        raise _failed("a second image is left in the file")
    result = decode(segments, end, header).coefficients
    if _differing(result, intended).size:
        raise _failed("coefficients are not those that were to be written")
    if not touched[_differing(result, source.coefficients)].all():
        raise _failed("coefficients changed outside the touched blocks")


def _failed(what: str) -> SampleError:
    return SampleError(Code.IMAGE_ENCODE, f"JPEG: the proof of the edited file failed: {what}")


def _check_headers(source: JpegImage, header: Header, segments: Sequence[Segment]) -> None:
    old = source.header
    same = {
        "size, sampling or coding process": old.frame == header.frame,
        "quantisation tables": old.quantisation == header.quantisation,
        "colour model": old.colour == header.colour,
        "scans or restart markers": _script(old) == _script(header),
        "orientation": orientation(source.segments) == orientation(segments),
        "colour profile": published_profile(source.segments) == icc_profile(segments),
    }
    for name, equal in same.items():
        if not equal:
            raise _failed(f"{name} changed")


def _script(header: Header) -> list[tuple[object, ...]]:
    return [(s.components, s.first, s.last, s.high, s.low, s.interval) for s in header.scans]


def _differing(a: Coefficients, b: Coefficients) -> NDArray[np.intp]:
    """Return the numbers of the blocks in which a coefficient differs; some come repeatedly."""
    return np.flatnonzero(_by_four(a) != _by_four(b)) // 16


def _by_four(coefficients: Coefficients) -> NDArray[np.int64]:
    """View coefficients as (blocks, 16): they are compared four at a time."""
    return coefficients.view(np.int64)
