"""The way from `codec.edit` to the block-exact JPEG editor: colours, and what it can't edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from sfumato.imaging import jpeg
from sfumato.types import Box, Obfuscator

# Of JPEG files that can't be edited block by block: refuse them, or write them anew.
OnUnsupported: TypeAlias = Literal["refuse", "reencode"]


@runtime_checkable
class Coloured(Protocol):
    """An obfuscator that paints in one colour (None: in no certain one)."""

    @property
    def colour(self) -> tuple[int, ...] | None:
        """RGB, or what each channel gets."""
        ...

    def in_colour(self, colour: tuple[int, ...]) -> Obfuscator:
        """Return the same in another colour."""
        ...


def edit_blocks(
    data: bytes,
    boxes: Sequence[Box],
    obfuscator: Obfuscator,
    *,
    max_pixels: int,
    policy: jpeg.Policy = "faces",
) -> bytes:
    """Return a JPEG file in which only the blocks under the boxes (stored pixels) changed.

    The editor works on the file's own planes, so an RGB colour becomes one value for each.

    Raises:
        SampleError: as `sfumato.imaging.jpeg.edit`.
    """
    if isinstance(obfuscator, Coloured) and obfuscator.colour is not None:
        red, green, blue = obfuscator.colour[:3]
        info = jpeg.inspect(data, max_pixels=max_pixels)
        values = jpeg.component_values(info, (red, green, blue))
        each = [obfuscator.in_colour((value,)) for value in values]
        return jpeg.edit(data, boxes, each, max_pixels=max_pixels, policy=policy).data
    return jpeg.edit(data, boxes, obfuscator, max_pixels=max_pixels, policy=policy).data
