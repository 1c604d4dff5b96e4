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
    shape = image.shape
    if image.dtype != np.uint8 or len(shape) != 3 or not image.size or shape[2] not in (1, 3, 4):
        raise ValueError(f"image must be (h, w, 1, 3 or 4) uint8, got {shape} {image.dtype}")
    if shape[2] == 3:
        return image
    return np.repeat(image, 3, axis=2) if shape[2] == 1 else np.ascontiguousarray(image[..., :3])
