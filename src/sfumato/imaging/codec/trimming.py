"""Cut away what a file holds outside its visible frame, with proof that its image stays."""

from __future__ import annotations

import zlib

from sfumato.errors import Code, SampleError
from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.concealed import concealed, cut
from sfumato.imaging.codec.reading import MAX_PIXELS
from sfumato.imaging.codec.stripping import difference


def trimmed(data: bytes, *, max_pixels: int = MAX_PIXELS, exactly: bool = False) -> bytes:
    """Return an image without what lies outside its visible frame; the same bytes if nothing does.

    With `exactly` the few bytes go too that encoders leave there and that can't hold anything.

    All else stays as it is, metadata too. What is returned shows the same pixels, and holds
    nothing outside them any more: both are checked.

    Raises:
        SampleError: IMAGE_UNSUPPORTED where it can't be cut away, or can't be proved; as
            `concealed`.
    """
    found = concealed(data)
    if not found and not exactly:
        return data
    try:
        clean = cut(data)
        left = concealed(clean)
        moved = difference(data, clean, max_pixels=max_pixels)
    except (*chunks.MALFORMED, zlib.error, SampleError) as error:
        reason = error.reason if isinstance(error, SampleError) else str(error)
        raise _refused(found, reason) from error
    if left:
        raise _refused(found, f"{', '.join(left)} would stay")
    if moved is None or moved > 0:
        raise _refused(found, "the image would change")
    return clean


def _refused(found: tuple[str, ...], why: str) -> SampleError:
    words = f"it holds {', '.join(found)}, and that can't be cut away safely: {why}"
    return SampleError(Code.IMAGE_UNSUPPORTED, words)
