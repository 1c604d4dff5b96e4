"""What a detector takes: an upright image in colour, in grey or with transparency."""

from __future__ import annotations

import numpy as np

from sfumato.types import Pixels


def as_rgb(image: Pixels) -> Pixels:
    """Return an image of shape (h, w, 1), (h, w, 3) or (h, w, 4) as (h, w, 3) RGB.

    Grey is repeated; transparency is left out, as when a file is decoded: what lies under it can
    be made visible. RGB comes back as it is, without a copy. Raises `ValueError` for anything
    else: another type than uint8, another shape, no pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or not image.size:
        raise ValueError(_refusal(image))
    channels = image.shape[2]
    if channels == 3:
        return image
    if channels == 1:
        return np.repeat(image, 3, axis=2)
    if channels == 4:
        return np.ascontiguousarray(image[..., :3])
    raise ValueError(_refusal(image))


def _refusal(image: Pixels) -> str:
    return f"image must be (h, w, 1, 3 or 4) uint8, got {image.shape} {image.dtype}"
