"""Files that break image pipelines, made on the spot: no binary lies in the repository.

`make_bad_inputs` writes them all and says what may become of each. The images are drawn from a
seeded generator; the damage is made by hand, byte by byte, where no encoder would make it.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.errors import Code

Outcomes = frozenset[str]  # "copied", "obfuscated", "ignored", or the codes it may be refused with

SIZE = (160, 120)  # of drawn images, width and height
_SOF0 = b"\xff\xc0"


def make_bad_inputs(folder: Path, face: bytes | None = None) -> dict[str, Outcomes]:
    """Write every case below `folder`; return the key of each with its allowed outcomes.

    `face` is an encoded image with one clear face. With it, what can be decoded must come out
    "obfuscated" or be refused, never "copied": in animations the face is in the last frame only.
    Without it, the same files hold no face. A name that isn't UTF-8 stands in the result as
    manifests show it, with its bytes behind backslashes.

    Cases that the machine can't make (a file that root can't read, say) are left out.
    """
    cases: dict[str, Outcomes] = {}
    kit = _Kit(folder, _draw(1), _decoded(face) if face else None)
    for make in (_refused, _links, _special_files, _bombs, _odd_images, _animations, _odd_names):
        cases |= make(kit)
    return cases


@dataclass(frozen=True)
class _Kit:
    folder: Path
    plain: Image.Image
    face: Image.Image | None

    @property
    def subject(self) -> Image.Image:
        return self.face or self.plain

    @property
    def fine(self) -> Outcomes:
        """What may become of an image that everybody can read."""
        return frozenset({"obfuscated"} if self.face else {"copied", "obfuscated"})

    @property
    def odd(self) -> Outcomes:
        """What may become of an image that not everybody can read."""
        return self.fine | {Code.IMAGE_UNSUPPORTED}

    @property
    def unnamed(self) -> Outcomes:
        """What may become of an image that isn't named like one: never in the release as it is."""
        return frozenset({"ignored", "obfuscated", Code.OTHER_MAY_HOLD_FACES})

    def write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _refused(kit: _Kit) -> dict[str, Outcomes]:
    jpeg, png = encoded(kit.subject, "JPEG"), encoded(kit.subject, "PNG")
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF  # the checksum of its chunk no longer holds
    contents = {
        "truncated.jpg": (jpeg[: len(jpeg) // 2], {Code.IMAGE_DECODE}),
        "truncated.png": (png[: len(png) // 2], {Code.IMAGE_DECODE}),
        "flipped.png": (bytes(flipped), {Code.IMAGE_DECODE}),
        "header_only.jpg": (jpeg[:20], {Code.IMAGE_DECODE, Code.IMAGE_UNRECOGNISED}),
        "text.jpg": (b"This is not an image.\n" * 20, {Code.IMAGE_UNRECOGNISED}),
        "page.jpg": (b"<!doctype html><title>404</title>", {Code.IMAGE_UNRECOGNISED}),
        "zeros.jpg": (bytes(4096), {Code.IMAGE_UNRECOGNISED}),
        "empty.jpg": (b"", {Code.IMAGE_EMPTY}),
        "empty.png": (b"", {Code.IMAGE_EMPTY}),
    }
    for brand in ("heic", "avif"):
        box = struct.pack(">I4s4sI4s", 20, b"ftyp", brand.encode(), 0, b"mif1")
        codes = {Code.IMAGE_UNSUPPORTED, Code.IMAGE_UNRECOGNISED, Code.IMAGE_DECODE}
        contents[f"phone.{brand}"] = (box + bytes(200), codes)
    for name, (data, _) in contents.items():
        kit.write(name, data)
    return {name: frozenset(codes) for name, (_, codes) in contents.items()}


def _links(kit: _Kit) -> dict[str, Outcomes]:
    outside = kit.folder / "real" / "inside.jpg"
    kit.write("real/inside.jpg", encoded(kit.subject, "JPEG"))
    for name, target in {
        "dangling.jpg": "nowhere.jpg",
        "loop.jpg": "loop.jpg",
        "ring_a.jpg": "ring_b.jpg",
        "ring_b.jpg": "ring_a.jpg",
        "real/up": "..",  # a folder that contains itself
        "linked.jpg": str(outside),
    }.items():
        (kit.folder / name).symlink_to(target)
    loop = frozenset({str(Code.LINK_LOOP)})
    return {
        "real/inside.jpg": kit.fine,
        "linked.jpg": kit.fine,
        "dangling.jpg": frozenset({Code.LINK_BROKEN}),
        "loop.jpg": loop,
        "ring_a.jpg": loop,
        "ring_b.jpg": loop,
        "real/up": loop,
    }


def _special_files(kit: _Kit) -> dict[str, Outcomes]:
    cases: dict[str, Outcomes] = {}
    os.mkfifo(kit.folder / "pipe.jpg")  # to open it for reading waits for a writer, for ever
    cases["pipe.jpg"] = frozenset({Code.FILE_NOT_REGULAR})
    if _made(lambda: os.mknod(kit.folder / "socket.jpg", stat.S_IFSOCK | 0o600)):
        cases["socket.jpg"] = frozenset({Code.FILE_NOT_REGULAR, Code.FILE_UNREADABLE})
    if os.geteuid() != 0:
        kit.write("unreadable.jpg", encoded(kit.plain, "JPEG"))
        (kit.folder / "unreadable.jpg").chmod(0)
        cases["unreadable.jpg"] = frozenset({Code.FILE_UNREADABLE})
    elif Path("/proc/self/mem").exists():
        # Root reads what it likes; but this regular file gives an error when it is read from 0.
        (kit.folder / "unreadable.jpg").symlink_to("/proc/self/mem")
        cases["unreadable.jpg"] = frozenset({Code.FILE_UNREADABLE})
    kit.write("folder.jpg/inside.jpg", encoded(kit.subject, "JPEG"))
    cases["folder.jpg/inside.jpg"] = kit.fine
    return cases


def _bombs(kit: _Kit) -> dict[str, Outcomes]:
    large = frozenset({str(Code.IMAGE_TOO_LARGE)})
    small = encoded(kit.plain, "JPEG")
    kit.write("bomb.png", bomb_png(30_000, 30_000))
    kit.write("forged.jpg", forged_jpeg(small, 65_000, 65_000))
    kit.write("forged.bmp", _patched(encoded(kit.plain, "BMP"), 18, "<ii", 60_000, 60_000))
    kit.write("forged.gif", _patched(encoded(kit.plain, "GIF"), 6, "<HH", 65_000, 65_000))
    kit.write("frames.gif", _frame_bomb(3_000, 30))
    kit.write("text_bomb.png", text_bomb_png(kit.subject))
    return {
        "bomb.png": large,
        "forged.jpg": large,
        "forged.bmp": large,
        "forged.gif": large,
        # small frames by number, 270 megapixels in all
        "frames.gif": large | {"copied", "obfuscated", Code.IMAGE_UNSUPPORTED},
        "text_bomb.png": kit.odd | large | {Code.IMAGE_DECODE},
    }


def _odd_images(kit: _Kit) -> dict[str, Outcomes]:
    subject, fine, odd = kit.subject, kit.fine, kit.odd
    grey16 = np.asarray(subject.convert("L"), dtype=np.uint16) * 257
    palette = subject.quantize(32)
    alpha = subject.convert("RGBA")
    alpha.putalpha(subject.convert("L").point(lambda value: 255 - value // 4))
    images: dict[str, tuple[bytes, Outcomes]] = {
        "cmyk.jpg": (encoded(subject.convert("CMYK"), "JPEG"), odd),
        "grey.jpg": (encoded(subject.convert("L"), "JPEG"), fine),
        "progressive.jpg": (encoded(subject, "JPEG", progressive=True), fine),
        "grey16.png": (encoded(Image.fromarray(grey16), "PNG"), odd),
        "rgb16.png": (rgb16_png(subject), odd),
        "float.tif": (encoded(subject.convert("F"), "TIFF"), odd | {Code.IMAGE_DECODE}),
        "palette_alpha.png": (encoded(palette, "PNG", transparency=bytes(range(32))), odd),
        "rgba.png": (encoded(alpha, "PNG"), odd),
        "rgba.webp": (encoded(alpha, "WEBP", quality=90), odd),
        "bilevel.png": (encoded(kit.plain.convert("1"), "PNG"), odd | {"copied"}),
        "turned.jpg": (encoded(subject.rotate(90, expand=True), "JPEG", exif=_exif(6)), fine),
        "really_a_png.JPEG": (encoded(subject, "PNG"), fine),
        "really_a_jpeg.png": (encoded(subject, "JPEG"), fine),
        "no_extension": (encoded(subject, "JPEG"), kit.unnamed),
        "tail.jpg": (encoded(subject, "JPEG") + b"\0" * 5_000, odd),
        "one_pixel.png": (encoded(kit.plain.resize((1, 1)), "PNG"), odd | {"copied"}),
        "sliver.png": (encoded(kit.plain.resize((2_000, 1)), "PNG"), odd | {"copied"}),
    }
    for name, (data, _) in images.items():
        kit.write(name, data)
    return {name: outcomes for name, (_, outcomes) in images.items()}


def _animations(kit: _Kit) -> dict[str, Outcomes]:
    size = kit.subject.size
    first, second = (_draw(seed).resize(size) for seed in (2, 3))
    kinds = {
        "moving.gif": "GIF",
        "moving.webp": "WEBP",
        "moving.png": "PNG",
        "pages.tif": "TIFF",
        "second.mpo": "MPO",
        "second.jpg": "MPO",
    }
    for name, kind in kinds.items():
        # Copies: an image that was saved as JPEG keeps settings that break its use as a page.
        rest = [second.copy(), kit.subject.copy()]
        kit.write(name, encoded(first.copy(), kind, save_all=True, append_images=rest))
    # Of an MPO the further images go, whatever they show; the first has no face that is found.
    further = dict.fromkeys(("second.mpo", "second.jpg"), kit.odd | {"copied"})
    return {**dict.fromkeys(kinds, kit.odd), **further}


def _odd_names(kit: _Kit) -> dict[str, Outcomes]:
    data = encoded(kit.subject, "JPEG")
    names = [
        "n" * 251 + ".jpg",  # 255 bytes, the limit: no room for a temporary suffix
        "笑" * 83 + ".jpg",  # 253 bytes in 87 characters
        "two\nlines.jpg",
        "tab\tand\rreturn.jpg",
        "\"quoted\" 'twice', `thrice`.jpg",
        "<b>&amp;.jpg",
        "$(touch pwned);*?[a].jpg",
        "percent%20%s%n.jpg",
        "back\\slash.jpg",
        " space around .jpg ",
        "-rf.jpg",
        "--help.jpg",
        ".hidden.jpg",
        "..jpg",
        "two..dots.JPG",
        "Żółć é e\u0301.jpg",  # e with an accent in both of Unicode's ways
        "\u202egpj.live.jpg",  # right to left: shown as evil.jpg
        "שלום مرحبا.jpg",
        "😀👩‍👩‍👧.jpg",
        "zero\u200bwidth\ufeff.jpg",
        "bell\x07escape\x1b[31m.jpg",
        "deep/" * 60 + "down.jpg",
    ]
    cases = dict.fromkeys(names, kit.fine)
    cases[" space around .jpg "] |= kit.unnamed  # the extension is "jpg " by the letter
    for name in names:
        kit.write(name, data)
    bad = b"caf\xe9.jpg"
    if _made(lambda: Path(os.fsdecode(os.fsencode(kit.folder) + b"/" + bad)).write_bytes(data)):
        cases[bad.decode("utf-8", "backslashreplace")] = frozenset({Code.NAME_NOT_UTF8})
    return cases


# --- images -----------------------------------------------------------------------------------


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the image in a format of Pillow's."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def bomb_png(width: int, height: int) -> bytes:
    """Return a valid black PNG (grey, 1 bit) of any size in a few milliseconds.

    Zeros, cut by full flushes, compress to the same bytes again and again; so they are
    compressed once and repeated: 900 megapixels in 110 kB.
    """
    total = height * (1 + (width + 7) // 8)  # a filter byte before each row
    block = bytes(1 << 20)
    packer = zlib.compressobj(9)
    head = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    count, rest = divmod(total, len(block))
    tail = packer.compress(bytes(rest)) + packer.flush()
    adler = struct.pack(">I", (total % 65521) << 16 | 1)  # of `total` zeros
    data = head + again * (count - 1) + tail[:-4] + adler
    return _png(struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0), data)


def forged_jpeg(jpeg: bytes, width: int, height: int) -> bytes:
    """Return a baseline JPEG whose header claims another size."""
    return _patched(jpeg, jpeg.index(_SOF0) + 5, ">HH", height, width)


def rgb16_png(image: Image.Image) -> bytes:
    """Return a PNG with 16 bits in each of three channels, which Pillow can't write."""
    pixels = np.asarray(image.convert("RGB"), dtype=np.uint16) * 257
    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(">u2"))
    size = struct.pack(">IIBBBBB", image.width, image.height, 16, 2, 0, 0, 0)
    return _png(size, zlib.compress(rows))


def text_bomb_png(image: Image.Image) -> bytes:
    """Return a PNG with 64 MiB of text, compressed to 64 kB, in front of the pixels."""
    packer = zlib.compressobj(9)
    text = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    png = encoded(image, "PNG")
    return png[:33] + _chunk(b"zTXt", b"Comment\0\0" + text) + png[33:]


def _frame_bomb(side: int, count: int) -> bytes:
    """Return a GIF with many black frames; each is the same bytes."""
    gif = encoded(Image.new("P", (side, side)), "GIF")
    start = gif.index(b",")  # the image descriptor of the only frame
    return gif[:start] + gif[start:-1] * count + b";"


def _png(header: bytes, data: bytes) -> bytes:
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _patched(data: bytes, position: int, layout: str, *values: int) -> bytes:
    field = struct.pack(layout, *values)
    return data[:position] + field + data[position + len(field) :]


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _draw(seed: int) -> Image.Image:
    """Return soft coloured clouds with a little grain: nothing that looks like a face."""
    random = np.random.default_rng(seed)
    coarse: NDArray[np.uint8] = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    clouds = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
    grain = random.integers(-6, 7, (SIZE[1], SIZE[0], 3))
    return Image.fromarray(np.clip(np.asarray(clouds) + grain, 0, 255).astype(np.uint8))


def _decoded(face: bytes) -> Image.Image:
    with Image.open(io.BytesIO(face)) as opened:
        image = opened.convert("RGB")
    image.thumbnail((320, 320))  # dozens of files are made of it
    return image


def _made(make: Callable[[], object]) -> bool:
    """Try to make a file that not every file system or user can have."""
    try:
        make()
    except OSError:
        return False
    return True
