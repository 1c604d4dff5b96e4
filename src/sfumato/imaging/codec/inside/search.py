"""Look through any bytes for images: by magics, in compressed streams, in text, by elimination.

What no rule can name is taken for an image that can't be searched as soon as it is larger than
a face that anybody could see in it (`UNKNOWN`): that covers all that no list of formats knows.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from sfumato.imaging.codec.inside import text
from sfumato.imaging.codec.inside.found import (
    DEEPEST,
    SMALLEST,
    UNKNOWN,
    UNKNOWN_IN_ALL,
    Budget,
    Embedded,
    Span,
    TooMuch,
)
from sfumato.imaging.codec.inside.magics import hits
from sfumato.imaging.codec.signatures import FORMATS

# Heads of zlib streams (RFC 1950: the two bytes are a multiple of 31, no dictionary) and of gzip.
_STREAM: Final = re.compile(
    b"|".join(
        re.escape(bytes((first, second)))
        for first in range(0x08, 0x80, 0x10)
        for second in range(256)
        if (first << 8 | second) % 31 == 0 and not second & 0x20
    )
    + rb"|\x1f\x8b\x08"
)
_EVEN: Final = re.compile(rb"(.)\1{15,}", re.DOTALL)  # padding
_MOST_STREAM: Final = 1 << 26
_MOST_STREAMS: Final = 20_000  # places where one might begin
_HEAD_OF_TEXT: Final = 32  # bytes before a block of metadata that was written out
_SHORT_STREAM: Final = 1 << 12


@dataclass(frozen=True, slots=True)
class Where:
    """A place that is searched: in words, in which part, how deep inside others.

    `direct` says that offsets are those of the part's payload; `known` that bytes which nobody
    can name are in order there.
    """

    name: str
    part: int
    depth: int = 0
    direct: bool = False
    known: bool = False

    def inside(self, name: str = "") -> Where:
        """Return a place inside this one."""
        return replace(self, name=name or self.name, depth=self.depth + 1, direct=False)


@dataclass(slots=True)
class Search:
    """A search through the parts of one file; `budget` is that of all of them together."""

    budget: Budget

    def data(self, data: bytes, where: Where, offset: int = 0) -> Iterator[Embedded]:
        """Yield the images in any bytes; `offset` is where these begin in the part's payload."""
        if len(data) < SMALLEST:
            yield from self._unnamed(data, where, (offset, offset + len(data)))
            return
        self.budget.look(len(data))
        if where.depth > DEEPEST:
            raise TooMuch
        behind = 0
        for start, end, found in self._recognised(data, where, offset):
            yield from found
            if start > behind:
                yield from self._unnamed(
                    data[behind:start], where, (offset + behind, offset + start)
                )
            behind = max(behind, end)
        if behind < len(data):
            yield from self._unnamed(data[behind:], where, (offset + behind, offset + len(data)))

    def image(self, data: bytes, kind: str, where: Where, span: Span | None) -> Iterator[Embedded]:
        """Yield an image that sfumato reads, and what lies inside it."""
        name = f"{kind} {where.name}"
        if not data.strip(b"\x00"):  # wiped before
            return
        yield Embedded(name, data, where.part, span if where.direct else None)
        from sfumato.imaging.codec.inside.parts import search_parts  # the two call each other

        yield from search_parts(self, data, where.inside())

    def _recognised(
        self, data: bytes, where: Where, offset: int
    ) -> Iterator[tuple[int, int, list[Embedded]]]:
        """Yield (start, end, images) of what is an image or a compressed stream, in order."""
        found: list[tuple[int, int, list[Embedded]]] = []
        for hit in hits(data, self.budget, tables=where.known):
            span = (offset + hit.start, offset + hit.end)
            if hit.kind == "TIFF":  # perhaps a block of tags alone
                images = self._tags(data[hit.start : hit.end], where, span[0])
            elif hit.kind in FORMATS:
                images = list(self.image(data[hit.start : hit.end], hit.kind, where, span))
            else:
                place = span if where.direct else None
                images = [Embedded(f"{hit.kind} {where.name}", None, where.part, place)]
            found.append((hit.start, hit.end, images))
        found += self._streams(data, where, [(start, end) for start, end, _ in found])
        yield from sorted(found, key=lambda one: one[:2])

    def _tags(self, data: bytes, where: Where, offset: int) -> list[Embedded]:
        from sfumato.imaging.codec.inside.tags import search_tags  # the two call each other

        inner = replace(where, depth=where.depth + 1)
        return list(search_tags(self, data, inner, offset, pixels=False))

    def _streams(
        self, data: bytes, where: Where, taken: list[Span]
    ) -> Iterator[tuple[int, int, list[Embedded]]]:
        """Yield the compressed streams outside of what was taken for an image already."""
        behind = 0
        for count, match in enumerate(_STREAM.finditer(data)):
            at = match.start()
            if count == _MOST_STREAMS:
                raise TooMuch
            if at < behind or any(start <= at < end for start, end in taken):
                continue
            inflated, end, whole = self._inflated(data, at)
            if len(inflated) < SMALLEST:
                continue
            inner = where.inside() if whole else replace(where.inside(), known=True)
            images = list(self.data(inflated, inner))
            if whole:
                behind = end
                yield at, end, images
            elif images:
                behind = len(data)
                yield at, len(data), images

    def _inflated(self, data: bytes, at: int) -> tuple[bytes, int, bool]:
        """Return what a stream holds, where it ends, and whether it ends as one should."""
        inflate = zlib.decompressobj(31 if data[at] == 0x1F else zlib.MAX_WBITS)
        try:
            # Most that look like one aren't: told by their first bytes.
            head = inflate.decompress(data[at : at + _SHORT_STREAM], SMALLEST)
            if len(head) < SMALLEST and not inflate.eof:
                return head, at, False
            inflate = zlib.decompressobj(31 if data[at] == 0x1F else zlib.MAX_WBITS)
            self.budget.look(len(data) - at)
            most = min(_MOST_STREAM, self.budget.bytes)
            inflated = inflate.decompress(data[at:], most)
        except zlib.error:
            return self._before_error(data, at), at, False
        self.budget.look(len(inflated))
        if inflate.unconsumed_tail:
            raise TooMuch
        return inflated, len(data) - len(inflate.unused_data), inflate.eof

    def _before_error(self, data: bytes, at: int) -> bytes:
        """Return what a damaged stream gives before it breaks off."""
        inflate = zlib.decompressobj(31 if data[at] == 0x1F else zlib.MAX_WBITS)
        out = bytearray()
        try:
            for start in range(at, len(data), 64):
                out += inflate.decompress(data[start : start + 64], _MOST_STREAM)
                if len(out) > _MOST_STREAM:
                    raise TooMuch
        except zlib.error:
            pass  # all before it is in `out`
        self.budget.look(len(out))
        return bytes(out)

    def _unnamed(self, data: bytes, where: Where, span: Span) -> Iterator[Embedded]:
        """Yield what lies in bytes between or without images: text that holds some, or unknown."""
        if len(data) >= SMALLEST:
            yield from self._written(data, where)
        if where.known or self._named(data, where):
            return
        rest = len(_EVEN.sub(b"", data))
        small = rest <= UNKNOWN
        self.budget.unknown += rest if small else 0
        if not small or self.budget.unknown > UNKNOWN_IN_ALL:
            place = span if where.direct else None
            yield Embedded(f"bytes of no known kind {where.name}", None, where.part, place)

    def _named(self, data: bytes, where: Where) -> bool:
        """Tell whether bytes are text of which all is read, by a person or here."""
        inner = replace(where.inside(), direct=True, known=True)
        return text.is_text(data) and all(self._spelt(run, inner) for run in text.unreadable(data))

    def _spelt(self, run: bytes, inner: Where) -> bool:
        """Tell whether a run of text spells images or tags and, by and large, nothing else."""
        for decoded in text.decoded(run):
            if text.is_readable(decoded):
                return True
            spans = [one.span for one in self.data(decoded, inner) if one.span is not None]
            if spans and len(decoded) - sum(end - start for start, end in spans) <= UNKNOWN:
                return True
        return False

    def _resources(self, decoded: bytes, where: Where) -> Iterator[Embedded]:
        """Yield the images in Photoshop's resources that were written out as text."""
        from sfumato.imaging.codec.inside.resources import (
            search_photoshop,  # the two call each other
        )

        at = decoded.find(b"8BIM", 0, _HEAD_OF_TEXT)
        if at >= 0:
            yield from search_photoshop(self, decoded[at:], where.inside(), 0)

    def _written(self, data: bytes, where: Where) -> Iterator[Embedded]:
        """Yield the images that text spells out."""
        inner = replace(where.inside(), known=True)
        seen: set[bytes | None] = set()
        for decoded in text.decoded(data):
            for found in chain(self.data(decoded, inner), self._resources(decoded, where)):
                if found.data not in seen:
                    seen.add(found.data)
                    yield found
