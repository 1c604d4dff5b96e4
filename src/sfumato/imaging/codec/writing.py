"""Obfuscate boxes in the stored pixels of an image and write it in its own format.

`encoding` writes; what it wrote is decoded again here and compared before it is returned.

The obfuscator gets the stored pixels in the image's own channels (grey, CMYK, with alpha;
palette images as the colours they show), and the boxes turned to the stored grid.

- JPEG: `sfumato.imaging.jpeg` edits the blocks under the boxes, all other coefficients stay;
  "exact". Of an MPO only the first image is kept. What it can't edit (arithmetic coding)
  is refused, or with `on_unsupported` "reencode" written anew with the same quantisation
  tables, subsampling (4:4:4 where Pillow can't write it) and coding; "reencoded".
- PNG, BMP, TIFF, GIF and lossless WebP: "exact". 1-bit images, and grey ones of 2 or 4,
  become grey of 8 bits, since blur needs it. JPEG or fax coding inside a TIFF becomes deflate.
- PNG and TIFF of 16 bits a channel: "exact" in all 16 bits; the obfuscator gets 8 of them, and
  within its reach no others are written.
- Palette images keep the entries that untouched pixels use, with their transparency;
  free entries take the new colours, and where these are more, each obfuscated pixel gets
  the nearest.
- Lossy WebP and AVIF are written anew, at quality 95 or more: no quantiser that the headers of
  the result tell is coarser than the finest of the source's; "reencoded". AVIF keeps its
  sampling and colours.
- HEIC becomes a JPEG of quality 95 without subsampling, alpha or metadata; "reencoded".

Of the metadata only the colour profile, the orientation, the resolution and what decoding
needs stay; with `policy` "keep-safe" also the camera's maker and model, dates and the
copyright line, as short printable ASCII. The result is decoded again and compared before it
is returned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.boxes import to_stored
from sfumato.errors import Code, SampleError
from sfumato.imaging import jpeg
from sfumato.imaging.codec.deep_editing import obfuscated, samples_of, write_deep
from sfumato.imaging.codec.encoding import WRITERS, Edited
from sfumato.imaging.codec.metadata import private_metadata
from sfumato.imaging.codec.palette import Palette, indices_of, palette_of
from sfumato.imaging.codec.reading import MAX_PIXELS, Header, Opened, guarded, open_image
from sfumato.imaging.codec.trimming import trimmed
from sfumato.imaging.jpeg import Policy
from sfumato.types import Box, Obfuscator, Pixels

# Of JPEG files that can't be edited block by block: refuse them, or write them anew.
OnUnsupported: TypeAlias = Literal["refuse", "reencode"]

_EDITED_AS = {"1": "L", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}  # what can't be mixed as it is
_MEAN_ERROR = 16  # grey levels; a wrong inversion or channel order is far above


@dataclass(frozen=True, slots=True)
class _Canvas:
    """Stored pixels in channels that can be mixed; for palette images what they came from."""

    mode: str
    pixels: Pixels
    palette: Palette | None


def edit(
    data: bytes,
    boxes: Sequence[Box],
    obfuscator: Obfuscator,
    *,
    max_pixels: int = MAX_PIXELS,
    on_unsupported: OnUnsupported = "refuse",
    policy: Policy = "faces",
) -> Edited:
    """Obfuscate boxes of an image and write it in the format that it came in (see the module).

    Args:
        data: the encoded bytes.
        boxes: in upright pixels; none writes the image anew, without its metadata.
        obfuscator: what changes the pixels; leaves those outside its `reaches` alone.
        max_pixels: as for `inspect`.
        on_unsupported: what to do with a JPEG that can't be edited block by block.
        policy: which metadata stay.

    Raises:
        SampleError: as `decode`; IMAGE_UNSUPPORTED for 10 and 12 bits and for several frames;
            IMAGE_ENCODE where the result is not what it should be.
    """
    with guarded(max_pixels):
        opened = open_image(data, max_pixels)
        header = opened.header
        _refuse_uneditable(header)
    stored = [to_stored(box, header.orientation, header.width, header.height) for box in boxes]
    if header.format in ("JPEG", "MPO") and boxes:
        try:
            return Edited(_edit_blocks(data, stored, obfuscator, max_pixels, policy), "exact")
        except SampleError as error:
            if error.code is not Code.IMAGE_UNSUPPORTED or on_unsupported == "refuse":
                raise
    write_anew = _edit_deep if header.bits > 8 else _edit_pixels
    return write_anew(opened, stored, obfuscator, max_pixels, policy)


def _edit_blocks(
    data: bytes, boxes: Sequence[Box], obfuscator: Obfuscator, max_pixels: int, policy: Policy
) -> bytes:
    """Edit a JPEG block by block, if need be without what lies behind its last block."""
    try:
        return edit_blocks(data, boxes, obfuscator, max_pixels=max_pixels, policy=policy)
    except SampleError as error:
        if error.code is not Code.IMAGE_DECODE:
            raise
        with suppress(SampleError):
            data, before = trimmed(data, max_pixels=max_pixels, exactly=True), data
            if data != before:
                return edit_blocks(data, boxes, obfuscator, max_pixels=max_pixels, policy=policy)
        raise


def edit_blocks(
    data: bytes, boxes: Sequence[Box], obfuscator: Obfuscator, *, max_pixels: int, policy: Policy
) -> bytes:
    """Return a JPEG file in which only the blocks under the boxes (stored pixels) changed.

    The editor works on the file's own planes, so an RGB colour becomes one value for each.

    Raises:
        SampleError: as `sfumato.imaging.jpeg.edit`.
    """
    colour, in_colour = (getattr(obfuscator, name, None) for name in ("colour", "in_colour"))
    each: Obfuscator | list[Obfuscator] = obfuscator
    if colour is not None and in_colour is not None:
        info = jpeg.inspect(data, max_pixels=max_pixels)
        red, green, blue = colour[:3]
        values = jpeg.component_values(info, (red, green, blue))
        each = [in_colour((value,)) for value in values]
    return jpeg.edit(data, boxes, each, max_pixels=max_pixels, policy=policy).data


def _edit_pixels(
    opened: Opened, boxes: Sequence[Box], obfuscator: Obfuscator, max_pixels: int, policy: Policy
) -> Edited:
    """Edit an image of 8 bits a channel and write it anew."""
    header = opened.header
    with guarded(max_pixels):
        opened.image.load()
        heic = header.format == "HEIC"  # written as JPEG, which knows no alpha
        canvas = _canvas(opened.image.convert("RGB") if heic else opened.image)
    obfuscator = _in_mode(obfuscator, canvas.mode)
    changed = obfuscator(canvas.pixels, boxes)
    with guarded(max_pixels, Code.IMAGE_ENCODE):
        image = _image(canvas, changed, header)
        written = WRITERS[header.format](opened, image, policy)
        _check(written, opened, image, max_pixels, keep_safe=policy == "keep-safe")
        if written.encoding == "exact":
            before = _colours(opened.image, image.mode)
            _check_outside(before, _colours(image), obfuscator.reaches(boxes))
    return written


def _edit_deep(
    opened: Opened, boxes: Sequence[Box], obfuscator: Obfuscator, max_pixels: int, policy: Policy
) -> Edited:
    """Edit an image of 16 bits a channel; what was written is read again and compared."""
    with guarded(max_pixels):
        opened.image.load()
        before = samples_of(opened)
    changed = obfuscated(before, boxes, _in_mode(obfuscator, opened.image.mode))
    with guarded(max_pixels, Code.IMAGE_ENCODE):
        written = write_deep(opened, changed, policy)
        again = _read_again(written, opened, max_pixels, keep_safe=policy == "keep-safe")
        if not np.array_equal(samples_of(again), changed):
            raise _not_written("its pixels are not the ones written")
        _check_outside(before, changed, obfuscator.reaches(boxes))
    return written


def _refuse_uneditable(header: Header) -> None:
    if header.bits > 8 and not (header.bits == 16 and header.format in ("PNG", "TIFF")):
        reason = f"faces can't be obfuscated in {header.bits}-bit images yet"
        raise SampleError(Code.IMAGE_UNSUPPORTED, reason)
    if header.frames > 1 and header.format != "MPO":
        reason = f"faces can't be obfuscated in images of {header.frames} frames yet"
        raise SampleError(Code.IMAGE_UNSUPPORTED, reason)


def _in_mode(obfuscator: Obfuscator, mode: str) -> Obfuscator:
    """Tell an obfuscator that paints an RGB colour which channels it gets, if it wants to know."""
    translate = getattr(obfuscator, "in_mode", None)
    if translate is None or mode not in ("CMYK", "YCbCr"):
        return obfuscator
    told: Obfuscator = translate(mode)
    return told


def _canvas(image: Image.Image) -> _Canvas:
    if image.mode == "P":
        palette = palette_of(image)
        canvas = _Canvas("P", palette.show(), palette)
    else:
        mode = _EDITED_AS.get(image.mode, image.mode)
        pixels = np.asarray(image if image.mode == mode else image.convert(mode))
        canvas = _Canvas(mode, pixels[..., None] if pixels.ndim == 2 else pixels, None)
    canvas.pixels.flags.writeable = False  # it is compared with what the obfuscator returns
    return canvas


def _image(canvas: _Canvas, changed: Pixels, header: Header) -> Image.Image:
    """Return an image of the changed pixels that knows nothing of the file they came from."""
    height, width = changed.shape[:2]
    if canvas.palette is None:
        return Image.frombuffer(canvas.mode, (width, height), np.ascontiguousarray(changed))
    binary_alpha = header.format == "GIF"
    palette = indices_of(canvas.palette, canvas.pixels, changed, binary_alpha=binary_alpha)
    image = Image.frombuffer("P", (width, height), palette.indices)
    image.putpalette(palette.colours[:, :3].tobytes())
    alpha = palette.colours[:, 3:]
    if alpha.size and alpha.min() < 255:
        first = int(np.argmin(alpha))
        image.info["transparency"] = first if binary_alpha else alpha.tobytes()
    return image


def _read_again(edited: Edited, opened: Opened, max_pixels: int, *, keep_safe: bool) -> Opened:
    """Open what was written; raise IMAGE_ENCODE where it isn't what it should be, or not clean."""
    try:
        again = open_image(edited.data, max_pixels)
        again.image.load()
        private = private_metadata(edited.data, keep_safe=keep_safe)
    except SampleError as error:
        raise _not_written(f"it can't be read again: {error.reason}") from error
    wanted = replace(again.header, width=opened.header.width, height=opened.header.height)
    wanted = replace(wanted, orientation=opened.header.orientation, frames=1)
    if again.header != wanted:
        raise _not_written("its size, orientation or number of frames changed")
    if private:
        raise _not_written(f"it holds {', '.join(private)}")
    return again


def _check(
    edited: Edited, opened: Opened, image: Image.Image, max_pixels: int, *, keep_safe: bool
) -> None:
    """Decode what was written and compare; raise IMAGE_ENCODE for any difference."""
    again = _read_again(edited, opened, max_pixels, keep_safe=keep_safe)
    before, after = _colours(image), _colours(again.image, image.mode)
    if edited.encoding == "exact":
        if not np.array_equal(before, after):
            raise _not_written("its pixels are not the ones written")
    elif np.abs(before[::4].astype(np.int16) - after[::4]).mean() > _MEAN_ERROR:
        raise _not_written("its colours changed")


def _colours(image: Image.Image, mode: str | None = None) -> NDArray[np.uint8]:
    """Return an image's channels as they are compared; palettes by the colours they show."""
    mode = mode or image.mode
    mode = "RGBA" if mode == "P" else mode
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _check_outside(before: NDArray[Any], after: NDArray[Any], reaches: Sequence[Box]) -> None:
    differs = before != after
    differs = differs.any(axis=-1) if differs.ndim == 3 else differs
    for x0, y0, x1, y1 in reaches:
        left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
        differs[top : max(0, math.ceil(y1)), left : max(0, math.ceil(x1))] = False
    if differs.any():
        raise _not_written("pixels away from every face changed")


def _not_written(what: str) -> SampleError:
    return SampleError(Code.IMAGE_ENCODE, f"the edited image is not kept: {what}")
