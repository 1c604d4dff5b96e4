"""See while a JPEG is decoded whether its image takes the coded data to their end.

To follow the blocks again afterwards costs a fifth of decoding. But the decoder asks for bytes as
it goes: an image whose last row isn't there yet when all but the last few bytes have been read
needs those too, so next to nothing lies behind its last block.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from PIL import Image, ImageFile

from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.behind import TOLERATED
from sfumato.imaging.jpeg._scan import end_of_scan

_HELD_BACK: Final = TOLERATED - 16  # bytes; the decoder looks ahead by up to 8
_NARROWEST: Final = 64  # pixels: of fewer a row could be the mark by chance
_SEQUENTIAL: Final = (0xC0, 0xC1)
_MARK: Final = np.random.default_rng(7).integers(0, 256, 4 * 65536, dtype=np.uint8).tobytes()


class Watched(io.BytesIO):
    """A JPEG file in memory that notes what was decoded when its last bytes are asked for."""

    def __init__(self, data: bytes, image: ImageFile.ImageFile, limit: int) -> None:
        super().__init__(data)
        self._image = image
        self._limit = limit
        mark = _MARK[: image.width * len(image.getbands())]
        self._mark = Image.frombytes(image.mode, (image.width, 1), mark)
        self.whole = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as a file does, but not across the place where the last bytes begin."""
        at = self.tell()
        place = (0, self._image.height - 1, self._image.width, self._image.height)
        if at == 0:
            self._image.im.paste(self._mark.im, place)
        if at < self._limit:
            size = self._limit - at if size is None or size < 0 else min(size, self._limit - at)
        elif at == self._limit:
            row = Image.new(self._image.mode, (self._image.width, 1))
            row.im.paste(self._image.im.crop(place), (0, 0, *row.size))
            self.whole = row.tobytes() == self._mark.tobytes()
        return super().read(size)


def watch(image: ImageFile.ImageFile, data: bytes) -> Watched | None:
    """Have the decoding of a JPEG watched; None for files in which it would tell too little.

    It tells enough of a file with one sequential scan without restarts and nothing behind it.
    """
    limit = _limit(data)
    if image.format != "JPEG" or limit is None or image.width < _NARROWEST:
        return None
    watched = Watched(data, image, limit)
    image.fp = watched
    return watched


def _limit(data: bytes) -> int | None:
    """Return where the last bytes of the one scan of a simple JPEG begin."""
    components, frame = 0, 0
    try:
        for marker, start, end in chunks.jpeg_segments(data):
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                frame, components = marker, data[start + 5]
            elif marker in (chunks.STRAY, 0xDD):
                return None
            elif marker == chunks.SOS:
                behind = end_of_scan(data, end)
                simple = frame in _SEQUENTIAL and data[start] == components
                last = data[behind : behind + 2] == b"\xff\xd9" and len(data) - behind <= TOLERATED
                held = behind - _HELD_BACK
                return held if simple and last and held > end else None
    except chunks.MALFORMED:
        return None
    return None
