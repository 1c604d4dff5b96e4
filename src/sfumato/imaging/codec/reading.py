"""Open images behind guards and decode every frame of them upright.

Pillow reads; this module stands in front of it. What it adds: the kind is told by the bytes,
the size is checked before anything is allocated, orientation is applied the same way for every
format, 16 bits are scaled (Pillow clips them), and whatever goes wrong is a `SampleError`.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from PIL import AvifImagePlugin, Image, ImageFile, TiffImagePlugin

from sfumato.boxes import upright_size
from sfumato.errors import Code, SampleError
from sfumato.imaging.codec import chunks, costs
from sfumato.imaging.codec.avif import Facts, facts_of, without_false_brand
from sfumato.imaging.codec.heif import INSTALL, open_heic, reads_heic
from sfumato.imaging.codec.jpeg_opening import HOSTILE, open_jpeg, refuse_coding, with_end
from sfumato.imaging.codec.orientation import (
    Told,
    page_orientations,
    page_xmp,
    told_by_pillow,
    told_by_png,
)
from sfumato.imaging.codec.renderings import BRIGHT, Deep, further, rgb, shape_in_alpha, stored_view
from sfumato.imaging.codec.signatures import HEAD, Stored, may_hold_images, sniff, stored_as
from sfumato.imaging.codec.watching import watch
from sfumato.types import Pixels

_Kind: TypeAlias = Stored | Literal["HEIC"]
Format: TypeAlias = _Kind | Literal["MPO"]

MAX_PIXELS: Final = 178_956_970  # where Pillow itself refuses: 2**30 / 3 bytes, half of it, twice

_MODES = frozenset("1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr I;16 I;16B I;16L".split())
_STRIP = 1 << 22  # pixels converted at a time: no second full copy of a large image

# PNG chunks that pixels depend on; the others are not shown to Pillow, which lets text chunks
# overwrite its own settings and refuses images with more than 1 MiB of compressed text.
_PNG_PIXELS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"))

_SUBFILE_TYPE, _BITS, _PHOTOMETRIC, _SUBIFDS, _XMP, _DNG = 254, 258, 262, 330, 700, 50706
_SENSOR = (32803, 34892)  # photometric: colour filter array, linear raw


@dataclass(frozen=True, slots=True)
class Header:
    """What an image says of itself, before any pixel is decoded.

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
        """Width and height as a viewer shows the image."""
        return upright_size(self.width, self.height, self.orientation)


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded image: each frame upright, RGB, and its own array.

    `views` are frames as other viewers show them (stretched, alpha alone), to be searched too;
    `deep` has all bits of the first frame of 16 bits, `alpha` its alpha where it draws something.
    `whole` says that decoding took its coded data to their end (else nothing is known of that).
    """

    header: Header
    frames: tuple[Pixels, ...]
    whole: bool = False
    views: tuple[Pixels, ...] = ()
    deep: Deep | None = None
    alpha: Pixels | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """An image that passed the guards, not yet decoded. `image` gives the stored grid."""

    data: bytes
    image: ImageFile.ImageFile
    header: Header
    orientations: tuple[int, ...]  # one for each page of a TIFF, else one for all
    avif: Facts | None = None
    exif: bytes = b""
    xmp: bytes = b""  # of the first page


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
        return "the file ends before the image does"
    return f"damaged or of an unknown layout ({type(error).__name__})"


def inspect(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the header of an image; decode nothing, allocate nothing of the image's size.

    Args:
        data: the encoded bytes.
        max_pixels: the most pixels allowed, all frames together; may lie above Pillow's limit.
            A WebP counts as one frame more, for the memory of its decoder.

    Raises:
        SampleError: IMAGE_EMPTY, IMAGE_UNRECOGNISED (no image), IMAGE_UNSUPPORTED (an image
            of another kind, a camera's raw file, 12-bit, lossless or hierarchical JPEG, float or
            Lab pixels),
            IMAGE_TOO_LARGE, IMAGE_DECODE (a header that can't be read).
    """
    with guarded(max_pixels):
        return open_image(data, max_pixels).header


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode every frame to upright RGB, (height, width, 3) uint8, 0..255.

    Frames are the images of GIF, WebP, PNG and AVIF animations as a viewer composes them, and
    the pages of a TIFF, which may differ in size from the first. Of an MPO it is the first image
    alone: the others lie in frames of their own (`embedded_images`).

    Alpha is dropped, so colours are seen as they are stored, also where a viewer shows none:
    anybody can drop alpha from a published file. Where the colours are one and the same and
    only alpha varies, alpha is the image. 16 bits become 8 by their high byte (stretched, they
    are among the `views`), CMYK becomes RGB without a profile.

    Raises:
        SampleError: as `inspect`; IMAGE_DECODE for truncated or damaged images.
    """
    with guarded(max_pixels):
        opened = open_image(data, max_pixels)
        watched = watch(opened.image, data) if opened.header.format == "JPEG" else None
        frames, others = [], []
        for index, frame in enumerate(_frames(opened, max_pixels)):
            frames.append(frame)
            others.append(further(opened, index))
        views = tuple(view for several, _, _ in others for view in several)
        whole = watched is not None and watched.whole
        return DecodedImage(opened.header, tuple(frames), whole, views, *others[0][1:])


def first_frame(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode the first frame alone, as `decode` does; stretched where its high bytes are dark."""
    with guarded(max_pixels):
        opened = open_image(data, max_pixels)
        frame = next(_frames(opened, max_pixels))
        deep = further(opened, 0)[1] if opened.header.bits > 8 else None
        dark = deep is not None and int(deep.samples.max()) < BRIGHT
        return deep.views()[0] if deep is not None and dark and deep.tables else frame


def open_image(data: bytes, max_pixels: int) -> Opened:
    """Open an image that passes every guard. Call inside `guarded`."""
    kind = _kind(data)
    orientations, told, readable = _prepared(kind, data, max_pixels)
    facts = _facts(kind, data, max_pixels)
    image = _open(kind, readable)
    if kind in ("JPEG", "WEBP", "AVIF"):
        told = told_by_pillow(image)
        orientations = (told.orientation,)
    _refuse_large(image.width * image.height, max_pixels)
    costs.refuse_costly(image, kind, data)
    _refuse_mode(image.mode)
    # The further images of an MPO lie in frames of their own: `embedded_images` has them.
    alone = image.format == "MPO" or kind == "HEIC"
    frames = 1 if alone else getattr(image, "n_frames", 1)
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
        raise SampleError(Code.IMAGE_UNSUPPORTED, "AVIF with a sequence beside its image")
    return Opened(data, image, header, orientations, facts, told.exif, told.xmp)


def _prepared(kind: _Kind, data: bytes, max_pixels: int) -> tuple[tuple[int, ...], Told, bytes]:
    """Return the orientation of each page, what is told beside the pixels, and bytes for Pillow."""
    costs.refuse_crumbs(kind, data)
    if kind == "PNG":
        told, readable = _open_png(data)
        return (told.orientation,), told, readable
    if kind == "TIFF":
        return _open_tiff(data)
    if kind == "JPEG":
        costs.refuse_segments(data)
        refuse_coding(data)
        return (1,), Told(), with_end(data, max_pixels)
    return (1,), Told(), without_false_brand(data) if kind == "AVIF" else data


def _facts(kind: _Kind, data: bytes, max_pixels: int) -> Facts | None:
    facts = facts_of(data) if kind == "AVIF" else None
    if facts is not None:  # its decoder takes memory for what the coded data say
        _refuse_large(facts.pixels, max_pixels)
    return facts


def _open(kind: _Kind, data: bytes) -> ImageFile.ImageFile:
    if kind in ("JPEG", "HEIC"):
        return open_jpeg(data) if kind == "JPEG" else open_heic(data)
    return Image.open(io.BytesIO(data), formats=[kind])


def _kind(data: bytes) -> _Kind:
    other = None if sniff(data[:HEAD]) else may_hold_images(data[:HEAD])
    if other is None:
        return stored_as(data)
    if other != "HEIC":
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"sfumato doesn't read this kind: {other}")
    if not reads_heic():
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"reading HEIC needs: {INSTALL}")
    return "HEIC"


def _refuse_large(pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        reason = f"{pixels} pixels, at most {max_pixels} are allowed"
        raise SampleError(Code.IMAGE_TOO_LARGE, reason)


def _refuse_mode(mode: str) -> None:
    if mode not in _MODES:
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"pixels of kind {mode}")


def _pixels(image: ImageFile.ImageFile, frames: int, data: bytes) -> int:
    """Return the pixels of all frames that are decoded; pages have their own sizes each."""
    if image.format == "WEBP":
        frames += 1  # its decoder holds a canvas of its own
    if frames == 1 or image.format != "TIFF":
        return frames * image.width * image.height
    total = 0
    # Another object: what Pillow notes of one image would stay with the next.
    with Image.open(io.BytesIO(data), formats=["TIFF"]) as pages:
        for index in range(frames):
            pages.seek(index)
            costs.refuse_hollow(pages.width * pages.height, len(data))
            total += pages.width * pages.height
    return total


def _bits(kind: _Kind, data: bytes, image: ImageFile.ImageFile) -> int:
    if kind == "PNG":
        return data[24]
    if kind == "TIFF":
        tiff = chunks.parse_tiff(data, first_only=True)
        tag = tiff.pages[0].tags.get(_BITS)
        return max(tiff.numbers(tag)) if tag else 1
    return 1 if image.mode == "1" else 8


def _open_png(data: bytes) -> tuple[Told, bytes]:
    """Return EXIF and XMP of a PNG, and its bytes without the chunks that hold no pixels."""
    told, parts, done = Told(), [data[:8]], 8
    foreign = False
    try:
        for name, start, end in chunks.png_chunks(data):
            if name in _PNG_PIXELS:
                parts.append(data[start - 8 : end + 4])
            else:
                foreign = True
            done = end + 4
        told = told_by_png(data) if foreign else told
    except chunks.MALFORMED:
        parts.append(data[done:])  # Pillow shall say what is wrong with it
    return told, b"".join(parts) if foreign else data


def _open_tiff(data: bytes) -> tuple[tuple[int, ...], Told, bytes]:
    """Return the orientation of each page of a TIFF, its XMP, and bytes that Pillow doesn't turn.

    Pillow turns pages while it loads them, by tag 274 or else by what XMP says. To get the
    stored grid, as from every other format, both entries are blanked in a copy.
    """
    tiff = chunks.parse_tiff(data)
    if not tiff.pages:
        raise ValueError("no directory")
    costs.refuse_strips(tiff)
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
    orientations = page_orientations(tiff)
    blanked: bytearray | None = None
    for page in tiff.pages:
        for number in page.tags.keys() & {chunks.ORIENTATION, _XMP}:
            blanked = bytearray(data) if blanked is None else blanked
            layout = tiff.order + ("HHQH" if tiff.big else "HHIH")
            # 699 is no tag and keeps the order; orientation 1 leaves the page as stored.
            new = (699, 1, 0, 0) if number == _XMP else (number, 3, 1, 1)
            struct.pack_into(layout, blanked, page.tags[number].entry, *new)
    told = Told(xmp=page_xmp(tiff, 0))
    return orientations, told, data if blanked is None else bytes(blanked)


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
            turned = told_by_pillow(image).orientation
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
    alone = shape_in_alpha(image)
    rows = max(1, _STRIP // max(1, width))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = image if rows >= height else image.crop((0, top, width, bottom))
        stored[top:bottom] = rgb(strip, bits, alpha_alone=alone)
    return upright
