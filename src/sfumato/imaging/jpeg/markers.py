"""The outside of a JPEG file: its marker segments, its metadata, and what of it may be published.

A JPEG file (ITU-T T.81, Annex B) is a chain of *segments*. Each begins with a marker (0xFF and
a code), most go on with a two-byte length and that many bytes. After a start-of-scan segment
comes *entropy-coded data*, in which a byte 0xFF is always followed by 0x00 (a stuffed zero) or
by a restart marker, so that the next segment can be found without decoding anything.

Metadata is kept by an allow-list, because previews hide in more places than any deny-list
knows: of 1,000 ImageNet files 44 carry one in EXIF and 69 in Photoshop's APP13.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Literal, TypeAlias, get_args

from sfumato.errors import Code, SampleError
from sfumato.imaging.embedded import orientation as turns
from sfumato.imaging.embedded.panorama import panorama_packet
from sfumato.imaging.embedded.profile import clean_profile
from sfumato.imaging.jpeg._scan import end_of_scan
from sfumato.imaging.jpeg.exif import rebuilt_exif

# faces: strip edited files only. all: strip every file. keep-safe: as faces, and keep the date,
# the camera and the copyright line.
Policy: TypeAlias = Literal["faces", "all", "keep-safe"]

SOI, EOI, SOS, DQT, DHT, DRI = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD
DAC, DNL, DHP, EXP, TEM, COM = 0xCC, 0xDC, 0xDE, 0xDF, 0x01, 0xFE
APP0, APP1, APP2, APP13, APP14 = 0xE0, 0xE1, 0xE2, 0xED, 0xEE
SOF_CODES: Final = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, DAC}
STRUCTURE: Final = SOF_CODES | {SOS, DQT, DHT, DRI}  # what a decoder needs
JFIF, JFXX, EXIF = b"JFIF\0", b"JFXX\0", b"Exif\0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
ICC, ADOBE = b"ICC_PROFILE\0", b"Adobe"

MOST_SEGMENTS: Final = 20_000  # whatever has more was made to keep its readers busy

_FILL: Final = re.compile(rb"\xff*+")
# A start of image and, looked at but not consumed, the head of the segment after it.
_PREVIEW: Final = re.compile(rb"\xff\xd8(?=\xff++[\xc0-\xc4\xdb\xdd\xe0-\xef\xfe](..))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Segment:
    """One marker segment; `scan` is the entropy-coded data that follows a start of scan."""

    marker: int
    offset: int  # of the 0xFF before the marker code
    payload: bytes  # without the length field
    scan: bytes | memoryview = b""


def broken(reason: str) -> SampleError:
    """Return the refusal of a file that breaks T.81."""
    return SampleError(Code.IMAGE_DECODE, f"JPEG: {reason}")


def walk(data: bytes) -> tuple[list[Segment], int]:
    """Return the segments between start and end of image, and where the first image ends.

    What follows that offset (a second image, a video, rubbish) is no part of the image. A
    missing end marker is accepted after a scan; whether the scan is whole is for the decoder.

    Raises:
        SampleError: `IMAGE_DECODE` where the chain of segments breaks.
    """
    if data[:2] != b"\xff\xd8":
        raise broken("does not begin with a start of image")
    segments: list[Segment] = []
    at = 2
    while at < len(data):
        offset, at = at, _skip_fill(data, at)
        if at == len(data):
            break
        marker = data[at]
        if marker == EOI:
            return segments, at + 1
        if marker not in STRUCTURE and not 0xE0 <= marker <= 0xEF and marker != COM:
            _refuse_marker(marker, offset)
        stop = at + 1 + int.from_bytes(data[at + 1 : at + 3], "big")
        if stop < at + 3 or stop > len(data):
            raise broken(f"segment at byte {offset} is cut off")
        end = end_of_scan(data, stop) if marker == SOS else stop
        if end < 0:
            raise broken(f"stray fill bytes at byte {~end}")
        # Scans are as large as the file: looked at, not copied.
        segments.append(Segment(marker, offset, data[at + 3 : stop], memoryview(data)[stop:end]))
        if len(segments) > MOST_SEGMENTS:
            raise SampleError(Code.IMAGE_UNSUPPORTED, f"JPEG: more than {MOST_SEGMENTS} segments")
        at = end
    if not segments or segments[-1].marker != SOS:
        raise broken("ends before the end of the image")
    return segments, len(data)


def _skip_fill(data: bytes, at: int) -> int:
    """Return where the marker code stands, past its 0xFF and any fill bytes (T.81 B.1.1.2).

    Stray bytes between segments, which some writers leave, are passed over as libjpeg does.
    """
    start, at = at, data.find(b"\xff", at)
    if at < 0:
        raise broken(f"no marker from byte {start} on")
    found = _FILL.match(data, at)
    return at if found is None else found.end()


def _refuse_marker(marker: int, offset: int) -> None:
    """Raise for a marker that has no place in an image that this decoder reads."""
    names = {DHP: "hierarchical", EXP: "hierarchical", DAC: "arithmetic coding"}
    names[DNL] = "a height given after the scan (DNL)"
    if marker in names:
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"JPEG: {names[marker]}")
    raise broken(f"marker 0x{marker:02X} at byte {offset} has no place there")


def kept(segments: Sequence[Segment], policy: Policy) -> list[Segment]:
    """Return the segments that may be published, rebuilt where only a part of them may.

    Kept are: what a decoder needs, JFIF without its thumbnail, the ICC profile without its
    private tags, Adobe's colour transform, an EXIF segment written anew that holds the
    orientation alone (with "keep-safe" also date, camera and copyright), and a packet of XMP
    written anew that holds the fields of a panorama. All else goes: an allow-list.
    """
    result: list[Segment] = []
    seen: set[bytes] = set()
    icc = _published_icc(segments)
    exif, packet = _payload(segments, EXIF), panorama_packet(_payload(segments, XMP)[len(XMP) :])
    published = {
        EXIF: rebuilt_exif(exif, _told(segments), keep_safe=policy == "keep-safe"),
        XMP: XMP + packet if packet else b"",
    }
    for segment in segments:
        if segment.marker in STRUCTURE:
            result.append(segment)
            continue
        name, payload = _published(segment)
        if name in published and name not in seen:
            # The turn that XMP tells goes to an EXIF segment.
            names = [EXIF] if name == EXIF else [XMP] if EXIF in seen or exif else [EXIF, XMP]
            texts = [published[one] for one in names]
            result += [Segment(APP1, segment.offset, text) for text in texts if text]
        elif name == ICC:
            result += icc.get(segment.offset, [])
        elif payload and name not in seen:
            result.append(Segment(segment.marker, segment.offset, payload))
        seen.add(name)
    return result


def _published_icc(segments: Sequence[Segment]) -> dict[int, list[Segment]]:
    """Return the segments of the profile by the offsets at which they go.

    They are the file's own, in its order, if nothing of the profile has to go.
    """
    own = [s for s in _front(segments) if s.marker == APP2 and s.payload.startswith(ICC)]
    profile = published_profile(segments)
    if not profile:
        return {}
    if b"".join(part[len(ICC) + 2 :] for part in _icc_parts(segments) or ()) == profile:
        return {segment.offset: [segment] for segment in own}
    return {own[0].offset: _icc_segments(profile, own[0].offset)}


def _front(segments: Sequence[Segment]) -> Iterator[Segment]:
    """Yield the segments before the first scan: what readers know before they decode."""
    return takewhile(lambda segment: segment.marker != SOS, segments)


def _icc_segments(profile: bytes, offset: int) -> list[Segment]:
    """Return the segments that carry a profile, numbered from 1 (ICC.1, annex B.4)."""
    most = 65519
    parts = [profile[start : start + most] for start in range(0, len(profile), most)]
    return [
        Segment(APP2, offset, ICC + bytes([number, len(parts)]) + part)
        for number, part in enumerate(parts, start=1)
    ]


def _published(segment: Segment) -> tuple[bytes, bytes]:
    """Return the kind of a metadata segment and what of it may be published (b"": nothing)."""
    payload = segment.payload
    match segment.marker:
        case 0xE0 if payload.startswith(JFIF) and len(payload) >= 14:
            return JFIF, payload[:12] + b"\0\0"  # a thumbnail of 0 by 0
        case 0xE1 if payload.startswith(EXIF):
            return EXIF, b""  # written anew
        case 0xE1 if payload.startswith(XMP):
            return XMP, b""  # written anew
        case 0xE2 if payload.startswith(ICC):
            return ICC, payload
        case 0xEE if payload.startswith(ADOBE) and len(payload) >= 12:
            return ADOBE, payload[:12]
    return b"", b""


def serialise(segments: Sequence[Segment]) -> bytes:
    """Write the segments as a JPEG file with one start and one end of image."""
    parts: list[bytes | memoryview] = [b"\xff\xd8"]
    for segment in segments:
        head = struct.pack(">BBH", 0xFF, segment.marker, len(segment.payload) + 2)
        parts += (head, segment.payload, segment.scan)
    parts.append(b"\xff\xd9")
    return b"".join(parts)


def strip(data: bytes, policy: Policy) -> bytes:
    """Return the file without the metadata that `policy` drops, and without what follows it.

    The image itself is not touched: tables and entropy-coded bytes are copied. With "faces",
    which strips edited files only, the same bytes come back, because nothing was edited here
    (`edit` strips what it changes).

    Raises:
        ValueError: no such policy.
        SampleError: `IMAGE_DECODE` where the chain of segments breaks.
    """
    if policy not in get_args(Policy):
        raise ValueError(f"policy must be one of {', '.join(get_args(Policy))}, got {policy!r}")
    if policy == "faces":
        return data
    segments, _ = walk(data)
    return serialise(kept(segments, policy))


def orientation(segments: Sequence[Segment]) -> int:
    """Return how the image is to be turned, 1 to 8: by EXIF, else by XMP (`embedded`)."""
    return turns.orientation(_payload(segments, EXIF), _payload(segments, XMP)[len(XMP) :])


def _told(segments: Sequence[Segment]) -> int | None:
    """Return the orientation if EXIF tells one, or XMP one that turns."""
    if turns.told_by_exif(_payload(segments, EXIF)) in range(1, 9):
        return orientation(segments)
    told = orientation(segments)
    return told if told > 1 else None


def _payload(segments: Sequence[Segment], head: bytes) -> bytes:
    """Return what readers see of EXIF (all its segments, joined) and of XMP (the last one).

    That is before the first scan, as Pillow has it.
    """
    front = (s.payload for s in _front(segments) if s.marker == APP1)
    found = [payload for payload in front if payload.startswith(head)]
    if head != EXIF:
        return found[-1] if found else b""
    return b"".join(payload[len(EXIF) * (at > 0) :] for at, payload in enumerate(found))


def icc_profile(segments: Sequence[Segment]) -> bytes:
    """Return the embedded ICC profile as it is, b"" if there is none.

    Only what is one: with "acsp" at byte 36 and no longer than it says (ICC.1, 7.2). Whatever
    else somebody has put there isn't needed to show the image.
    """
    parts = _icc_parts(segments)
    joined = b"".join(part[len(ICC) + 2 :] for part in parts or ())
    length = int.from_bytes(joined[:4], "big")
    return joined[:length] if joined[36:40] == b"acsp" and 128 <= length <= len(joined) else b""


def published_profile(segments: Sequence[Segment]) -> bytes:
    """Return the ICC profile without what no colour transform needs; b"" where there is none."""
    profile = icc_profile(segments)
    return clean_profile(profile) or b"" if profile else b""


def _icc_parts(segments: Sequence[Segment]) -> list[bytes] | None:
    """Return the payloads that hold the profile in the order of their numbers (ICC.1, B.4).

    None where a number is missing or comes twice: then nobody knows what the profile is.
    """
    front = (s.payload for s in _front(segments) if s.marker == APP2)
    parts = [payload for payload in front if payload.startswith(ICC)]
    if len(parts) > 255:  # a byte counts them
        return None
    parts.sort(key=lambda part: part[len(ICC) : len(ICC) + 2])
    wanted = [bytes((number, len(parts))) for number in range(1, len(parts) + 1)]
    return parts if [part[len(ICC) : len(ICC) + 2] for part in parts] == wanted else None


def holds_preview(data: bytes, segments: Sequence[Segment], end: int) -> bool:
    """Tell whether a further image lies inside the metadata or after the end of the image.

    Whole JPEG files are looked for in every segment by their first bytes, whatever the segment
    claims to be; the uncompressed thumbnails of JFIF, and XMP's in base 64, by their fields.
    """
    for segment in segments:
        payload = segment.payload
        if segment.marker in STRUCTURE:
            continue
        jfif = payload.startswith(JFIF) and len(payload) >= 14 and payload[12] * payload[13]
        in_base_64 = b"/9j/" in payload  # FF D8 FF
        if jfif or in_base_64 or payload.startswith(JFXX) or start_of_image(payload, 0) is not None:
            return True
    return start_of_image(data, end) is not None


def start_of_image(data: bytes, start: int) -> int | None:
    """Return the offset at or after `start` where a JPEG file seems to begin.

    That is a start-of-image marker with a segment behind it that ends where another marker
    stands: 0xFF 0xD8 alone occurs by chance in the tables of large colour profiles.
    """
    for hit in _PREVIEW.finditer(data, start):
        stop = hit.start(1) + int.from_bytes(hit.group(1), "big")
        if data[stop : stop + 1] in (b"\xff", b""):
            return hit.start()
    return None
