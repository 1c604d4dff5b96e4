"""Write images, one function for each format.

Writers start from bare pixels and add what an allow-list names (colour profile, orientation,
resolution, what decoding needs), so nothing private can slip through: not the preview in EXIF,
not the comment that Pillow carries along, not what lies behind the end of the image.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from typing import Any

from PIL import Image, JpegImagePlugin, TiffImagePlugin

from sfumato.errors import Code, SampleError
from sfumato.imaging.codec import chunks, vp8
from sfumato.imaging.codec.avif import coarsest, with_colours
from sfumato.imaging.codec.profile import inflated_profile, published_profile
from sfumato.imaging.codec.reading import Opened
from sfumato.imaging.embedded.panorama import panorama_packet
from sfumato.imaging.jpeg import Policy
from sfumato.imaging.jpeg.exif import kept_exif
from sfumato.types import Encoding

# The least quality of what is encoded again, however coarse the source: near the top, so that
# little is lost once more. Where the source is finer, the quality rises until it isn't any more.
LOSSY_QUALITY = 95
_AVIF_QUALITIES = (LOSSY_QUALITY, 97, 98, 100)  # 100 is index 0: without loss in YCbCr
_FINE = 4  # the index of 98, for sources whose blocks may be finer than their headers say

_TIFF_LOSSLESS = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate")
_PNG_KEPT = {b"cHRM": 32, b"gAMA": 4, b"sRGB": 1, b"cICP": 4, b"pHYs": 9}  # and their lengths
_TIFF_TEXTS = (271, 272, 306, 33432)  # make, model, date changed, copyright
_TIFF_XMP = 700
_PNG_WORDS = (b"Copyright", b"Creation Time")
_LONGEST_TEXT = 256


@dataclass(frozen=True, slots=True)
class Edited:
    """A written image. `exact`: outside the reach of the boxes every pixel is the same."""

    data: bytes
    encoding: Encoding


def _save(edited: Image.Image, kind: str, **settings: Any) -> bytes:
    # The settings are Pillow's own, each named by the caller.
    out = io.BytesIO()
    edited.save(out, kind, **settings)
    return out.getvalue()


def _write_jpeg(opened: Opened, edited: Image.Image, policy: Policy) -> Edited:
    """Write with the source's tables and sampling: what changes outside is rounding alone."""
    image = opened.image
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        raise TypeError("not opened as a JPEG")
    sampling = JpegImagePlugin.get_sampling(image)
    tables = [image.quantization[component[3]] for component in image.layer]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()  # components without a table of their own take the last
    data = _save(
        edited,
        "JPEG",
        qtables=tables,
        subsampling=0 if sampling == -1 and image.layers == 3 else sampling,
        progressive="progressive" in image.info,
        optimize=True,
        keep_rgb=_rgb_inside(image),
        **_beside(opened, policy),
    )
    if data[6:11] == b"JFIF\x00" and "jfif_density" in image.info:
        density = struct.pack(">BHH", image.info["jfif_unit"], *image.info["jfif_density"])
        data = data[:13] + density + data[18:]  # Pillow can only write dots per inch
    return Edited(data, "reencoded")


def _write_heic(opened: Opened, edited: Image.Image, _: Policy) -> Edited:
    """Write a JPEG: nobody writes HEIC without patents, and every viewer shows a JPEG."""
    profile = published_profile(opened.image.info.get("icc_profile"))
    settings: dict[str, Any] = {"quality": LOSSY_QUALITY, "subsampling": 0, "optimize": True}
    return Edited(_save(edited, "JPEG", icc_profile=profile, **settings), "reencoded")


def _rgb_inside(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Tell whether the three components are R, G and B: libjpeg's rule (jdapimin.c)."""
    if image.layers != 3 or "jfif" in image.info:
        return False
    if "adobe_transform" in image.info:
        return bool(image.info["adobe_transform"] == 0)
    return bytes(component[0] for component in image.layer) == b"RGB"


def _write_png(opened: Opened, edited: Image.Image, policy: Policy) -> Edited:
    kept, profile = _png_kept(opened, policy)
    written = _save(
        edited,
        "PNG",
        icc_profile=profile,
        exif=_exif(opened, policy),
        transparency=_colour_key(opened.image, edited, opened.header.bits),
    )
    return Edited(written[:33] + b"".join(kept) + written[33:], "exact")  # behind IHDR


def _png_kept(opened: Opened, policy: Policy) -> tuple[list[bytes], bytes | None]:
    """Return the chunks of a PNG that stay as they are or as we write them, and its profile."""
    kept, profile = [], None
    with suppress(*chunks.MALFORMED):  # without an end chunk Pillow could still decode it
        for name, start, end in chunks.png_chunks(opened.data):
            if _PNG_KEPT.get(name) == end - start:
                kept.append(opened.data[start - 8 : end + 4])
            elif name == b"iCCP":
                profile = inflated_profile(opened.data[start:end])
            elif name == b"tEXt" and policy == "keep-safe":
                kept += _safe_words(opened.data[start:end])
    if packet := panorama_packet(opened.xmp):
        kept.append(chunks.png_chunk(b"iTXt", chunks.PNG_XMP + packet))
    return kept, profile


def png_extras(opened: Opened, policy: Policy) -> list[bytes]:
    """Return the chunks of a PNG that go before its pixels, for who writes these himself."""
    kept, profile = _png_kept(opened, policy)
    if profile:
        kept.append(chunks.png_chunk(b"iCCP", b"ICC Profile\x00\x00" + zlib.compress(profile)))
    exif = _exif(opened, policy).removeprefix(b"Exif\x00\x00")
    return kept + ([chunks.png_chunk(b"eXIf", exif)] if exif else [])


def _safe_words(payload: bytes) -> list[bytes]:
    """Return a text chunk of PNG anew if it is a date or a copyright line."""
    keyword, _, text = payload.partition(b"\x00")
    words = _safe_text(text.decode("latin-1")).encode()
    if keyword not in _PNG_WORDS or not words:
        return []
    return [chunks.png_chunk(b"tEXt", keyword + b"\x00" + words)]


def _colour_key(image: Image.Image, edited: Image.Image, bits: int) -> Any:
    """Return the transparency of the image to write, as Pillow wants it."""
    if edited.mode == "P":
        return edited.info.get("transparency")
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int) and bits < 8:
        return key * 255 // ((1 << bits) - 1)  # the file counts in its own few levels
    return key if image.mode in ("1", "L", "RGB") else None


def _write_webp(opened: Opened, edited: Image.Image, policy: Policy) -> Edited:
    settings = {**_beside(opened, policy), "exact": True}  # colours under full transparency too
    frame = _vp8_frame(opened.data)
    if frame is None:  # lossless: quality is effort
        data = _save(edited, "WEBP", lossless=True, quality=75, **settings)
        return Edited(data, "exact")
    finest = [min(indices) for indices in zip(*vp8.quantisers(frame), strict=True)]
    data = b""
    for quality in range(LOSSY_QUALITY, 101):
        data = _save(edited, "WEBP", quality=quality, **settings)
        written = zip(*vp8.quantisers(_vp8_frame(data) or b""), strict=True)
        if all(max(indices) <= limit for indices, limit in zip(written, finest, strict=True)):
            break
    return Edited(data, "reencoded")


def _vp8_frame(data: bytes) -> bytes | None:
    """Return the lossy frame of a still WebP; None for a lossless one."""
    frames = (data[a:b] for name, a, b in chunks.riff_chunks(data) if name == b"VP8 ")
    return next(frames, None)


def _write_avif(opened: Opened, edited: Image.Image, policy: Policy) -> Edited:
    facts = opened.avif
    if facts is None:
        raise TypeError("not opened as an AVIF")
    if facts.cropped:
        raise SampleError(Code.IMAGE_UNSUPPORTED, "faces can't be obfuscated in cropped AVIF yet")
    limit = 0 if facts.finest is None else facts.finest
    if facts.varies:
        limit = min(limit, _FINE)
    beside, data = _beside(opened, policy), b""
    for quality in _AVIF_QUALITIES:
        data = _save(
            edited,
            "AVIF",
            quality=quality,
            subsampling=facts.sampling,
            range="full" if facts.full_range else "limited",
            **beside,
            codec="aom",
            speed=8,
            max_threads=1,  # with more the bytes may differ
            # One quantiser for the whole image, so that its index tells how fine it is.
            advanced={"tune": "ssim", "deltaq-mode": "0", "aq-mode": "0"},
        )
        written = coarsest(data)
        if written is not None and written <= limit:
            break
    if beside["icc_profile"] is None and facts.colours is not None:
        data = with_colours(data, facts.colours)
    return Edited(data, "reencoded")


def _write_bmp(opened: Opened, edited: Image.Image, _: Policy) -> Edited:
    dpi = opened.image.info.get("dpi", (0, 0))
    if edited.mode != "RGBA":
        return Edited(_save(edited, "BMP", dpi=dpi), "exact")
    # Pillow writes alpha in a way that no reader sees; a version 4 header says where it is.
    width, height = edited.size
    rows = edited.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    per_metre = [int(value * 39.3701 + 0.5) for value in dpi]
    file = struct.pack("<2sIII", b"BM", 122 + len(rows), 0, 122)
    info = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(rows), *per_metre, 0, 0)
    masks = struct.pack("<4I4s48x", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs")
    return Edited(file + info + masks + rows, "exact")


def _write_tiff(opened: Opened, edited: Image.Image, policy: Policy) -> Edited:
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
    if policy == "keep-safe":
        tags.update(_tiff_texts(image))
    if packet := panorama_packet(opened.xmp):
        tags[_TIFF_XMP] = packet
    profile = published_profile(image.info.get("icc_profile"))
    data = _save(edited, "TIFF", compression=compression, tiffinfo=tags, icc_profile=profile)
    return Edited(data, "exact")


def _tiff_texts(image: Image.Image) -> dict[int, str]:
    told = getattr(image, "tag_v2", {})
    texts = {number: _safe_text(told.get(number)) for number in _TIFF_TEXTS}
    return {number: text for number, text in texts.items() if text}


def tiff_texts(opened: Opened, policy: Policy) -> list[tuple[int, int, int, bytes]]:
    """Return the entries (tag, type, count, value) of a TIFF's safe texts, under "keep-safe"."""
    texts = _tiff_texts(opened.image) if policy == "keep-safe" else {}
    return [(tag, 2, len(text) + 1, text.encode() + b"\x00") for tag, text in texts.items()]


def _write_gif(opened: Opened, edited: Image.Image, _: Policy) -> Edited:
    settings: dict[str, Any] = {}
    key = edited.info.get("transparency")
    if edited.mode == "L":
        key = opened.image.info.get("transparency")
    if key is not None:
        settings["transparency"] = key
    return Edited(_save(edited, "GIF", optimize=False, **settings), "exact")


def _exif(opened: Opened, policy: Policy) -> bytes:
    return kept_exif(opened.exif, opened.header.orientation, policy)


def _beside(opened: Opened, policy: Policy) -> dict[str, Any]:
    """Return what is written beside the pixels, by Pillow's names."""
    profile = published_profile(opened.image.info.get("icc_profile"))
    exif, xmp = _exif(opened, policy), panorama_packet(opened.xmp)
    return {"icc_profile": profile, "exif": exif, "xmp": xmp}


def _safe_text(value: object) -> str:
    """Return a text as printable ASCII; nothing for what is none."""
    if not isinstance(value, str):
        return ""
    return "".join(c for c in value[:_LONGEST_TEXT] if 32 <= ord(c) < 127).strip()


# What was opened, the new pixels, which metadata stay -> what was written.
WRITERS: dict[str, Callable[[Opened, Image.Image, Policy], Edited]] = {
    "JPEG": _write_jpeg,
    "MPO": _write_jpeg,
    "PNG": _write_png,
    "WEBP": _write_webp,
    "BMP": _write_bmp,
    "TIFF": _write_tiff,
    "GIF": _write_gif,
    "AVIF": _write_avif,
    "HEIC": _write_heic,
}
