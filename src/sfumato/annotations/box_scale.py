"""Whether the boxes of a file are drawn to the scale of their images, told on a few of these.

Each box that lies outside its image is refused by itself. Where most do, the whole file is wrong,
and one sentence says more than a thousand refusals: boxes of the images before they were made
smaller, or in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sfumato.boxes import misplaced
from sfumato.errors import SampleError
from sfumato.imaging import codec
from sfumato.sources import Source
from sfumato.types import Box, Face

_LOOKED_AT: Final = 48  # images
_BOXES: Final = 50  # of each
_MOST: Final = 0.5  # of the boxes looked at
_PERCENT: Final = 100.0
_LEAST_BOXES: Final = 12  # that all end by 100, to seem percent
_LARGE: Final = 200  # px: images in which that is no chance


def scale_note(source: Source, faces: Mapping[str, Sequence[Face]], max_pixels: int) -> str:
    """Say in a sentence what is wrong with the scale of all boxes; "" if nothing seems to be.

    `faces` are by the keys of the images below `source`. Only the headers of 48 images are
    read, spread over all that have a box; one that can't be read is passed over.
    """
    keys = [key for key, group in faces.items() if group]
    chosen = keys[:: max(1, -(-len(keys) // _LOOKED_AT))]
    seen: list[tuple[Box, tuple[int, int]]] = []
    for key in chosen:
        try:
            data = source.sample(key).data
            size = codec.inspect(data, max_pixels=max_pixels).upright_size
        except SampleError:
            continue  # it is refused by its own name
        seen += ((face.box, size) for face in faces[key][:_BOXES])
    return _of_boxes(seen)


def _form(times: float) -> str:
    return ".1f" if abs(times) < 1e6 else ".0e"


def _of_boxes(seen: Sequence[tuple[Box, tuple[int, int]]]) -> str:
    if not seen:
        return ""
    wrong = sum(bool(misplaced(box, *size)) for box, size in seen)
    if wrong > _MOST * len(seen):
        across = max(box[2] / width for box, (width, _) in seen)
        down = max(box[3] / height for box, (_, height) in seen)
        reach = f"{across:{_form(across)}} × the images' width and {down:{_form(down)}}"
        return (
            f"{wrong} of {len(seen)} boxes lie outside their images: boxes reach {reach} × "
            "their height. Were they drawn in larger images?"
        )
    within = all(max(box) <= _PERCENT for box, _ in seen)
    if within and len(seen) >= _LEAST_BOXES and all(min(size) >= _LARGE for _, size in seen):
        return (
            f"all {len(seen)} boxes that were looked at end by pixel 100 of images that are much "
            "larger: are they percent? They are taken as pixels."
        )
    return ""
