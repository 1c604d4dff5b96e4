"""Cover faces: gaussian, pixelate, fill, and the published ImageNet recipe.

All but `ImageNet` share one geometry: every pixel that the box, grown by `expand`, touches is
covered fully, and around it the cover fades to nothing over a feather. The strength follows
each face's own size: sigma is a fraction of the longer side of the box as found, never a number
of pixels, and never what a library chooses: Pillow's blur is told its standard deviation.

A Gaussian of standard deviation sigma damps a wave of f cycles per pixel to
exp(-2 pi^2 sigma^2 f^2). With sigma = 0.4 of the face, 1 cycle per face keeps 4 %, 1.5 cycles
0.1 %: a patch of colour is left. White noise keeps 1 / (2 sqrt(pi) sigma) of its standard
deviation: 3.5 % on a face of 20 pixels, 9 % on one of 8. The fraction was chosen by what the
two detectors still find among 145 faces of real ImageNet images: 53 % with sigma 0.1 (the
published fraction), 10 % with 0.25, 3 % with 0.4, and 1 % with a flat fill.

Only what lies inside `reaches` is read or written: a crop that holds them gives the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from sfumato.boxes import clip, longer_side
from sfumato.errors import UsageError
from sfumato.obfuscation.covering import (
    Face,
    as_image,
    as_pixels,
    check_image,
    cover,
    face_of,
    faces_of,
    floats,
    gaussian_blur,
    outwards,
)
from sfumato.obfuscation.strength import LIMIT
from sfumato.types import Box, Obfuscator, Pixels


class Method(Obfuscator, Protocol):
    """A cover of `METHODS`: a frozen dataclass, made with `expand` and `colour` if it takes them.

    `limit` is the most that it may leave of a face by `strength.leftover`; what leaves more is
    covered again, and then fails the checks.
    """

    name: ClassVar[str]
    limit: ClassVar[float]


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Blur each face with a Gaussian whose sigma is `strength` times its longer side.

    `expand` grows the box on each side by this fraction of its width and height. `feather` is
    the width of the soft edge outside the grown box, as a fraction of the longer side. Raises
    `UsageError` if one isn't finite or is negative, or the strength is 0.
    """

    name: ClassVar[str] = "gaussian"
    limit: ClassVar[float] = LIMIT
    strength: float = 0.4
    expand: float = 0.25
    feather: float = 0.2

    def __post_init__(self) -> None:
        _check_settings(self.strength, self.expand, self.feather)

    def __call__(self, image: Pixels, boxes: Sequence[Box]) -> Pixels:
        """Return a copy of the (h, w, 1..4) image in which the faces at `boxes` are blurred."""

        def blur(crop: Pixels, face: Face) -> Pixels:
            return gaussian_blur(crop, self.strength * face.size)

        return cover(image, faces_of(boxes, self.expand, self.feather), blur)

    def reaches(self, boxes: Sequence[Box]) -> list[Box]:
        """Return the whole pixels outside of which faces at `boxes` change nothing, in order."""
        return [face_of(box, self.expand, self.feather).reach for box in boxes]


@dataclass(frozen=True, slots=True)
class Pixelate:
    """Show each face as flat cells, `cells` of them along its longer side.

    A cell shows the Gaussian's result at its centre. The cells are thus a function of what
    `Gaussian` would show and can't tell more about the face (the data-processing inequality);
    plain averages over the cells could. The other settings are those of `Gaussian`. Raises
    `UsageError` as it does, and for less than one cell.
    """

    name: ClassVar[str] = "pixelate"
    limit: ClassVar[float] = LIMIT
    cells: int = 8
    strength: float = 0.4
    expand: float = 0.25
    feather: float = 0.2

    def __post_init__(self) -> None:
        _check_settings(self.strength, self.expand, self.feather)
        if self.cells < 1:
            raise UsageError(f"cells must be at least 1, got {self.cells}")

    def __call__(self, image: Pixels, boxes: Sequence[Box]) -> Pixels:
        """Return a copy of the (h, w, 1..4) image in which the faces at `boxes` are cells."""

        def sample(crop: Pixels, face: Face) -> Pixels:
            smooth = gaussian_blur(crop, self.strength * face.size)
            left, top = max(face.reach[0], 0.0), max(face.reach[1], 0.0)
            side = face.size / self.cells
            columns = _cell_centres(crop.shape[1], face.grown[0] - left, side)
            rows = _cell_centres(crop.shape[0], face.grown[1] - top, side)
            return smooth[rows[:, None], columns[None, :]]

        return cover(image, faces_of(boxes, self.expand, self.feather), sample)

    def reaches(self, boxes: Sequence[Box]) -> list[Box]:
        """Return the whole pixels outside of which faces at `boxes` change nothing, in order."""
        return [face_of(box, self.expand, self.feather).reach for box in boxes]


@dataclass(frozen=True, slots=True)
class Fill:
    """Paint each face in one flat colour: `colour`, or the mean of its grown box.

    The mean is that of each channel, alpha included. A colour with as many entries as the image
    has channels is used as it is. For other images, one of three entries is RGB: its luma
    (ITU-R BT.601) fills 1 and 2 channels, and it is opaque in 2 and 4 (taken as LA and RGBA).
    For CMYK, and for the planes of YCbCr one by one, see `in_mode`. Raises `UsageError` if a
    setting isn't finite or is negative, or an entry isn't within 0..255.
    """

    name: ClassVar[str] = "fill"
    limit: ClassVar[float] = LIMIT
    colour: tuple[int, ...] | None = None
    expand: float = 0.25
    feather: float = 0.2

    def __post_init__(self) -> None:
        _check_settings(1.0, self.expand, self.feather)
        if self.colour is not None and not (
            1 <= len(self.colour) <= 4 and all(0 <= entry <= 255 for entry in self.colour)
        ):
            raise UsageError(f"colour must be 1 to 4 numbers within 0..255, got {self.colour}")

    def __call__(self, image: Pixels, boxes: Sequence[Box]) -> Pixels:
        """Return a copy of the (h, w, 1..4) image in which the faces at `boxes` are flat.

        Raises `ValueError` if the colour doesn't fit the number of channels.
        """
        colour = None if self.colour is None else _fit_colour(self.colour, image.shape[2])

        def paint(crop: Pixels, face: Face) -> Pixels:
            flat = _mean_of_grown(crop, face) if colour is None else colour
            return np.broadcast_to(np.asarray(flat, dtype=np.uint8), crop.shape)

        return cover(image, faces_of(boxes, self.expand, self.feather), paint)

    def reaches(self, boxes: Sequence[Box]) -> list[Box]:
        """Return the whole pixels outside of which faces at `boxes` change nothing, in order."""
        return [face_of(box, self.expand, self.feather).reach for box in boxes]

    def in_colour(self, colour: tuple[int, ...]) -> Fill:
        """Return this fill in another colour."""
        return replace(self, colour=colour)

    def in_mode(self, mode: str) -> Fill:
        """Return this fill with its RGB colour expressed in the bands of a Pillow mode.

        So `in_mode("CMYK")` fills such images, and each of the three entries of
        `in_mode("YCbCr").colour` one plane of a JPEG. Without a colour it stays the same.
        """
        if self.colour is None:
            return self
        red, green, blue = _fit_colour(self.colour, 3)
        value = Image.new("RGB", (1, 1), (red, green, blue)).convert(mode).tobytes()
        return replace(self, colour=tuple(value))


@dataclass(frozen=True, slots=True)
class ImageNet:
    """Apply the recipe of the published ImageNet, number for number. Weak: for comparison only.

    Yang et al., A Study of Face Obfuscation in ImageNet (ICML 2022), as released: each box grows
    by 0.1 of its longer side on all sides and is black in a white mask; one sigma, 0.1 of the
    longer side of the *largest* face, blurs image and mask; the mask then blends the two. Beside
    a large face it washes out: a face of 20 pixels beside one of 200 keeps 81 % of its contrast.
    """

    name: ClassVar[str] = "imagenet"
    # It leaves 0.4 to 0.8 of a face on its own, mostly at its corners. The limit tells that from
    # a face whose mask washed out beside one ten times as large: 0.8 to 0.9.
    limit: ClassVar[float] = 0.8
    whole_image: ClassVar[bool] = True  # reads beyond its reaches

    def __call__(self, image: Pixels, boxes: Sequence[Box]) -> Pixels:
        """Return a copy of the (h, w, 1..4) image with the published blur at `boxes`."""
        check_image(image)
        height, width, channels = image.shape
        faces = [box for box in map(floats, boxes) if clip(box, width, height)]
        if not faces:
            return image.copy()
        blur = ImageFilter.GaussianBlur(0.1 * max(longer_side(box) for box in faces))
        mask = Image.new("L", (width, height), "white")
        for box in faces:
            ImageDraw.Draw(mask).rectangle(_grow_by_longer_side(box), fill="black")
        whole = as_image(image)
        mixed = Image.composite(whole, whole.filter(blur), mask.filter(blur))
        return as_pixels(mixed, channels)

    def reaches(self, boxes: Sequence[Box]) -> list[Box]:
        """Return the whole pixels outside of which faces at `boxes` change nothing, in order.

        The largest face sets the width of all soft edges. Pillow's Gaussian is three passes of a
        box blur whose radius is a whole number l and a fraction (Gwosdek et al. 2011, equations
        7 and 11 to 14); they spread the mask, whose far edges are inclusive, by 3 (l + 1) pixels.
        """
        found = [floats(box) for box in boxes]
        sigma = 0.1 * max((longer_side(box) for box in found), default=0.0)
        whole = math.floor((math.sqrt(4 * sigma**2 + 1) - 1) / 2 + 1e-3)  # float32 in Pillow
        spread = 3.0 * (whole + 1)
        spans = [outwards(_grow_by_longer_side(box), spread) for box in found]
        return [(x0, y0, x1 + 1, y1 + 1) for x0, y0, x1, y1 in spans]


METHODS: Final[Mapping[str, type[Method]]] = {
    method.name: method for method in (Gaussian, Pixelate, Fill, ImageNet)
}


def make(
    method: str, *, expand: float = 0.25, colour: tuple[int, int, int] | None = None
) -> Method:
    """Return the obfuscator of this name with default strength.

    `imagenet` has its own growth: `expand` is not applied to it. `colour` is for `fill` alone.

    Raises:
        UsageError: unknown name, a colour for another method, or a value out of range.
    """
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    if colour is not None and not _takes(method, "colour"):
        coloured = " or ".join(name for name in METHODS if _takes(name, "colour"))
        raise UsageError(f"a colour is only for the method {coloured}, not for {method}")
    settings: dict[str, Any] = {"expand": expand, "colour": colour}
    made: Callable[..., Method] = METHODS[method]
    return made(**{name: value for name, value in settings.items() if _takes(method, name)})


def _takes(method: str, setting: str) -> bool:
    return setting in signature(METHODS[method]).parameters


def _cell_centres(length: int, start: float, side: float) -> NDArray[np.intp]:
    """Return the pixel at the centre of each pixel's cell; cells of `side` begin at `start`."""
    cell = np.floor((np.arange(length) + 0.5 - start) / side)
    centre = np.floor(start + (cell + 0.5) * side)
    pixel: NDArray[np.intp] = np.clip(centre, 0, length - 1).astype(np.intp)
    return pixel


def _mean_of_grown(crop: Pixels, face: Face) -> tuple[int, ...]:
    """Return the mean of each channel over the pixels that the grown box touches."""
    left, top = max(face.reach[0], 0.0), max(face.reach[1], 0.0)
    x0, y0, x1, y1 = face.grown
    columns = slice(max(math.floor(x0 - left), 0), math.ceil(x1 - left))
    rows = slice(max(math.floor(y0 - top), 0), math.ceil(y1 - top))
    mean = crop[rows, columns].mean(axis=(0, 1), dtype=np.float64)
    return tuple(int(value) for value in np.rint(mean))


def _fit_colour(colour: tuple[int, ...], channels: int) -> tuple[int, ...]:
    """Express a colour in this number of channels, as `Fill` documents."""
    if len(colour) == channels:
        return colour
    if len(colour) != 3:
        raise ValueError(f"a colour of {len(colour)} can't fill an image of {channels} channels")
    luma = round((299 * colour[0] + 587 * colour[1] + 114 * colour[2]) / 1000)
    return {1: (luma,), 2: (luma, 255), 4: (*colour, 255)}[channels]


def _grow_by_longer_side(box: Box) -> Box:
    """Grow a box by 0.1 of its longer side on all four sides (the published recipe)."""
    margin = 0.1 * longer_side(box)
    return (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)


def _check_settings(strength: float, expand: float, feather: float) -> None:
    for label, value in (("strength", strength), ("expand", expand), ("feather", feather)):
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{label} must be a number of at least 0, got {value}")
    if strength == 0:
        raise UsageError("strength must be more than 0, or the face would stay as it is")
