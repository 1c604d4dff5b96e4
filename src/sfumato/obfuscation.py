"""Cover faces: gaussian, pixelate, fill, and the published ImageNet recipe.

All but `ImageNet` share one geometry: every pixel that the box, grown by `expand`, touches is
covered fully, and around it the cover fades to nothing over a feather. The strength follows
each face's own size: sigma is a fraction of the longer side of the box as found, never a number
of pixels, and never what a library chooses: Pillow's blur is told its standard deviation.

A Gaussian of standard deviation sigma damps a wave of f cycles per pixel to
exp(-2 pi^2 sigma^2 f^2). With sigma = 0.4 of the face, 1 cycle per face keeps 4 %, 1.5 cycles
0.1 %: a patch of colour is left. White noise keeps 1 / (2 sqrt(pi) sigma) of its standard
deviation: 3.5 % on a face of 20 pixels, 9 % on one of 8. The fraction was chosen by what the
two detectors still find among 145 faces of real ImageNet pictures: 53 % with sigma 0.1 (the
published fraction), 10 % with 0.25, 3 % with 0.4, and 1 % with a flat fill.

Several faces are obfuscated one after another on the current result, in descending order of
their longer side, whatever order they come in. Each step blends the picture with a smoothing of
itself. So a trace of a pixel in a face's grown box, wherever it ends up, has been smoothed at
least as that face asks: steps before its own were wider, its own leaves nothing else of it, and
later ones only smooth further. In ascending order, a small face that overlaps a large one would
carry pixels of the large one out of its grown box with the small one's strength.

Only what lies inside `reaches` is read or written: a crop that holds them gives the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from sfumato.boxes import clip, longer_side
from sfumato.errors import UsageError
from sfumato.types import Box, Pixels

# Coordinates go onto this grid first. Then all geometry is exact in floating point, and a picture
# and its boxes moved by whole pixels give the same weights.
_SUBPIXELS = 256
_SMALL_SIGMA = 2.5  # px; blurring starts from here after the picture was reduced
_MODES: Mapping[int, str] = {1: "L", 2: "RGB", 3: "RGB", 4: "CMYK"}


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Blur each face with a Gaussian whose sigma is `strength` times its longer side.

    `expand` grows the box on each side by this fraction of its width and height. `feather` is
    the width of the soft edge outside the grown box, as a fraction of the longer side. Raises
    `UsageError` if one isn't finite or is negative, or the strength is 0.
    """

    name: ClassVar[str] = "gaussian"
    strength: float = 0.4
    expand: float = 0.25
    feather: float = 0.2

    def __post_init__(self) -> None:
        _check_settings(self.strength, self.expand, self.feather)

    def __call__(self, image: Pixels, boxes: Sequence[Box]) -> Pixels:
        """Return a copy of the (h, w, 1..4) image in which the faces at `boxes` are blurred."""

        def blur(crop: Pixels, face: _Face) -> Pixels:
            return _gaussian(crop, self.strength * face.size)

        return _cover(image, _faces(boxes, self.expand, self.feather), blur)

    def reaches(self, boxes: Sequence[Box]) -> list[Box]:
        """Return the whole pixels outside of which faces at `boxes` change nothing, in order."""
        return [_face(box, self.expand, self.feather).reach for box in boxes]


@dataclass(frozen=True, slots=True)
class Pixelate:
    """Show each face as flat cells, `cells` of them along its longer side.

    A cell shows the Gaussian's result at its centre. The cells are thus a function of what
    `Gaussian` would show and can't tell more about the face (the data-processing inequality);
    plain averages over the cells could. The other settings are those of `Gaussian`. Raises
    `UsageError` as it does, and for less than one cell.
    """

    name: ClassVar[str] = "pixelate"
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

        def sample(crop: Pixels, face: _Face) -> Pixels:
            smooth = _gaussian(crop, self.strength * face.size)
            left, top = max(face.reach[0], 0.0), max(face.reach[1], 0.0)
            side = face.size / self.cells
            columns = _cell_centres(crop.shape[1], face.grown[0] - left, side)
            rows = _cell_centres(crop.shape[0], face.grown[1] - top, side)
            return smooth[rows[:, None], columns[None, :]]

        return _cover(image, _faces(boxes, self.expand, self.feather), sample)

    def reaches(self, boxes: Sequence[Box]) -> list[Box]:
        """Return the whole pixels outside of which faces at `boxes` change nothing, in order."""
        return [_face(box, self.expand, self.feather).reach for box in boxes]


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

        def paint(crop: Pixels, face: _Face) -> Pixels:
            flat = _mean_of_grown(crop, face) if colour is None else colour
            return np.broadcast_to(np.asarray(flat, dtype=np.uint8), crop.shape)

        return _cover(image, _faces(boxes, self.expand, self.feather), paint)

    def reaches(self, boxes: Sequence[Box]) -> list[Box]:
        """Return the whole pixels outside of which faces at `boxes` change nothing, in order."""
        return [_face(box, self.expand, self.feather).reach for box in boxes]

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
    whole_picture: ClassVar[bool] = True  # reads beyond its reaches

    def __call__(self, image: Pixels, boxes: Sequence[Box]) -> Pixels:
        """Return a copy of the (h, w, 1..4) image with the published blur at `boxes`."""
        _check_image(image)
        height, width, channels = image.shape
        faces = [box for box in map(_floats, boxes) if clip(box, width, height)]
        if not faces:
            return image.copy()
        blur = ImageFilter.GaussianBlur(0.1 * max(longer_side(box) for box in faces))
        mask = Image.new("L", (width, height), "white")
        for box in faces:
            ImageDraw.Draw(mask).rectangle(_grow_by_longer_side(box), fill="black")
        picture = _as_picture(image)
        mixed = Image.composite(picture, picture.filter(blur), mask.filter(blur))
        return _as_pixels(mixed, channels)

    def reaches(self, boxes: Sequence[Box]) -> list[Box]:
        """Return the whole pixels outside of which faces at `boxes` change nothing, in order.

        The largest face sets the width of all soft edges. Pillow's Gaussian is three passes of a
        box blur whose radius is a whole number l and a fraction (Gwosdek et al. 2011, equations
        7 and 11 to 14); they spread the mask, whose far edges are inclusive, by 3 (l + 1) pixels.
        """
        found = [_floats(box) for box in boxes]
        sigma = 0.1 * max((longer_side(box) for box in found), default=0.0)
        whole = math.floor((math.sqrt(4 * sigma**2 + 1) - 1) / 2 + 1e-3)  # float32 in Pillow
        spread = 3.0 * (whole + 1)
        spans = [_outwards(_grow_by_longer_side(box), spread) for box in found]
        return [(x0, y0, x1 + 1, y1 + 1) for x0, y0, x1, y1 in spans]


Method: TypeAlias = Gaussian | Pixelate | Fill | ImageNet

METHODS: Mapping[str, type[Method]] = {
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
    if colour is not None and method != Fill.name:
        raise UsageError(f"a colour is only for the method fill, not for {method}")
    if method == Fill.name:
        return Fill(expand=expand, colour=colour)
    if method == Pixelate.name:
        return Pixelate(expand=expand)
    return ImageNet() if method == ImageNet.name else Gaussian(expand=expand)


@dataclass(frozen=True, slots=True)
class _Face:
    """Geometry of one face: longer side as found, grown box, feather, and whole-pixel reach."""

    box: Box
    size: float
    grown: Box
    feather: float
    reach: Box


def _face(box: Box, expand: float, feather: float) -> _Face:
    """Work out the geometry of a face on the grid of sub-pixels, always outwards."""
    box = _floats(box)
    x0, y0 = (math.floor(side * _SUBPIXELS) / _SUBPIXELS for side in box[:2])
    x1, y1 = (math.ceil(side * _SUBPIXELS) / _SUBPIXELS for side in box[2:])
    size = max(x1 - x0, y1 - y0, 0.0)
    margins = (expand * (x1 - x0), expand * (y1 - y0), feather * size)
    dx, dy, edge = (math.ceil(margin * _SUBPIXELS) / _SUBPIXELS for margin in margins)
    grown = (x0 - dx, y0 - dy, x1 + dx, y1 + dy)
    return _Face((x0, y0, x1, y1), size, grown, edge, _outwards(grown, edge))


def _outwards(box: Box, margin: float) -> Box:
    """Return the whole pixels that a box with a margin on all sides touches."""
    x0, y0 = (float(math.floor(side - margin)) for side in box[:2])
    x1, y1 = (float(math.ceil(side + margin)) for side in box[2:])
    return (x0, y0, x1, y1)


def _floats(box: Box) -> Box:
    """Return a box as Python's floats, which Pillow wants; `ValueError` if one isn't finite."""
    if not all(math.isfinite(side) for side in box):
        raise ValueError(f"box must be finite, got {box}")
    return (float(box[0]), float(box[1]), float(box[2]), float(box[3]))


def _faces(boxes: Sequence[Box], expand: float, feather: float) -> list[_Face]:
    """Return the faces, largest first; equal ones by position, so that their order is fixed."""
    faces = (_face(box, expand, feather) for box in boxes)
    return sorted(faces, key=lambda face: (-face.size, face.box))


def _cover(
    image: Pixels, faces: Sequence[_Face], smooth: Callable[[Pixels, _Face], Pixels]
) -> Pixels:
    """Blend each face with what `smooth` makes of its reach, one after another."""
    _check_image(image)
    height, width, channels = image.shape
    result = image.copy()
    for face in faces:
        inside = clip(face.reach, width, height)
        if clip(face.box, width, height) is None or inside is None:
            continue
        x0, y0, x1, y1 = (int(side) for side in inside)
        crop = result[y0:y1, x0:x1]
        weight = Image.fromarray(_weight(face, (x0, y0, x1, y1)))
        covered = _as_picture(smooth(crop, face))
        crop[:] = _as_pixels(Image.composite(covered, _as_picture(crop), weight), channels)
    return result


def _weight(face: _Face, window: tuple[int, int, int, int]) -> Pixels:
    """Return the weight of the cover in a window of pixels, (h, w), 0..255.

    255 for every pixel that the grown box touches; then a raised cosine of the pixel's distance
    to the box, so that corners are round; 0 from the feather's width on.
    """
    x0, y0, x1, y1 = window
    left, top, right, bottom = face.grown
    xs, ys = np.arange(x0, x1, dtype=np.float64), np.arange(y0, y1, dtype=np.float64)
    dx = np.maximum(np.maximum(left - (xs + 1), xs - right), 0)
    dy = np.maximum(np.maximum(top - (ys + 1), ys - bottom), 0)
    feather = max(face.feather, 1 / _SUBPIXELS)  # no pixel is nearer without touching
    squared = (dx / feather) ** 2 + ((dy / feather) ** 2)[:, None]
    distance = np.sqrt(np.minimum(squared, 1.0, dtype=np.float32))
    table = np.rint(127.5 * (1 + np.cos(np.linspace(0, np.pi, 1025)))).astype(np.uint8)
    weight: Pixels = table[np.rint(distance * 1024).astype(np.intp)]
    return weight


def _gaussian(crop: Pixels, sigma: float) -> Pixels:
    """Blur an array with a Gaussian of this standard deviation; its borders are replicated.

    Wide blurs run on a picture reduced by k. The variances add up: the box average has
    (k^2 - 1) / 12, the bilinear enlargement k^2 / 6, and the blur between gets what is missing.
    """
    picture = _as_picture(crop)
    k = int(sigma / _SMALL_SIGMA)
    if k < 2:
        return _as_pixels(picture.filter(ImageFilter.GaussianBlur(sigma)), crop.shape[2])
    rest = math.sqrt(sigma**2 - (k**2 - 1) / 12 - k**2 / 6) / k
    small = picture.reduce(k).filter(ImageFilter.GaussianBlur(rest))
    extent = (0.0, 0.0, picture.width / k, picture.height / k)
    large = small.resize(picture.size, Image.Resampling.BILINEAR, box=extent)
    return _as_pixels(large, crop.shape[2])


def _cell_centres(length: int, start: float, side: float) -> NDArray[np.intp]:
    """Return the pixel at the centre of each pixel's cell; cells of `side` begin at `start`."""
    cell = np.floor((np.arange(length) + 0.5 - start) / side)
    centre = np.floor(start + (cell + 0.5) * side)
    pixel: NDArray[np.intp] = np.clip(centre, 0, length - 1).astype(np.intp)
    return pixel


def _mean_of_grown(crop: Pixels, face: _Face) -> tuple[int, ...]:
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


def _check_image(image: Pixels) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or not 1 <= image.shape[2] <= 4:
        raise ValueError(
            f"image must be uint8 (h, w, 1 to 4), got {image.dtype} with shape {image.shape}"
        )


def _as_picture(image: Pixels) -> Image.Image:
    """Wrap pixels for Pillow, which weighs RGBA and LA by alpha: as CMYK, and RGB with a spare."""
    height, width, channels = image.shape
    if channels == 2:
        image = np.concatenate([image, np.zeros_like(image[..., :1])], axis=2)
    return Image.frombytes(_MODES[channels], (width, height), image.tobytes())


def _as_pixels(picture: Image.Image, channels: int) -> Pixels:
    """Return the (h, w, channels) pixels of what `_as_picture` wrapped."""
    return np.asarray(picture).reshape(picture.height, picture.width, -1)[..., :channels]
