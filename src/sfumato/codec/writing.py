"""Obfuscate boxes in the stored pixels of a picture and write it in its own format.

Writers start from bare pixels and add what an allow-list names (colour profile, orientation,
resolution, what decoding needs), so nothing private can slip through: not the preview in EXIF,
not the comment that Pillow carries along, not what lies behind the end of the image.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, TiffImagePlugin

from sfumato.boxes import to_stored
from sfumato.codec import chunks
from sfumato.codec.blocks import OnUnsupported, edit_blocks
from sfumato.codec.metadata import private_metadata
from sfumato.codec.palette import Palette, indices_of, palette_of
from sfumato.codec.reading import MAX_PIXELS, Header, Opened, guarded, open_picture
from sfumato.errors import Code, SampleError
from sfumato.types import Box, Encoding, Obfuscator, Pixels

WEBP_QUALITY = 95  # lossy WebP doesn't tell its own; near the top, so that little is lost

_EDITED_AS = {"1": "L", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}  # what can't be mixed as it is
_TIFF_LOSSLESS = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate")
_PNG_KEPT = {b"cHRM": 32, b"gAMA": 4, b"sRGB": 1, b"cICP": 4, b"pHYs": 9}  # and their lengths
_MOST_PROFILE = 1 << 24  # bytes of a colour profile; a larger one is something else
_MEAN_ERROR = 16  # grey levels; a wrong inversion or channel order is far above


@dataclass(frozen=True, slots=True)
class Edited:
    """A written picture. `exact`: outside the reach of the boxes every pixel is the same."""

    data: bytes
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class _Canvas:
    """Stored pixels in channels that can be mixed; for palette pictures what they came from."""

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
) -> Edited:
    """Obfuscate boxes of a picture and write it in the format that it came in.

    The obfuscator gets the stored pixels in the picture's own channels (grey, CMYK, with alpha;
    palette pictures as the colours they show), and the boxes turned to the stored grid.

    - JPEG: `sfumato.jpeg` edits the blocks under the boxes, all other coefficients stay;
      "exact". Of an MPO only the first picture is kept. What it can't edit (arithmetic coding)
      is refused, or with `on_unsupported` "reencode" written anew with the same quantisation
      tables, subsampling (4:4:4 where Pillow can't write it) and coding; "reencoded".
    - PNG, BMP, TIFF, GIF and lossless WebP: "exact". 1-bit pictures become grey, since blur
      needs grey. JPEG or fax coding inside a TIFF becomes deflate.
    - Palette pictures keep the entries that untouched pixels use, with their transparency;
      free entries take the new colours, and where these are more, each obfuscated pixel gets
      the nearest.
    - Lossy WebP is written anew at quality 95; "reencoded".

    Of the metadata only the colour profile, the orientation, the resolution and what decoding
    needs stay. The result is decoded again and compared before it is returned.

    Args:
        data: the encoded bytes.
        boxes: in upright pixels; none writes the picture anew, without its metadata.
        obfuscator: what changes the pixels; leaves those outside its `reaches` alone.
        max_pixels: as for `inspect`.
        on_unsupported: what to do with a JPEG that can't be edited block by block.

    Raises:
        SampleError: as `decode`; IMAGE_UNSUPPORTED for 16-bit and for several frames;
            IMAGE_ENCODE where the result is not what it should be.
    """
    with guarded(max_pixels):
        opened = open_picture(data, max_pixels)
        header = opened.header
        _refuse_uneditable(header)
    stored = [to_stored(box, header.orientation, header.width, header.height) for box in boxes]
    if header.format in ("JPEG", "MPO") and boxes:
        try:
            return Edited(edit_blocks(data, stored, obfuscator, max_pixels=max_pixels), "exact")
        except SampleError as error:
            if error.code is not Code.IMAGE_UNSUPPORTED or on_unsupported == "refuse":
                raise
    with guarded(max_pixels):
        opened.image.load()
        canvas = _canvas(opened.image)
    obfuscator = _in_mode(obfuscator, canvas.mode)
    changed = obfuscator(canvas.pixels, stored)
    with guarded(max_pixels, Code.IMAGE_ENCODE):
        picture = _picture(canvas, changed, header)
        edited = _WRITERS[header.format](opened, picture)
        _check(edited, opened, picture, max_pixels)
        if edited.encoding == "exact":
            before = _colours(opened.image, picture.mode)
            _check_outside(before, _colours(picture), obfuscator.reaches(stored))
    return edited


def _refuse_uneditable(header: Header) -> None:
    if header.bits > 8:
        reason = f"faces can't be obfuscated in {header.bits}-bit pictures yet"
        raise SampleError(Code.IMAGE_UNSUPPORTED, reason)
    if header.frames > 1 and header.format != "MPO":
        reason = f"faces can't be obfuscated in pictures of {header.frames} frames yet"
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


def _picture(canvas: _Canvas, changed: Pixels, header: Header) -> Image.Image:
    """Return a picture of the changed pixels that knows nothing of the file they came from."""
    height, width = changed.shape[:2]
    if canvas.palette is None:
        return Image.frombuffer(canvas.mode, (width, height), np.ascontiguousarray(changed))
    binary_alpha = header.format == "GIF"
    palette = indices_of(canvas.palette, canvas.pixels, changed, binary_alpha=binary_alpha)
    picture = Image.frombuffer("P", (width, height), palette.indices)
    picture.putpalette(palette.colours[:, :3].tobytes())
    alpha = palette.colours[:, 3:]
    if alpha.size and alpha.min() < 255:
        first = int(np.argmin(alpha))
        picture.info["transparency"] = first if binary_alpha else alpha.tobytes()
    return picture


# One function for each format: (what was opened, the new pixels) -> what was written.


def _save(picture: Image.Image, kind: str, **settings: Any) -> bytes:
    # The settings are Pillow's own, each named by the caller.
    out = io.BytesIO()
    picture.save(out, kind, **settings)
    return out.getvalue()


def _write_jpeg(opened: Opened, picture: Image.Image) -> Edited:
    """Write with the source's tables and sampling: what changes outside is rounding alone."""
    image = opened.image
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        raise TypeError("not opened as a JPEG")
    sampling = JpegImagePlugin.get_sampling(image)
    tables = [image.quantization[component[3]] for component in image.layer]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()  # components without a table of their own take the last
    data = _save(
        picture,
        "JPEG",
        qtables=tables,
        subsampling=0 if sampling == -1 and image.layers == 3 else sampling,
        progressive="progressive" in image.info,
        optimize=True,
        keep_rgb=_rgb_inside(image),
        icc_profile=_profile(image.info.get("icc_profile")),
        exif=_orientation_exif(opened.header.orientation),
    )
    if data[6:11] == b"JFIF\x00" and "jfif_density" in image.info:
        density = struct.pack(">BHH", image.info["jfif_unit"], *image.info["jfif_density"])
        data = data[:13] + density + data[18:]  # Pillow can only write dots per inch
    return Edited(data, "reencoded")


def _rgb_inside(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Tell whether the three components are R, G and B: libjpeg's rule (jdapimin.c)."""
    if image.layers != 3 or "jfif" in image.info:
        return False
    if "adobe_transform" in image.info:
        return bool(image.info["adobe_transform"] == 0)
    return bytes(component[0] for component in image.layer) == b"RGB"


def _write_png(opened: Opened, picture: Image.Image) -> Edited:
    kept, profile = [], None
    with suppress(*chunks.MALFORMED):  # without an end chunk Pillow could still decode it
        for name, start, end in chunks.png_chunks(opened.data):
            if _PNG_KEPT.get(name) == end - start:
                kept.append(opened.data[start - 8 : end + 4])
            elif name == b"iCCP":
                profile = _inflated_profile(opened.data[start:end])
    written = _save(
        picture,
        "PNG",
        icc_profile=profile,
        exif=_orientation_exif(opened.header.orientation),
        transparency=_colour_key(opened.image, picture, opened.header.bits),
    )
    return Edited(written[:33] + b"".join(kept) + written[33:], "exact")  # behind IHDR


def _colour_key(image: Image.Image, picture: Image.Image, bits: int) -> Any:
    """Return the transparency of the picture to write, as Pillow wants it."""
    if picture.mode == "P":
        return picture.info.get("transparency")
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int) and bits < 8:
        return key * 255 // ((1 << bits) - 1)  # the file counts in its own few levels
    return key if image.mode in ("1", "L", "RGB") else None


def _inflated_profile(chunk: bytes) -> bytes | None:
    _, _, rest = chunk.partition(b"\x00")
    try:
        return _profile(zlib.decompressobj().decompress(rest[1:], _MOST_PROFILE))
    except zlib.error:
        return None


def _write_webp(opened: Opened, picture: Image.Image) -> Edited:
    lossless = any(name == b"VP8L" for name, _, _ in chunks.riff_chunks(opened.data))
    data = _save(
        picture,
        "WEBP",
        lossless=lossless,
        exact=lossless,  # colours under full transparency too
        quality=75 if lossless else WEBP_QUALITY,  # lossless: effort, not loss
        icc_profile=_profile(opened.image.info.get("icc_profile")),
        exif=_orientation_exif(opened.header.orientation),
    )
    return Edited(data, "exact" if lossless else "reencoded")


def _write_bmp(opened: Opened, picture: Image.Image) -> Edited:
    dpi = opened.image.info.get("dpi", (0, 0))
    if picture.mode != "RGBA":
        return Edited(_save(picture, "BMP", dpi=dpi), "exact")
    # Pillow writes alpha in a way that no reader sees; a version 4 header says where it is.
    width, height = picture.size
    rows = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    per_metre = [int(value * 39.3701 + 0.5) for value in dpi]
    file = struct.pack("<2sIII", b"BM", 122 + len(rows), 0, 122)
    info = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(rows), *per_metre, 0, 0)
    masks = struct.pack("<4I4s48x", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs")
    return Edited(file + info + masks + rows, "exact")


def _write_tiff(opened: Opened, picture: Image.Image) -> Edited:
    image = opened.image
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        raise TypeError("not opened as a TIFF")
    compression = image.info.get("compression")
    if compression not in _TIFF_LOSSLESS:
        compression = "tiff_adobe_deflate"
    tags: dict[int, object] = {}
    if opened.header.orientation != 1:
        tags[chunks.ORIENTATION] = opened.header.orientation
    for resolution in (TiffImagePlugin.X_RESOLUTION, TiffImagePlugin.Y_RESOLUTION):
        value = image.tag_v2.get(resolution)
        if isinstance(value, Real) and 0 < float(value) < 1e6:  # not NaN
            tags[resolution] = float(value)
    if (unit := image.tag_v2.get(TiffImagePlugin.RESOLUTION_UNIT)) in (1, 2, 3):
        tags[TiffImagePlugin.RESOLUTION_UNIT] = unit
    if image.tag_v2.get(TiffImagePlugin.PREDICTOR) == 2 and "lzw" in compression + "deflate":
        tags[TiffImagePlugin.PREDICTOR] = 2
    profile = _profile(image.info.get("icc_profile"))
    data = _save(picture, "TIFF", compression=compression, tiffinfo=tags, icc_profile=profile)
    return Edited(data, "exact")


def _write_gif(opened: Opened, picture: Image.Image) -> Edited:
    settings: dict[str, Any] = {}
    key = picture.info.get("transparency")
    if picture.mode == "L":
        key = opened.image.info.get("transparency")
    if key is not None:
        settings["transparency"] = key
    return Edited(_save(picture, "GIF", optimize=False, **settings), "exact")


_WRITERS: dict[str, Callable[[Opened, Image.Image], Edited]] = {
    "JPEG": _write_jpeg,
    "MPO": _write_jpeg,
    "PNG": _write_png,
    "WEBP": _write_webp,
    "BMP": _write_bmp,
    "TIFF": _write_tiff,
    "GIF": _write_gif,
}


def _profile(profile: object) -> bytes | None:
    """Return a colour profile that is one: "acsp" at byte 36 (ICC.1, 7.2.12), cut to its length."""
    if not isinstance(profile, bytes) or len(profile) < 132 or profile[36:40] != b"acsp":
        return None
    length = int.from_bytes(profile[:4], "big")
    return profile[:length] if 132 <= length <= len(profile) else None


def _orientation_exif(orientation: int) -> bytes:
    """Return an EXIF block with the orientation alone; nothing for the usual one."""
    if orientation == 1:
        return b""
    tag = struct.pack("<HHHIHH", 1, chunks.ORIENTATION, 3, 1, orientation, 0)
    return b"Exif\x00\x00II*\x00\x08\x00\x00\x00" + tag + b"\x00\x00\x00\x00"


def _check(edited: Edited, opened: Opened, picture: Image.Image, max_pixels: int) -> None:
    """Decode what was written and compare; raise IMAGE_ENCODE for any difference."""
    try:
        again = open_picture(edited.data, max_pixels)
        again.image.load()
        private = private_metadata(edited.data)
    except SampleError as error:
        raise _not_written(f"it can't be read again: {error.reason}") from error
    wanted = replace(again.header, width=opened.header.width, height=opened.header.height)
    wanted = replace(wanted, orientation=opened.header.orientation, frames=1)
    if again.header != wanted:
        raise _not_written("its size, orientation or number of frames changed")
    if private:
        raise _not_written(f"it holds {', '.join(private)}")
    before, after = _colours(picture), _colours(again.image, picture.mode)
    if edited.encoding == "exact":
        if not np.array_equal(before, after):
            raise _not_written("its pixels are not the ones written")
    elif np.abs(before[::4].astype(np.int16) - after[::4]).mean() > _MEAN_ERROR:
        raise _not_written("its colours changed")


def _colours(image: Image.Image, mode: str | None = None) -> NDArray[np.uint8]:
    """Return a picture's channels as they are compared; palettes by the colours they show."""
    mode = mode or image.mode
    mode = "RGBA" if mode == "P" else mode
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _check_outside(
    before: NDArray[np.uint8], after: NDArray[np.uint8], reaches: Sequence[Box]
) -> None:
    differs = before != after
    differs = differs.any(axis=-1) if differs.ndim == 3 else differs
    for x0, y0, x1, y1 in reaches:
        left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
        differs[top : max(0, math.ceil(y1)), left : max(0, math.ceil(x1))] = False
    if differs.any():
        raise _not_written("pixels away from every face changed")


def _not_written(what: str) -> SampleError:
    return SampleError(Code.IMAGE_ENCODE, f"the edited picture is not kept: {what}")
