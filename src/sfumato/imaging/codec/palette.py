"""Palette images: show their colours, and put changed colours back into a palette."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.types import Pixels

_ALPHA_WEIGHT = 2  # twice the largest difference of alpha outweighs every difference of colour
_CHUNK = 1 << 14  # colours compared with the palette at a time


@dataclass(frozen=True, slots=True)
class Palette:
    """A palette image: (height, width) indices into (entries, 3 or 4) colours, RGB or RGBA."""

    indices: NDArray[np.uint8]
    colours: NDArray[np.uint8]

    def show(self) -> Pixels:
        """Return the (height, width, 3 or 4) colours of the pixels."""
        pixels: Pixels = self.colours[self.indices]
        return pixels


def palette_of(image: Image.Image) -> Palette:
    """Return the palette of an image of mode P; RGBA if any entry is transparent.

    Entries that look the same become one: which of them a pixel has could draw an image.

    Raises:
        ValueError: a pixel points outside the palette.
    """
    indices = np.asarray(image)
    colours = np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    if indices.size and int(indices.max()) >= len(colours):
        raise ValueError("a pixel points outside the palette")
    transparency = image.info.get("transparency")
    if transparency is None:
        return Palette(_merged(indices, colours), colours)
    alpha = np.full(len(colours), 255, np.uint8)
    if isinstance(transparency, bytes):
        given = np.frombuffer(transparency, np.uint8)[: len(alpha)]
        alpha[: len(given)] = given
    elif transparency < len(alpha):
        alpha[transparency] = 0
    colours = np.column_stack((colours, alpha))
    return Palette(_merged(indices, colours), colours)


def _merged(indices: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return indices that all point to the first of the used entries of their colour."""
    used = np.flatnonzero(np.bincount(indices.reshape(-1), minlength=256))
    _, first, which = np.unique(colours[used], axis=0, return_index=True, return_inverse=True)
    if len(first) == len(used):
        return indices
    place = np.zeros(256, np.uint8)
    place[used] = used[first[which.reshape(-1)]]
    merged: NDArray[np.uint8] = place[indices]
    return merged


def indices_of(before: Palette, shown: Pixels, changed: Pixels, *, binary_alpha: bool) -> Palette:
    """Return a palette image of the changed colours in which unchanged pixels are the same.

    Entries that an unchanged pixel uses stay where they are, colour and transparency. All
    others are free, up to 256 in all, and take the new colours; if there are more of these
    than room, they are clustered, and each changed pixel takes the nearest entry. There is no
    dithering.

    Args:
        before: the image before.
        shown: `before.show()`.
        changed: the colours to be shown now, of the same shape.
        binary_alpha: GIF: an entry is opaque or not; changed pixels become opaque.
    """
    differs = (shown != changed).any(axis=-1)
    if not differs.any():
        return before
    wanted = changed[differs]
    if binary_alpha and wanted.shape[1] == 4:
        wanted[:, 3] = 255
    distinct, which = _distinct(wanted)
    kept = np.unique(before.indices[~differs])
    free = np.setdiff1d(np.arange(256), kept)
    new = distinct if len(distinct) <= len(free) else _clustered(wanted, len(free))
    colours = np.zeros((256, changed.shape[2]), np.uint8)
    colours[kept] = before.colours[kept]
    colours[free[: len(new)]] = new
    used = np.concatenate((kept, free[: len(new)]))
    indices = before.indices.copy()
    indices[differs] = used[_nearest(distinct, colours[used])][which]
    if wanted.shape[1] == 4:  # entries that nobody uses must not be transparent by accident
        colours[np.setdiff1d(np.arange(256), used), 3] = 255
    return Palette(indices, colours[: int(used.max()) + 1])


def _distinct(colours: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Return the different rows, and for each row which of them it is."""
    packed = np.zeros(len(colours), np.uint32)
    for channel in range(colours.shape[1]):
        packed = packed << np.uint32(8) | colours[:, channel]
    _, first, which = np.unique(packed, return_index=True, return_inverse=True)
    return colours[first], which


def _clustered(colours: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """Return at most so many colours that stand for the given ones."""
    if most == 0:
        return colours[:0]
    mode = "RGBA" if colours.shape[1] == 4 else "RGB"
    # Median cut gives the better colours, but knows no alpha.
    method = Image.Quantize.FASTOCTREE if mode == "RGBA" else Image.Quantize.MEDIANCUT
    row = Image.frombuffer(mode, (len(colours), 1), np.ascontiguousarray(colours))
    found = row.quantize(most, method=method).getpalette(mode) or []
    return np.asarray(found, np.uint8).reshape(-1, colours.shape[1])[:most]


def _nearest(colours: NDArray[np.uint8], entries: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return for each colour the index of the nearest entry (squared distance, alpha weighted)."""
    weights = np.asarray([1, 1, 1, _ALPHA_WEIGHT][: entries.shape[1]], np.float32)
    points, centres = colours * weights, entries * weights
    norms = (centres**2).sum(axis=1)
    parts = [
        np.argmin(norms - 2 * points[at : at + _CHUNK] @ centres.T, axis=1)
        for at in range(0, len(points), _CHUNK)
    ]
    return np.concatenate(parts)
