"""Which part of a sphere an image shows: the fields of GPano that a viewer needs, written anew.

https://developers.google.com/streetview/spherical-metadata. Kept are sizes, angles and the
projection, as numbers and known words within sane ranges. Names of programs and dates go. The
compass heading tells which way the camera looked, not where it stood; without it a panorama opens
the wrong way round, so it stays, to two decimals.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final
from xml.parsers import expat

GPANO: Final = "http://ns.google.com/photos/1.0/panorama/"

_PROJECTIONS: Final = ("equirectangular", "cylindrical")
_NUMBER: Final = re.compile(r"[+-]?\d{1,9}(?:\.\d{1,20})?", re.ASCII)
_SIGNS: Final = tuple(GPANO.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be"))
_MOST_PIXELS: Final = 1_000_000  # of a side

_Reader = Callable[[str], str | None]


def _projection(text: str) -> str | None:
    return text.lower() if text.lower() in _PROJECTIONS else None


def _truth(text: str) -> str | None:
    return {"true": "True", "false": "False"}.get(text.lower())


def _pixels(text: str) -> str | None:
    value = _number(text)
    whole = value is not None and value == int(value) and 0 <= value <= _MOST_PIXELS
    return str(int(value)) if whole and value is not None else None


def _degrees(least: int, most: int) -> _Reader:
    def read(text: str) -> str | None:
        value = _number(text)
        if value is None or not least <= value <= most:
            return None
        written = f"{value:.2f}".rstrip("0").rstrip(".")
        return "0" if written == "-0" else written

    return read


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


_FIELDS: Final[dict[str, _Reader]] = {
    "ProjectionType": _projection,
    "UsePanoramaViewer": _truth,
    "FullPanoWidthPixels": _pixels,
    "FullPanoHeightPixels": _pixels,
    "CroppedAreaImageWidthPixels": _pixels,
    "CroppedAreaImageHeightPixels": _pixels,
    "CroppedAreaLeftPixels": _pixels,
    "CroppedAreaTopPixels": _pixels,
    "LargestValidInteriorRectLeft": _pixels,
    "LargestValidInteriorRectTop": _pixels,
    "LargestValidInteriorRectWidth": _pixels,
    "LargestValidInteriorRectHeight": _pixels,
    "PoseHeadingDegrees": _degrees(-360, 360),
    "PosePitchDegrees": _degrees(-180, 180),
    "PoseRollDegrees": _degrees(-360, 360),
    "InitialViewHeadingDegrees": _degrees(-360, 360),
    "InitialViewPitchDegrees": _degrees(-180, 180),
    "InitialViewRollDegrees": _degrees(-360, 360),
    "InitialHorizontalFOVDegrees": _degrees(0, 360),
    "InitialVerticalFOVDegrees": _degrees(0, 360),
}


def panorama_packet(xmp: bytes) -> bytes:
    """Return a packet of XMP that holds the panorama of another one and nothing else.

    Empty for what is no panorama: no projection that is known, or nothing that can be read. A
    packet that was written here comes back byte for byte.
    """
    if not any(sign in xmp for sign in _SIGNS):  # most packets: nothing is parsed
        return b""
    told = properties(xmp, GPANO)
    fields = {}
    for name, read in _FIELDS.items():
        value = read(told[name]) if name in told else None
        if value is not None:
            fields[name] = value
    return _written(fields) if "ProjectionType" in fields else b""


def is_panorama_packet(xmp: bytes) -> bool:
    """Tell whether a packet holds a panorama as it is written here, to the byte."""
    return bool(xmp) and panorama_packet(xmp) == xmp


def _written(fields: dict[str, str]) -> bytes:
    rows = "".join(f'\n   GPano:{name}="{value}"' for name, value in fields.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f' <rdf:RDF xmlns:rdf="{RDF}">\n'
        f'  <rdf:Description rdf:about="" xmlns:GPano="{GPANO}"{rows}/>\n'
        " </rdf:RDF>\n</x:xmpmeta>\n"
        '<?xpacket end="r"?>'
    ).encode()


# Reading the properties of one namespace from a packet of XMP (ISO 16684-1), RDF in XML: a property
# is an attribute of `rdf:Description` or an element in it. Packets are untrusted: nothing is
# expanded or loaded, and what is large or deep isn't read.

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

_MOST_BYTES: Final = 1 << 20
_DEEPEST: Final = 32
_LONGEST: Final = 64  # characters of a value that is of use here
_BETWEEN: Final = " "  # no namespace and no name can hold one


class _Refused(Exception):
    """What no packet of XMP holds: a document type, or elements very deep in each other."""


class _Properties:
    def __init__(self, namespace: str) -> None:
        self.found: dict[str, str] = {}
        self._namespace = namespace
        self._path: list[str] = []
        self._text: list[str] = []

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        if len(self._path) > _DEEPEST:
            raise _Refused
        self._text = []
        if name == f"{RDF}{_BETWEEN}Description":
            for key, value in attributes.items():
                self._note(key, value)

    def text(self, part: str) -> None:
        if sum(map(len, self._text)) <= _LONGEST:
            self._text.append(part)

    def end(self, name: str) -> None:
        self._path.pop()
        if self._path and self._path[-1] == f"{RDF}{_BETWEEN}Description":
            self._note(name, "".join(self._text))
        self._text = []

    def _note(self, name: str, value: str) -> None:
        namespace, _, local = name.rpartition(_BETWEEN)
        if namespace == self._namespace and len(value) <= _LONGEST:
            self.found.setdefault(local, value.strip())


def properties(packet: bytes, namespace: str) -> dict[str, str]:
    """Return the simple properties of a namespace by their local names, the first of each.

    Empty where the packet can't be read to its end, has a document type, or is too large.
    """
    if len(packet) > _MOST_BYTES:
        return {}
    low_first = packet[:2] in (b"\xff\xfe", b"<\x00")  # UTF-16, low byte first
    reader = _Properties(namespace)
    parser = expat.ParserCreate(namespace_separator=_BETWEEN)
    parser.buffer_text = True
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(packet.rstrip(b"\x00") + b"\x00" * low_first, True)  # some end with zeros
    except (expat.ExpatError, _Refused, ValueError, LookupError):
        return {}
    return reader.found


def _refuse(*_: object) -> None:
    raise _Refused
