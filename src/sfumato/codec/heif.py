"""HEIC pictures, as phones take them: read by libheif (extra `heif`), never written.

Only the primary picture is seen: no thumbnail, no depth, no gain map, no sequence. libheif turns it
upright by its own boxes; EXIF doesn't turn a HEIC.
"""

from __future__ import annotations

import io
from importlib.util import find_spec

from PIL import ImageFile

from sfumato.codec.signatures import HEAD, may_hold_pictures, sniff

INSTALL = "pip install 'sfumato[heif]'"


def reads_heic() -> bool:
    """Tell whether the extra is installed."""
    return find_spec("pi_heif") is not None


def is_heic(data: bytes) -> bool:
    """Tell by its first bytes whether a file is a HEIC."""
    return sniff(data[:HEAD]) is None and may_hold_pictures(data[:HEAD]) == "HEIC"


def open_heic(data: bytes) -> ImageFile.ImageFile:
    """Open the primary picture of a HEIC; nothing is decoded. Call where `reads_heic`."""
    import pi_heif  # type: ignore[import-untyped]  # it has no types

    pi_heif.options.DECODE_THREADS = 1  # there is a process for each core already
    pi_heif.options.THUMBNAILS = False
    pi_heif.options.DEPTH_IMAGES = False
    pi_heif.options.AUX_IMAGES = False
    image: ImageFile.ImageFile = pi_heif.HeifImageFile(io.BytesIO(data))
    return image
