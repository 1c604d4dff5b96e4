"""Read the properties of one namespace from a packet of XMP, safely.

XMP (ISO 16684-1) is RDF in XML: a property is an attribute of `rdf:Description` or an element in
it. Packets are untrusted: nothing is expanded or loaded, and what is large or deep isn't read.
"""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

_MOST_BYTES: Final = 1 << 20
_DEEPEST: Final = 32
_LONGEST: Final = 64  # characters of a value that is of use here
_BETWEEN: Final = " "  # no namespace and no name can hold one


class _Refused(Exception):
    """What no packet of XMP holds: a document type, or elements very deep in each other."""


class _Reader:
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
    reader = _Reader(namespace)
    parser = expat.ParserCreate(namespace_separator=_BETWEEN)
    parser.buffer_text = True
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(_trimmed(packet), True)
    except (expat.ExpatError, _Refused, ValueError, LookupError):
        return {}
    return reader.found


def _trimmed(packet: bytes) -> bytes:
    """Return a packet without the zeros that some writers end it with."""
    trimmed = packet.rstrip(b"\x00")
    return trimmed + b"\x00" * (packet[:2] in (b"\xff\xfe", b"<\x00"))  # UTF-16, low byte first


def _refuse(*_: object) -> None:
    raise _Refused
