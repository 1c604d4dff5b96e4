"""Sniff, guard, decode; obfuscate boxes and encode again; name or remove private metadata.

    header = inspect(data)                    # no pixel decoded
    frames = decode(data).frames              # upright RGB
    edited = edit(data, boxes, obfuscator)    # same format, checked
    clean = strip(data)                       # coded pixels as they are, no private metadata
    assert not private_metadata(edited.data)

Everything raises `SampleError` for bytes that can't be used, and nothing else.
"""

from __future__ import annotations

from sfumato.imaging.codec.concealed import concealed
from sfumato.imaging.codec.encoding import Edited
from sfumato.imaging.codec.heif import is_heic, reads_heic
from sfumato.imaging.codec.inside import Embedded, embedded_images
from sfumato.imaging.codec.inside.removal import take_out
from sfumato.imaging.codec.metadata import private_metadata
from sfumato.imaging.codec.reading import MAX_PIXELS, DecodedImage, decode, inspect
from sfumato.imaging.codec.renderings import pairs
from sfumato.imaging.codec.signatures import ENDINGS, HEAD, may_hold_images, sniff
from sfumato.imaging.codec.stripping import difference, strip
from sfumato.imaging.codec.thumbnail import thumbnail
from sfumato.imaging.codec.trimming import trimmed
from sfumato.imaging.codec.writing import edit

__all__ = [
    "ENDINGS",
    "HEAD",
    "MAX_PIXELS",
    "DecodedImage",
    "Edited",
    "Embedded",
    "concealed",
    "decode",
    "difference",
    "edit",
    "embedded_images",
    "inspect",
    "is_heic",
    "may_hold_images",
    "pairs",
    "private_metadata",
    "reads_heic",
    "sniff",
    "strip",
    "take_out",
    "thumbnail",
    "trimmed",
]
