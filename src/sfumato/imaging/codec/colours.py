"""The colours of an image as RGB, without its alpha."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


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
    return image.convert({"La": "LA", "LA": "LA"}.get(image.mode, "RGBA"))


def shape_in_alpha(image: Image.Image) -> bool:
    """Tell whether all colours are the same, so that alpha alone draws something."""
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    if not transparent and not (image.mode == "P" and "transparency" in image.info):
        return False
    low, high = np.asarray(_with_alpha(image).getextrema()).T
    return bool((low[:-1] == high[:-1]).all() and low[-1] < high[-1])
