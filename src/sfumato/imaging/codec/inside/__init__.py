"""Further images inside an image file: previews, films, gain maps, whatever lies beside the pixels.

    for one in embedded_images(data):
        one.kind                 # "JPEG behind the end", "film in chunk prVt", …
        one.data                 # the encoded image, or None: nobody can search it

Not a list of places: a file is cut into what its visible pixels need (`parts`) and all other
bytes, and those are looked through for images of any kind (`search`), also in base64 and in
compressed streams, and inside each other. Large bytes that nobody can name count as an image
that can't be searched.
"""

from __future__ import annotations

from typing import Final

from sfumato.imaging.codec.inside.found import NOWHERE, Budget, Embedded, Part, TooMuch
from sfumato.imaging.codec.inside.magics import whole_images
from sfumato.imaging.codec.inside.parts import parts_of, search_part
from sfumato.imaging.codec.inside.search import Search, Where
from sfumato.imaging.codec.inside.tags import jpeg_strips
from sfumato.imaging.codec.signatures import HEAD, sniff

__all__ = ["Embedded", "embedded_images"]

_MOST_AMONG: Final = 32


def embedded_images(data: bytes) -> tuple[Embedded, ...]:
    """Return the further images inside an image file, in the order of its parts.

    Frames and pages that a viewer shows are no further images, and the second images of an MPO
    are. Where a file holds more than can be looked through, one that can't be searched stands for
    the rest. Nothing is raised for whatever bytes; a file of no known kind has no parts.
    """
    if sniff(data[:HEAD]) is None:
        return ()
    search, found = Search(Budget.of(len(data))), list[Embedded]()
    parts = parts_of(data)
    for number, part in enumerate(parts):
        try:
            for one in search_part(search, part, Where(part.name, number, direct=True)):
                found.append(one)
        except TooMuch:
            found.append(Embedded(f"more than can be searched {part.name}", None, number))
    found += _among_pixels(data, parts, found)
    # The same image may be met on two ways into a part.
    return tuple({(one.part, one.data or one): one for one in found}.values())


def _among_pixels(data: bytes, parts: list[Part], found: list[Embedded]) -> list[Embedded]:
    """Return whole images that lie in what should be coded pixels; they belong to no part."""
    spans = [span for part in parts for span in part.spans]
    known = [one.data for one in found if one.data is not None]
    strips = jpeg_strips(data)
    among: list[Embedded] = []
    for number, hit in enumerate(whole_images(data)):
        if number == _MOST_AMONG:
            among.append(Embedded("more than can be searched among pixels", None, NOWHERE))
            break
        image = data[hit.start : hit.end]
        if any(start <= hit.start < end for start, end in spans) or hit.start in strips:
            continue
        if not any(image in one for one in (*known, *(one.data or b"" for one in among))):
            among.append(Embedded(f"{hit.kind} among pixels", image, NOWHERE))
    return among
