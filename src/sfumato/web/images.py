"""What a reviewer sees of an image: a screen-size copy, a native crop, a small one of a face.

Never the file's own bytes: each is decoded behind the codec's guards, cut, greyed where it must
not be seen, and encoded anew without any metadata. A file that isn't the one that was searched
for faces isn't shown: its boxes would speak of another image.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from PIL import Image

from sfumato.boxes import clip, grow
from sfumato.errors import Code, SampleError
from sfumato.imaging.codec.reading import first_frame
from sfumato.sources import open_source
from sfumato.types import Box, Pixels
from sfumato.web.refusals import known
from sfumato.web.shelf import Shelf

SCREEN: Final = 1600  # pixels of the longer side of a copy
CROP: Final = 512  # pixels of the longest side of the magnifier's crop
FACE: Final = 160  # pixels of a side of a gallery's crop
_QUALITY: Final = 90
_GREY: Final = 128
_GROWN: Final = 1.0  # a redacted proposal is seen with its own size around it, on each side
_LEAST_SEEN: Final = 48.0  # and with that many pixels around its middle at least
_FACE_GROWN: Final = 0.5  # a face in the gallery fills half of the crop

Window: TypeAlias = tuple[int, int, int, int]  # whole pixels x0 y0 x1 y1


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image as the queue names it. `shown`: all else is grey; None shows everything.

    `eye` is whose lease it is: nothing is kept for one that was made for another. Everybody sees
    the gold questions, and what lies ready would tell them by its speed.
    """

    key: str
    digest: str
    width: int
    height: int
    shown: tuple[Box, ...] | None = None
    eye: str = ""


class ServedImages:
    """Makes what is seen, from the files below `root`. Any thread may ask.

    `memory` bytes of decoded images are kept, and an eighth as much of encoded copies.
    """

    def __init__(self, root: Path, *, memory: int = 256 * 2**20) -> None:
        self._source = open_source(root)
        self._decoded: Shelf[Pixels] = Shelf(memory, lambda pixels: pixels.nbytes)
        self._encoded: Shelf[bytes] = Shelf(memory // 8, len)

    def screen(self, wanted: Wanted) -> bytes:
        """Return a JPEG of the whole image, at most 1600 pixels on the longer side.

        Raises:
            Refusal: 409 if the file is another by now, 422 if it went or can't be read.
        """

        def make() -> bytes:
            window = (0, 0, wanted.width, wanted.height)
            return _jpeg(self._window(wanted, window), SCREEN)

        return self._encoded.get(("screen", wanted.eye, wanted.digest, wanted.shown), make)

    def crop(self, wanted: Wanted, window: Window) -> bytes:
        """Return a JPEG of a window inside the image, pixel by pixel; raises as `screen`."""
        return _jpeg(self._window(wanted, window), CROP)

    def face(self, wanted: Wanted, box: Box) -> bytes:
        """Return a JPEG of 160×160 pixels around a box, grey beyond the image; as `screen`."""

        def make() -> bytes:
            x0, y0, x1, y1 = grow(box, _FACE_GROWN)
            half = max(x1 - x0, y1 - y0, 8.0) / 2
            middle = ((x0 + x1) / 2, (y0 + y1) / 2)
            square = tuple(math.floor(at + side) for side in (-half, half) for at in middle)
            return self._square(wanted, (square[0], square[1], square[2], square[3]))

        return self._encoded.get(("face", wanted.eye, wanted.digest, wanted.shown, box), make)

    def _square(self, wanted: Wanted, square: Window) -> bytes:
        x0, y0, x1, y1 = square
        window = (max(0, x0), max(0, y0), min(wanted.width, x1), min(wanted.height, y1))
        seen = Image.fromarray(self._window(wanted, window))
        scale = FACE / max(x1 - x0, y1 - y0)
        size = (max(1, round(seen.width * scale)), max(1, round(seen.height * scale)))
        canvas = Image.new("RGB", (FACE, FACE), (_GREY,) * 3)
        at = (round((window[0] - x0) * scale), round((window[1] - y0) * scale))
        canvas.paste(seen.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), at)
        return _saved(canvas)

    def _window(self, wanted: Wanted, window: Window) -> Pixels:
        """Return a copy of a window, grey outside of what may be seen."""
        x0, y0, x1, y1 = window
        pixels = self._pixels(wanted)[y0:y1, x0:x1]
        if wanted.shown is None:
            return np.ascontiguousarray(pixels)
        seen = np.full_like(pixels, _GREY)
        for box in wanted.shown:
            inside = clip((box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0), x1 - x0, y1 - y0)
            if inside is not None:
                left, top = math.floor(inside[0]), math.floor(inside[1])
                right, bottom = math.ceil(inside[2]), math.ceil(inside[3])
                seen[top:bottom, left:right] = pixels[top:bottom, left:right]
        return seen

    def _pixels(self, wanted: Wanted) -> Pixels:
        return self._decoded.get((wanted.eye, wanted.digest), lambda: self._decode(wanted))

    def _decode(self, wanted: Wanted) -> Pixels:
        try:
            sample = self._source.sample(wanted.key)
            if sample.digest != wanted.digest:
                raise known("IMAGE_CHANGED")
            pixels = first_frame(sample.data)
        except SampleError as error:
            gone = error.code == Code.LINK_BROKEN
            raise known("IMAGE_GONE" if gone else "IMAGE_UNREADABLE") from error
        if pixels.shape[:2] != (wanted.height, wanted.width):
            raise known("IMAGE_CHANGED")
        return pixels


def seen_around(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """Return what may be seen where only the surroundings of proposals may: grown boxes."""
    seen: list[Box] = []
    for box in boxes:
        x0, y0, x1, y1 = grow(box, _GROWN)
        more_x = max(0.0, _LEAST_SEEN - (x1 - x0)) / 2
        more_y = max(0.0, _LEAST_SEEN - (y1 - y0)) / 2
        seen.append((x0 - more_x, y0 - more_y, x1 + more_x, y1 + more_y))
    return tuple(seen)


def _jpeg(pixels: Pixels, longest: int) -> bytes:
    image = Image.fromarray(pixels)
    if max(image.size) > longest:
        scale = longest / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _saved(image)


def _saved(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
