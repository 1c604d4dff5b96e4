"""Other ways in which a viewer may show an image: what is hidden in one of them is seen too.

An image of 16 bits may hold 8, 10 or 12 that count, at the low end: its high bytes are black, and
every viewer that stretches contrast shows the rest. Alpha, or the indices of a palette of equal
colours, can draw an image that appears as soon as somebody drops the other channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.boxes import upright_size
from sfumato.errors import Code, SampleError
from sfumato.imaging.codec.channels import draws, unseen_channels, unseen_colours
from sfumato.imaging.codec.samples import Samples, png_samples, tiff_samples
from sfumato.types import Pixels

if TYPE_CHECKING:
    from sfumato.imaging.codec.reading import DecodedImage, Opened

Table: TypeAlias = NDArray[np.uint8]  # (65536,): the grey level that shows each value

_BITS: Final = 258  # the tag of TIFF
_COLOURS: Final = {"I;16": 1, "I;16B": 1, "I;16L": 1, "L": 1, "LA": 1, "CMYK": 4}
_LEVELS: Final = 65536
_CLIPPED: Final = ((0.0, 100.0), (0.5, 99.5))  # percentiles that become black and white
BRIGHT: Final = 16384  # a value from which on the high bytes draw the image
_ALIKE: Final = 8.0  # grey levels, on average: two renderings that show the same
_NOISE: Final = 70.0  # grey levels between neighbours; of noise it is 85
_FEW: Final = 64  # pixels of half transparency that are no more than soft edges


@dataclass(frozen=True, slots=True, eq=False)
class Deep:
    """All bits of an image's samples, upright, and the tables by which a viewer may show them.

    `samples` is (h, w, channels) with the further channels (alpha) behind the `colours`, of which
    there are 1, 3, or 4 (CMYK). With `by_bytes` the last table shows the low bytes alone.
    """

    samples: Samples
    colours: int
    tables: tuple[Table, ...]
    by_bytes: bool

    def views(self, tables: Sequence[Table] | None = None) -> list[Pixels]:
        """Return one RGB rendering for each table; by default its own."""
        shown = _shown(self.samples, self.colours)
        return [_rgb(table[shown]) for table in (self.tables if tables is None else tables)]

    def others(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the channels behind the colours that draw something, stretched, (h, w)."""
        for channel in range(self.colours, self.samples.shape[2]):
            plane = self.samples[..., channel].astype(np.int64)
            low, high = int(plane.min()), int(plane.max())
            shown = ((plane - low) * 255 // max(high - low, 1)).astype(np.uint8)
            if draws(shown):
                yield shown


def further(opened: Opened, index: int) -> tuple[list[Pixels], Deep | None, Pixels | None]:
    """Return other renderings of the frame that is loaded, all its bits, its alpha, upright.

    Raises:
        SampleError: IMAGE_UNSUPPORTED where a frame has more than 8 bits that can't be read.
        ValueError: two readers see different samples.
    """
    image, turned = opened.image, opened.orientations[min(index, len(opened.orientations) - 1)]
    views: list[Pixels] = []
    deep = _deep(opened, index, turned)
    if deep is not None:
        views += deep.views()
        views += [_rgb(plane[..., None]) for plane in deep.others()]
    plane = alpha_of(image)
    alpha = None if plane is None else upright(plane[..., None], turned)
    views += [] if alpha is None else [_rgb(alpha)]
    indices = indices_of_equal(image)
    views += [] if indices is None else [_rgb(upright(indices[..., None], turned))]
    for unseen in unseen_channels(opened, index):
        views.append(_rgb(upright(unseen[..., None], turned)))
    views += unseen_colours(opened) if index == 0 else []
    return views, deep, alpha


def _deep(opened: Opened, index: int, turned: int) -> Deep | None:
    image = opened.image
    samples: Samples | None = None
    bits = opened.header.bits
    if opened.header.format == "PNG" and bits > 8:
        samples = png_samples(opened.data)
    elif opened.header.format == "TIFF":
        told = getattr(image, "tag_v2", {}).get(_BITS, (1,))
        bits = max(told) if isinstance(told, tuple) else int(told)
        samples = tiff_samples(opened.data, index) if bits == 16 else None
    if bits <= 8 or opened.header.format not in ("PNG", "TIFF"):
        return None
    seen = np.asarray(image)
    if samples is None and image.mode.startswith("I;16"):
        samples = seen.astype(np.uint16)[..., None]
    if samples is None:
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"{bits} bits a channel in a layout unknown here")
    _check_same(samples, seen, image.mode)
    colours = 1 if samples.shape[2] <= 2 else _COLOURS.get(image.mode, 3)
    return deep_of(upright(samples, turned), colours, bits)


def _check_same(samples: Samples, seen: NDArray[Any], mode: str) -> None:
    """Raise where our samples aren't those of which Pillow shows the high bytes."""
    seen = seen if seen.ndim == 3 else seen[..., None]
    if mode == "RGBA" and samples.shape[2] == 2:  # Pillow shows grey with alpha as colours
        seen = seen[..., (0, 3)]
    channels = min(seen.shape[2], samples.shape[2], 3 if mode.startswith("RGB") else 4)
    mine = samples if mode.startswith("I;16") else (samples >> 8).astype(np.uint8)
    if seen.shape[:2] != mine.shape[:2] or not np.array_equal(
        seen[..., :channels], mine[..., :channels]
    ):
        raise ValueError("samples of 16 bits that two readers see differently")


def upright(stored: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a stored grid (h, w, channels) as a viewer turns it."""
    height, width = stored.shape[:2]
    columns, rows = upright_size(width, height, orientation)
    turned = np.empty((rows, columns, *stored.shape[2:]), stored.dtype)
    stored_view(turned, orientation)[:] = stored
    return turned


def stored_view(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a view of an upright array whose rows and columns are those of the stored grid."""
    turned = upright.swapaxes(0, 1) if orientation >= 5 else upright
    if orientation in (3, 4, 6, 7):
        turned = turned[::-1]
    return turned[:, ::-1] if orientation in (2, 3, 7, 8) else turned


def pairs(before: DecodedImage, after: DecodedImage) -> list[tuple[Pixels, Pixels]]:
    """Return the first frame of two images in every rendering of the first, for comparison.

    The second one is shown as the first is: by the same tables.
    """
    found = [(before.frames[0], after.frames[0])]
    if before.deep is not None and after.deep is not None:
        tables = before.deep.tables
        if int(before.deep.samples.max()) < BRIGHT and len(tables) > before.deep.by_bytes:
            # What the high bytes draw shows better stretched, and the low ones go round and round.
            found = []
            tables = tables[:-1] if before.deep.by_bytes else tables
        found += zip(before.deep.views(tables), after.deep.views(tables), strict=True)
    if before.alpha is not None:
        opaque = np.full_like(before.alpha, 255)
        found.append((before.alpha, opaque if after.alpha is None else after.alpha))
    return found


def deep_of(samples: Samples, colours: int, bits: int) -> Deep:
    """Choose the tables for upright samples of so many bits: those that show something else."""
    shown = _shown(samples, colours)
    counts = np.bincount(shown.reshape(-1), minlength=_LEVELS)
    values, every = np.arange(_LEVELS), max(int(counts.sum()), 1)
    taken = [np.minimum(values >> (bits - 8), 255)]
    for table in _stretches(counts):
        if all((np.abs(table - other) * counts).sum() / every > _ALIKE for other in taken):
            taken.append(table)
    by_bytes = bits == 16 and _structured(shown)
    taken += [values & 255] if by_bytes else []
    return Deep(samples, colours, tuple(one.astype(np.uint8) for one in taken[1:]), by_bytes)


def _shown(samples: Samples, colours: int) -> Samples:
    if colours < 4:
        return samples[..., :colours]
    ink = samples[..., :4].astype(np.uint32)
    light = (65535 - ink[..., :3]) * (65535 - ink[..., 3:]) // 65535
    return light.astype(np.uint16)


def _stretches(counts: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield tables that stretch what is there to the whole range, and one that evens it out."""
    below = np.cumsum(counts)
    values = np.arange(_LEVELS)
    for first, last in _CLIPPED:
        low = int(np.searchsorted(below, max(below[-1] * first / 100, 1)))
        high = int(np.searchsorted(below, below[-1] * last / 100))
        if high > low:
            yield np.clip((values - low) * 255 // (high - low), 0, 255)
    yield below * 255 // max(int(below[-1]), 1)


def _structured(shown: Samples) -> bool:
    """Tell whether the low bytes draw something: neither noise nor what the high ones draw."""
    low = (shown & 255).astype(np.int16)
    if np.array_equal(low, shown >> 8) or low.shape[1] < 2 or low.min() == low.max():
        return False
    return float(np.abs(np.diff(low, axis=1)).mean()) < _NOISE


def _rgb(levels: NDArray[np.uint8]) -> Pixels:
    return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))


def alpha_of(image: Image.Image) -> NDArray[np.uint8] | None:
    """Return the alpha of an image if it draws something: if it isn't just on and off."""
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and not (
        image.mode == "P" and isinstance(image.info.get("transparency"), bytes)
    ):
        return None
    alpha: NDArray[np.uint8] = np.asarray(_with_alpha(image).getchannel("A"))
    between = np.count_nonzero((alpha > 0) & (alpha < 255))
    return alpha if between >= _FEW and alpha.min() < alpha.max() else None


def indices_of_equal(image: Image.Image) -> NDArray[np.uint8] | None:
    """Return the indices of a palette image, stretched, if some that are used look the same."""
    if image.mode != "P":
        return None
    indices = np.asarray(image)
    used = np.flatnonzero(np.bincount(indices.reshape(-1), minlength=256))
    colours = np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    if len(used) < 2 or used[-1] >= len(colours):
        return None
    if len(np.unique(colours[used], axis=0)) == len(used):
        return None
    place = np.zeros(256, np.uint8)
    place[used] = np.arange(len(used)) * 255 // (len(used) - 1)
    shown: NDArray[np.uint8] = place[indices]
    return shown


def rgb(strip: Image.Image, bits: int, *, alpha_alone: bool) -> NDArray[np.uint8]:
    """Return a strip of an image as an array that broadcasts to (rows, width, 3).

    Alpha is dropped; `alpha_alone`: it is the image.
    """
    if strip.mode == "RGB":
        return np.asarray(strip)
    if strip.mode.startswith("I;16"):
        grey = np.asarray(strip) >> (bits - 8)  # `convert` would clip all above 255 to white
        return grey.astype(np.uint8)[..., None]
    if alpha_alone:
        return np.asarray(_with_alpha(strip).getchannel("A"))[..., None]
    if strip.mode in ("La", "RGBa"):  # premultiplied
        strip = _with_alpha(strip)
    return np.asarray(strip.convert("RGB"))


def _with_alpha(image: Image.Image) -> Image.Image:
    mode = {"La": "LA", "LA": "LA"}.get(image.mode, "RGBA")
    return image if image.mode == mode else image.convert(mode)


def shape_in_alpha(image: Image.Image) -> bool:
    """Tell whether all colours are the same, so that alpha alone draws something."""
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    if not transparent and not (image.mode == "P" and "transparency" in image.info):
        return False
    low, high = np.asarray(_with_alpha(image).getextrema()).T
    return bool((low[:-1] == high[:-1]).all() and low[-1] < high[-1])
