"""Small images for a page that people look at."""

from __future__ import annotations

import io

from PIL import Image

from sfumato.imaging.codec.reading import first_frame


def thumbnail(data: bytes, longer_side: int) -> bytes:
    """Return the first frame, upright, as a JPEG of at most `longer_side` pixels, no metadata.

    Raises:
        SampleError: as `decode`.
    """
    image = Image.fromarray(first_frame(data))
    image.thumbnail((longer_side, longer_side), Image.Resampling.BOX)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()
