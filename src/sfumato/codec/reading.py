"""Open pictures behind guards and decode every frame of them upright.

Pillow reads; this module stands in front of it. What it adds: the kind is told by the bytes,
the size is checked before anything is allocated, orientation is applied the same way for every
format, 16 bits are scaled (Pillow clips them), and whatever goes wrong is a `SampleError`.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, ImageFile, TiffImagePlugin

from sfumato.boxes import upright_size
from sfumato.codec import chunks, costs
from sfumato.codec.avif import Facts, facts_of
from sfumato.codec.signatures import HEAD, Stored, may_hold_pictures, sniff
from sfumato.errors import Code, SampleError
from sfumato.types import Pixels

Format: TypeAlias = Literal["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "MPO", "AVIF"]

MAX_PIXELS: Final = 178_956_970  # where Pillow itself refuses: 2**30 / 3 bytes, half of it, twice

# What Pillow was seen to raise, or may raise by its source, on bytes that are no sound picture.
# Not a plain `Exception`: a mistake of ours in a caller's code shall not look like a bad file.
HOSTILE = (
    OSError,  # truncated, unidentified, "decoder error -2"
    SyntaxError,  # broken headers, by Pillow's convention
    EOFError,  # fewer frames than announced
    ValueError,  # sizes, tags, Unicode
    TypeError,  # tags of another type than expected
    AttributeError,  # a header that left something unset
    LookupError,  # IndexError, KeyError: offsets, unknown modes and compressions
    ArithmeticError,  # ZeroDivisionError, OverflowError: rationals, offsets
    RuntimeError,  # and NotImplementedError, RecursionError
    AssertionError,  # Pillow asserts that a header set what it needs
    BufferError,
    MemoryError,
    struct.error,
    zlib.error,
)

_MODES = frozenset("1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr I;16 I;16B I;16L".split())
_STRIP = 1 << 22  # pixels converted at a time: no second full copy of a large picture

# PNG chunks that pixels depend on; the others are not shown to Pillow, which lets text chunks
# overwrite its own settings and refuses pictures with more than 1 MiB of compressed text.
_PNG_PIXELS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"))

_SUBFILE_TYPE, _BITS, _PHOTOMETRIC, _SUBIFDS, _XMP, _DNG = 254, 258, 262, 330, 700, 50706
_LOSSLESS, _HIERARCHICAL = (0xC3, 0xCB), (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF)  # frame headers
_SENSOR = (32803, 34892)  # photometric: colour filter array, linear raw


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture says of itself, before any pixel is decoded.

    `width` and `height` are those of the stored grid of the first frame; `orientation` is EXIF
    tag 274, 1 to 8, with 1 for invalid values. `mode` is Pillow's name of the pixel layout and
    `bits` the number stored for each channel (Pillow hides 16 behind some 8-bit modes).
    """

    format: Format
    width: int
    height: int
    orientation: int
    frames: int
    mode: str
    bits: int

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height as a viewer shows the picture."""
        return upright_size(self.width, self.height, self.orientation)


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: each frame upright, RGB, and its own array."""

    header: Header
    frames: tuple[Pixels, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """A picture that passed the guards, not yet decoded. `image` gives the stored grid."""

    data: bytes
    image: ImageFile.ImageFile
    header: Header
    orientations: tuple[int, ...]  # one for each page of a TIFF, else one for all
    avif: Facts | None = None


@contextmanager
def guarded(max_pixels: int, code: Code = Code.IMAGE_DECODE) -> Iterator[None]:
    """Run Pillow inside our limits and silent; what hostile bytes make it raise gets a code.

    Pillow's limits are module globals; they are put back on the way out.
    """
    limit, lenient = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    threads = AvifImagePlugin.DEFAULT_MAX_THREADS
    # Pillow raises above twice this number; `_refuse_large` is the exact check.
    Image.MAX_IMAGE_PIXELS = -(-max_pixels // 2)
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # there is a process for each core already
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Image.DecompressionBombError as error:
        raise SampleError(Code.IMAGE_TOO_LARGE, f"more than {max_pixels} pixels") from error
    except HOSTILE as error:
        raise SampleError(code, _reason(error)) from error
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = limit, lenient
        AvifImagePlugin.DEFAULT_MAX_THREADS = threads


def _reason(error: BaseException) -> str:
    # Never the message itself: it may quote the file's metadata.
    if isinstance(error, EOFError) or "truncated" in str(error):
        return "the file ends before the picture does"
    return f"damaged or of an unknown layout ({type(error).__name__})"


def inspect(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the header of a picture; decode nothing, allocate nothing of the picture's size.

    Args:
        data: the encoded bytes.
        max_pixels: the most pixels allowed, all frames together; may lie above Pillow's limit.
            A WebP counts as one frame more, for the memory of its decoder.

    Raises:
        SampleError: IMAGE_EMPTY, IMAGE_UNRECOGNISED (no picture), IMAGE_UNSUPPORTED (a picture
            of another kind, a camera's raw file, 12-bit, lossless or hierarchical JPEG, float or
            Lab pixels),
            IMAGE_TOO_LARGE, IMAGE_DECODE (a header that can't be read).
    """
    with guarded(max_pixels):
        return open_picture(data, max_pixels).header


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode every frame to upright RGB, (height, width, 3) uint8, 0..255.

    Frames are the pictures of GIF, WebP, PNG and AVIF animations as a viewer composes them, the
    pages of a TIFF and the pictures of an MPO; the last two may differ in size from the first.

    Alpha is dropped, so colours are seen as they are stored, also where a viewer shows none:
    anybody can drop alpha from a published file. Where the colours are one and the same and
    only alpha varies, alpha is the picture. 16 bits become 8 by their high byte, CMYK becomes
    RGB without a profile.

    Raises:
        SampleError: as `inspect`; IMAGE_DECODE for truncated or damaged pictures.
    """
    with guarded(max_pixels):
        opened = open_picture(data, max_pixels)
        return Picture(opened.header, tuple(_frames(opened, max_pixels)))


def first_frame(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode the first frame alone, as `decode` does."""
    with guarded(max_pixels):
        return next(_frames(open_picture(data, max_pixels), max_pixels))


def open_picture(data: bytes, max_pixels: int) -> Opened:
    """Open a picture that passes every guard. Call inside `guarded`."""
    kind = _kind(data)
    orientations: tuple[int, ...] = (1,)
    readable = data
    if kind == "PNG":
        orientations, readable = _open_png(data)
    elif kind == "TIFF":
        orientations, readable = _open_tiff(data)
    elif kind == "JPEG":
        costs.refuse_segments(data)
        _refuse_coding(data)
    facts = facts_of(data) if kind == "AVIF" else None
    if facts is not None:  # its decoder takes memory for what the coded data say
        _refuse_large(facts.pixels, max_pixels)
    image = Image.open(io.BytesIO(readable), formats=[kind])
    if kind in ("JPEG", "WEBP", "AVIF"):  # an AVIF's irot and imir come as EXIF from Pillow
        orientations = (chunks.exif_orientation(image.info.get("exif") or b""),)
    _refuse_large(image.width * image.height, max_pixels)
    costs.refuse_costly(image, kind, data)
    _refuse_mode(image.mode)
    frames = getattr(image, "n_frames", 1)
    if frames > chunks.MAX_PAGES:
        raise SampleError(Code.IMAGE_TOO_LARGE, f"{frames} frames")
    _refuse_large(_pixels(image, frames, readable), max_pixels)
    header = Header(
        format="MPO" if image.format == "MPO" else kind,
        width=image.width,
        height=image.height,
        orientation=orientations[0],
        frames=frames,
        mode=image.mode,
        bits=facts.bits if facts else _bits(kind, data, image),
    )
    if facts is not None and facts.moving and frames == 1:
        raise SampleError(Code.IMAGE_UNSUPPORTED, "AVIF with a sequence beside its picture")
    return Opened(data, image, header, orientations, facts)


def _kind(data: bytes) -> Stored:
    if not data:
        raise SampleError(Code.IMAGE_EMPTY, "the file is empty")
    head = data[:HEAD]
    if kind := sniff(head):
        return kind
    if other := may_hold_pictures(head):
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"sfumato doesn't read this kind: {other}")
    raise SampleError(Code.IMAGE_UNRECOGNISED, "the bytes are not those of a picture")


def _refuse_large(pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        reason = f"{pixels} pixels, at most {max_pixels} are allowed"
        raise SampleError(Code.IMAGE_TOO_LARGE, reason)


def _refuse_mode(mode: str) -> None:
    if mode not in _MODES:
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"pixels of kind {mode}")


def _pixels(image: ImageFile.ImageFile, frames: int, data: bytes) -> int:
    """Return the pixels of all frames; pages and MPO pictures have their own sizes each."""
    if image.format == "WEBP":
        frames += 1  # its decoder holds a canvas of its own
    if frames == 1 or image.format not in ("TIFF", "MPO"):
        return frames * image.width * image.height
    total = 0
    # Another object: what Pillow notes of one picture would stay with the next.
    with Image.open(io.BytesIO(data), formats=["TIFF", "JPEG"]) as pages:
        for index in range(frames):
            pages.seek(index)
            costs.refuse_hollow(pages.width * pages.height, len(data))
            total += pages.width * pages.height
    return total


def _bits(kind: Stored, data: bytes, image: ImageFile.ImageFile) -> int:
    if kind == "PNG":
        return data[24]
    if kind == "TIFF":
        tiff = chunks.parse_tiff(data, first_only=True)
        tag = tiff.pages[0].tags.get(_BITS)
        return max(tiff.numbers(tag)) if tag else 1
    return 1 if image.mode == "1" else 8


def _refuse_coding(data: bytes) -> None:
    """Raise for a JPEG that no reader here can decode, by the name of its coding (T.81, B.1)."""
    with suppress(*chunks.MALFORMED):  # Pillow shall say what is wrong with it
        for marker, start, _ in chunks.jpeg_segments(data):
            if marker in _LOSSLESS or marker in _HIERARCHICAL:
                name = "lossless" if marker in _LOSSLESS else "hierarchical"
                raise SampleError(Code.IMAGE_UNSUPPORTED, f"JPEG: {name}")
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                if data[start] in (12, 16):
                    raise SampleError(Code.IMAGE_UNSUPPORTED, f"JPEG of {data[start]} bits")
                return


def _open_png(data: bytes) -> tuple[tuple[int, ...], bytes]:
    """Return the orientation of a PNG and its bytes without the chunks that hold no pixels."""
    orientation, parts, done = 1, [data[:8]], 8
    foreign = False
    try:
        for name, start, end in chunks.png_chunks(data):
            if name in _PNG_PIXELS:
                parts.append(data[start - 8 : end + 4])
            else:
                foreign = True
            if name == b"eXIf":
                orientation = chunks.exif_orientation(data[start:end])
            done = end + 4
    except chunks.MALFORMED:
        parts.append(data[done:])  # Pillow shall say what is wrong with it
    return (orientation,), b"".join(parts) if foreign else data


def _open_tiff(data: bytes) -> tuple[tuple[int, ...], bytes]:
    """Return the orientation of each page of a TIFF, and bytes from which Pillow doesn't turn it.

    Pillow turns pages while it loads them, by tag 274 or else by what XMP says. To get the
    stored grid, as from every other format, both entries are blanked in a copy.
    """
    tiff = chunks.parse_tiff(data)
    if not tiff.pages:
        raise ValueError("no directory")
    raw = any(_DNG in page.tags for page in tiff.pages) or any(
        tiff.number(index, _PHOTOMETRIC, 0) in _SENSOR for index in range(len(tiff.pages))
    )
    if raw or (_SUBIFDS in tiff.pages[0].tags and tiff.number(0, _SUBFILE_TYPE, 0) & 1):
        raise SampleError(Code.IMAGE_UNSUPPORTED, "a camera's raw file")
    if any(
        tiff.number(index, _BITS, 1) == 16 and tiff.number(index, _PHOTOMETRIC, 1) == 0
        for index in range(len(tiff.pages))
    ):
        # Pillow gives the negative, in which no face would be found.
        raise SampleError(Code.IMAGE_UNSUPPORTED, "16-bit TIFF in which 0 is white")
    orientations = tuple(tiff.orientation(index) for index in range(len(tiff.pages)))
    blanked: bytearray | None = None
    for page in tiff.pages:
        for number in page.tags.keys() & {chunks.ORIENTATION, _XMP}:
            blanked = bytearray(data) if blanked is None else blanked
            layout = tiff.order + ("HHQH" if tiff.big else "HHIH")
            # 699 is no tag and keeps the order; orientation 1 leaves the page as stored.
            new = (699, 1, 0, 0) if number == _XMP else (number, 3, 1, 1)
            struct.pack_into(layout, blanked, page.tags[number].entry, *new)
    return orientations, data if blanked is None else bytes(blanked)


def _frames(opened: Opened, max_pixels: int) -> Iterator[Pixels]:
    image, total = opened.image, 0
    several = opened.header.frames > 1
    for index in range(opened.header.frames):
        if several:
            image.seek(index)
        total += image.width * image.height  # a GIF may grow its canvas on the way
        _refuse_large(total, max_pixels)
        _refuse_mode(image.mode)  # pages may have other pixels than the first
        image.load()
        if opened.header.format == "MPO":
            turned = chunks.exif_orientation(image.info.get("exif") or b"")
        else:
            turned = opened.orientations[min(index, len(opened.orientations) - 1)]
        bits = opened.header.bits
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            bits = max(image.tag_v2.get(_BITS, (1,)))
        yield _upright_rgb(image, turned, bits)


def _upright_rgb(image: Image.Image, orientation: int, bits: int) -> Pixels:
    width, height = image.size
    shown_width, shown_height = upright_size(width, height, orientation)
    upright: Pixels = np.empty((shown_height, shown_width, 3), np.uint8)
    stored = stored_view(upright, orientation)
    shape_in_alpha = _shape_in_alpha(image)
    rows = max(1, _STRIP // max(1, width))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = image if rows >= height else image.crop((0, top, width, bottom))
        stored[top:bottom] = _rgb(strip, bits, shape_in_alpha=shape_in_alpha)
    return upright


def stored_view(upright: Pixels, orientation: int) -> Pixels:
    """Return a view of an upright array whose rows and columns are those of the stored grid."""
    turned = upright.swapaxes(0, 1) if orientation >= 5 else upright
    if orientation in (3, 4, 6, 7):
        turned = turned[::-1]
    return turned[:, ::-1] if orientation in (2, 3, 7, 8) else turned


def _rgb(strip: Image.Image, bits: int, *, shape_in_alpha: bool) -> NDArray[np.uint8]:
    """Return the strip as an array that broadcasts to (rows, width, 3)."""
    if strip.mode == "RGB":
        return np.asarray(strip)
    if strip.mode.startswith("I;16"):
        grey = np.asarray(strip) >> (bits - 8)  # `convert` would clip all above 255 to white
        return grey.astype(np.uint8)[..., None]
    if shape_in_alpha:
        return np.asarray(_with_alpha(strip).getchannel("A"))[..., None]
    if strip.mode in ("La", "RGBa"):  # premultiplied
        strip = _with_alpha(strip)
    return np.asarray(strip.convert("RGB"))


def _with_alpha(image: Image.Image) -> Image.Image:
    return image.convert({"La": "LA", "LA": "LA"}.get(image.mode, "RGBA"))


def _shape_in_alpha(image: Image.Image) -> bool:
    """Tell whether all colours are the same, so that alpha alone draws something."""
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    if not transparent and not (image.mode == "P" and "transparency" in image.info):
        return False
    low, high = np.asarray(_with_alpha(image).getextrema()).T
    return bool((low[:-1] == high[:-1]).all() and low[-1] < high[-1])
