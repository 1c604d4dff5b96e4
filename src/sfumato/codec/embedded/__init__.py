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

from sfumato.codec.embedded.found import Embedded, TooMuch
from sfumato.codec.embedded.parts import parts_of, search_part
from sfumato.codec.embedded.search import Search, Where

__all__ = ["Embedded", "embedded_images"]


def embedded_images(data: bytes) -> tuple[Embedded, ...]:
    """Return the further images inside an image file, in the order of its parts.

    Frames and pages that a viewer shows are no further images, and the second pictures of an MPO
    are. Where a file holds more than can be looked through, one that can't be searched stands for
    the rest. Nothing is raised for whatever bytes; a file of no known kind has no parts.
    """
    search = Search()
    found: list[Embedded] = []
    for number, part in enumerate(parts_of(data)):
        try:
            for one in search_part(search, part, Where(part.name, number, direct=True)):
                found.append(one)  # not at once: what came before a limit counts  # noqa: PERF402
        except TooMuch:
            found.append(Embedded(f"more than can be searched {part.name}", None, number))
    return tuple(dict.fromkeys(found))
