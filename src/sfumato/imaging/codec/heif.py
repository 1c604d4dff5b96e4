"""HEIC images, as phones take them: read by libheif (extra `heif`), never written.

Only the primary image is seen: no thumbnail, no depth, no gain map, no sequence. libheif turns it
upright by its own boxes; EXIF doesn't turn a HEIC. Its metadata aren't even asked for: the plugin
for Pillow in pi-heif 1.4 reads EXIF and XMP of every image first, and crashes on some damaged
ones. So its inner module is used, whose interface may change: the extra names the release.
"""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import Any

from PIL import ImageFile

from sfumato.imaging.codec.signatures import HEAD, may_hold_images, sniff

INSTALL = "pip install 'sfumato[heif]'"


def reads_heic() -> bool:
    """Tell whether the extra is installed."""
    return find_spec("pi_heif") is not None


def is_heic(data: bytes) -> bool:
    """Tell by its first bytes whether a file is a HEIC."""
    return sniff(data[:HEAD]) is None and may_hold_images(data[:HEAD]) == "HEIC"


class _Heic(ImageFile.ImageFile):
    """The primary image of a HEIC, decoded when it is loaded."""

    format = "HEIC"

    def _open(self) -> None:
        import _pi_heif  # type: ignore[import-not-found]  # it has no types

        # One thread: there is a process for each core already. 8 bits, rows as Pillow reads them.
        settings = (1, True, False, False, True, "", False)
        data = self.fp.read() if self.fp is not None else b""
        images = [image for image in _pi_heif.load_file(data, *settings) if image is not None]
        self._coded: Any = next(image for image in images if image.primary)
        self._size, self._mode = self._coded.size_mode
        self.tile = []
        profile = self._coded.color_profile
        if profile and profile["type"] in ("rICC", "prof"):
            self.info["icc_profile"] = profile["data"]

    def load(self) -> Any:
        if self._coded is not None:
            data = self._coded.data
            if self._coded.size_mode != (self._size, self._mode):
                raise ValueError("its coded data have another size")
            self.load_prepare()
            self.frombytes(data, "raw", (self._mode, self._coded.stride))
            self._coded = None
        return super().load()


def open_heic(data: bytes) -> ImageFile.ImageFile:
    """Open the primary image of a HEIC; nothing is decoded. Call where `reads_heic`."""
    try:
        return _Heic(io.BytesIO(data))
    except StopIteration as error:
        raise ValueError("no primary image") from error
