"""Find what an image file holds outside its visible frame, and cut it away.

A header that tells less rows than were coded, bytes behind the end of the coded data, a frame
that no control chunk counts: no viewer shows them, and a changed header brings them back. Whether
coded data hold more than the image is told by following them to the image's last pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from sfumato.errors import Code, SampleError
from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.concealed_jpeg import cut_jpeg, find_jpeg
from sfumato.imaging.codec.concealed_png import cut_png, find_png
from sfumato.imaging.codec.concealed_simple import cut_bmp, cut_gif, find_bmp, find_gif
from sfumato.imaging.codec.concealed_tiff import cut_tiff, find_tiff
from sfumato.imaging.codec.concealed_trial import cut_webp, find_avif, find_webp
from sfumato.imaging.codec.signatures import HEAD, sniff, stored_as

FORMS: dict[str, tuple[Callable[[bytes], Iterator[str]], Callable[[bytes], bytes] | None]] = {
    "JPEG": (find_jpeg, cut_jpeg),
    "PNG": (find_png, cut_png),
    "GIF": (find_gif, cut_gif),
    "BMP": (find_bmp, cut_bmp),
    "TIFF": (find_tiff, cut_tiff),
    "WEBP": (find_webp, cut_webp),
    "AVIF": (find_avif, None),
}


@lru_cache(maxsize=1)  # of a file that is copied it is asked before it is written and after
def concealed(data: bytes) -> tuple[str, ...]:
    """Name what lies outside the visible frame of an image, each once; empty if nothing does.

    - "bytes behind the coded data": of any frame, scan, strip or tile, more than 64 in all and
      not all the same;
    - "pixels outside the frame": rows or tiles that the header doesn't count;
    - "frames that are not shown": that no control chunk counts, or more than one image where
      there is one;
    - "bytes between segments" of a JPEG;
    - "coded data that can't be followed" to their end.

    What stands behind the end of the image or in parts without coded data of it is named
    by `private_metadata`.

    Raises:
        SampleError: IMAGE_EMPTY, IMAGE_UNRECOGNISED, or IMAGE_DECODE where the parts can't be
            walked to their end.
    """
    kind = stored_as(data)
    try:
        return tuple(dict.fromkeys(FORMS[kind][0](data)))
    except chunks.MALFORMED as error:
        reason = f"its parts can't be walked to the end ({type(error).__name__})"
        raise SampleError(Code.IMAGE_DECODE, reason) from error


def cut(data: bytes) -> bytes:
    """Return an image without what lies outside its visible frame, unproved.

    Raises:
        ValueError and others of `chunks.MALFORMED`, SampleError: it can't be cut.
    """
    kind = sniff(data[:HEAD])
    cutter = None if kind is None else FORMS[kind][1]
    if cutter is None:
        raise ValueError("it would have to be written anew")
    return cutter(data)
