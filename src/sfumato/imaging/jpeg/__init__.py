"""Edit JPEG files block by block: only the faces change.

    info = inspect(data)                          # headers and metadata, nothing decoded
    edit = edit(data, boxes, Gaussian(), max_pixels=64_000_000)
    clean = strip(data, "all")                    # metadata by an allow-list

`edit` takes the quantised coefficients of just the blocks under the boxes, obfuscates them in
the file's own planes, and puts them back. Every other coefficient stays the same integer, and
the edited file is read again to prove it. Everything here works on the *stored* image:
mapping boxes through the EXIF orientation is for the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.imaging.jpeg.editing import edited
from sfumato.imaging.jpeg.header import Colour, Component, Frame, Process, read_header
from sfumato.imaging.jpeg.image import read
from sfumato.imaging.jpeg.markers import (
    APP14,
    Policy,
    kept,
    orientation,
    serialise,
    strip,
    walk,
)
from sfumato.imaging.jpeg.proof import check
from sfumato.imaging.jpeg.writing import recoded, spliced
from sfumato.types import Box, Obfuscator

__all__ = [
    "Edit",
    "Policy",
    "check_whole",
    "component_values",
    "edit",
    "inspect",
    "strip",
]

BlockMask: TypeAlias = NDArray[np.bool_]  # (rows, columns) of a component, without padding


@dataclass(frozen=True, slots=True)
class JpegInfo:
    """What the headers and the metadata of a JPEG file say.

    `width` and `height` are those of the stored image, `orientation` is EXIF's, 1 to 8.
    `markers` are those of the segments in their order.
    """

    width: int
    height: int
    components: tuple[Component, ...]
    process: Process
    colour: Colour
    orientation: int
    markers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """An edited file, and which blocks of each component were touched: (rows, columns).

    `method` is how it was written: "identical" (no box: the same bytes), "spliced" (all bits
    outside the touched MCUs and their neighbours were copied) or "recoded" (all scans were
    coded anew from the same coefficients, with the best Huffman tables).
    """

    data: bytes
    touched: tuple[BlockMask, ...]
    method: Literal["identical", "spliced", "recoded"]


def inspect(data: bytes, *, max_pixels: int) -> JpegInfo:
    """Read the headers and the metadata of a JPEG file; no pixel is decoded.

    Raises:
        SampleError: `IMAGE_UNSUPPORTED` for arithmetic coding, 12-bit, lossless and
            hierarchical files; `IMAGE_TOO_LARGE`; `IMAGE_DECODE` where a header breaks the
            standard or claims more than the data can hold.
    """
    segments, _ = walk(data)
    header = read_header(segments, max_pixels=max_pixels)
    frame = header.frame
    return JpegInfo(
        width=frame.width,
        height=frame.height,
        components=frame.components,
        process=frame.process,
        colour=header.colour,
        orientation=orientation(segments),
        markers=tuple(segment.marker for segment in segments),
    )


def check_whole(data: bytes, *, max_pixels: int) -> None:
    """Decode a JPEG file; raises as `edit` does where coded data are missing or corrupt."""
    read(data, max_pixels=max_pixels)


def component_values(info: JpegInfo, colour: tuple[int, int, int]) -> tuple[int, ...]:
    """Return the sample of each component that decoders show as this RGB colour.

    For obfuscators that paint a colour, which `edit` calls on planes: one for each component.
    YCbCr as JFIF defines it (ITU-R BT.601, full range). Adobe stores the inks of CMYK inverted.
    """
    inks = [255 - value for value in colour]
    match info.colour:
        case "grey":
            return _ycc(*colour)[:1]
        case "YCbCr":
            return _ycc(*colour)
        case "CMYK":
            return (*colour, 255) if APP14 in info.markers else (*inks, 0)
        case "YCCK":  # decoders turn YCC to RGB and take that for the inverse of the inks
            return (*_ycc(*inks), 255)
    return colour


def _ycc(red: int, green: int, blue: int) -> tuple[int, ...]:
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = (128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402)
    return tuple(min(max(round(value), 0), 255) for value in (luma, *chroma))


def edit(
    data: bytes,
    boxes: Sequence[Box],
    obfuscator: Obfuscator | Sequence[Obfuscator],
    *,
    max_pixels: int,
    policy: Policy = "faces",
) -> Edit:
    """Obfuscate boxes of a JPEG file and strip its metadata; prove that nothing else changed.

    With no box the same bytes come back. Otherwise: tables, sampling, coding process, restart
    intervals, colour profile and orientation stay; previews, comments, all other metadata and
    what follows the image go (see `strip`).

    Args:
        data: the file.
        boxes: in pixels of the stored image, orientation not applied.
        obfuscator: called on single planes, (h, w, 1), with boxes in their resolution; or one
            for each component, where their values differ (a colour: `component_values`).
        max_pixels: larger images are refused before memory is taken for them.
        policy: with "keep-safe" date, camera and copyright stay.

    Raises:
        SampleError: as `inspect`; `IMAGE_DECODE` where the entropy-coded data are corrupt;
            `IMAGE_ENCODE` if the edited file, read again, isn't what it should be.
    """
    image = read(data, max_pixels=max_pixels)
    frame = image.header.frame
    each = _for_each(obfuscator, len(frame.components))
    if not boxes:
        nothing = np.zeros(frame.block_count, dtype=np.bool_)
        return Edit(data, _masks(frame, nothing), "identical")
    coefficients, touched = edited(image, boxes, each)
    segments = spliced(image, coefficients, touched)
    method: Literal["spliced", "recoded"] = "recoded" if segments is None else "spliced"
    result = serialise(kept(segments or recoded(image, coefficients), policy))
    del segments  # it may be as large as the file
    check(result, image, coefficients, touched)
    return Edit(result, _masks(frame, touched), method)


def _for_each(obfuscator: Obfuscator | Sequence[Obfuscator], count: int) -> list[Obfuscator]:
    each = list(obfuscator) if isinstance(obfuscator, Sequence) else [obfuscator] * count
    if len(each) != count:
        raise ValueError(f"{len(each)} obfuscators for {count} components")
    return each


def _masks(frame: Frame, touched: NDArray[np.bool_]) -> tuple[BlockMask, ...]:
    masks = []
    for index in range(len(frame.components)):
        rows, columns = frame.blocks(index)
        masks.append(touched[frame.numbers(index)[:rows, :columns]])
    return tuple(masks)
