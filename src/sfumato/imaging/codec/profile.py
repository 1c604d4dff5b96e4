"""Colour profiles as the formats carry them, and what of them may be published."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from sfumato.imaging.codec import chunks
from sfumato.imaging.embedded.panorama import is_panorama_packet
from sfumato.imaging.embedded.profile import UNREADABLE, clean_profile, profile_extras
from sfumato.imaging.embedded.profile_texts import is_plain

_MOST_PROFILE = 1 << 24  # bytes of a colour profile; a larger one is something else
_TIFF_PROFILE, _TIFF_XMP = 34675, 700
_PNG_NAME = b"ICC Profile"


def published_profile(profile: object) -> bytes | None:
    """Return what may be published of a colour profile, as a file carries it.

    It is one if it has "acsp" at byte 36 (ICC.1, 7.2.12); it is cut to its length, and what no
    colour transform needs goes. None for what is none, and where that can't be proved.
    """
    if not isinstance(profile, bytes) or len(profile) < 132 or profile[36:40] != b"acsp":
        return None
    length = int.from_bytes(profile[:4], "big")
    return clean_profile(profile[:length]) if 132 <= length <= len(profile) else None


def inflated_profile(chunk: bytes) -> bytes | None:
    """Return what may be published of the profile in the payload of PNG's iCCP; None for none."""
    _, _, rest = chunk.partition(b"\x00")
    try:
        return published_profile(zlib.decompressobj().decompress(rest[1:], _MOST_PROFILE))
    except zlib.error:
        return None


def png_profile_chunk(chunk: bytes) -> bytes:
    """Return the chunk of a PNG that takes the place of this iCCP, given its payload.

    The same where nothing had to go; nothing where no profile may stay.
    """
    profile = inflated_profile(chunk)
    if profile is None:
        return b""
    if not said_of_png(chunk):
        return chunks.png_chunk(b"iCCP", chunk)
    return chunks.png_chunk(b"iCCP", _PNG_NAME + b"\x00\x00" + zlib.compress(profile))


def joined(parts: list[bytes]) -> bytes:
    """Return the profile in parts of a JPEG, each behind its number and their count.

    Nothing where a number is missing or comes twice.
    """
    if len(parts) > 255:  # a byte counts them
        return b""
    parts = sorted(parts)
    counted = all(part[:2] == bytes((n, len(parts))) for n, part in enumerate(parts, 1))
    return b"".join(part[2:] for part in parts) if counted else b""


def said_of(profile: bytes) -> tuple[str, ...]:
    """Name what a profile holds that an obfuscated image must not."""
    extras = profile_extras(profile)
    if not extras:
        return ()
    return ("profile:unreadable",) if UNREADABLE in extras else ("profile:private tags",)


def said_of_png(chunk: bytes) -> tuple[str, ...]:
    """Name what the payload of PNG's iCCP holds that an obfuscated image must not."""
    name, _, rest = chunk.partition(b"\x00")
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(rest[1:], _MOST_PROFILE)
    except zlib.error:
        return ("profile:unreadable",)
    if not inflate.eof or inflate.unused_data:
        return ("profile:unreadable",)
    named = () if is_plain(name.decode("latin-1")) else ("profile:private tags",)
    return said_of(profile) or named


def said_of_xmp(packet: bytes) -> tuple[str, ...]:
    """Name a packet of XMP that is more than the fields of a panorama, as they are written here."""
    return () if is_panorama_packet(packet) else ("xmp",)


def said_of_pages(tiff: chunks.Tiff) -> Iterator[str]:
    """Name what the profiles and the XMP of a TIFF's pages hold, each that pages share once.

    Raises:
        ValueError: they lie on top of each other.
    """
    for number, said in ((_TIFF_PROFILE, said_of), (_TIFF_XMP, said_of_xmp)):
        chunks.check_apart(tiff, number)
        tags = [page.tags[number] for page in tiff.pages if number in page.tags]
        for at, size in sorted({(tag.at, tag.size) for tag in tags}):
            yield from said(tiff.data[at : at + size])
