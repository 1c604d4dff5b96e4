"""Makers of files that hold a second image where nobody looks, one for each way of hiding it."""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

SIZE: Final = (64, 48)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _shown() -> Image.Image:
    ramp = np.linspace(40, 200, SIZE[0]).astype(np.uint8)
    return Image.fromarray(np.dstack([np.tile(ramp, (SIZE[1], 1))] * 3))


def _hidden() -> Image.Image:
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (40, 40, 3), dtype=np.uint8))


SHOWN, HIDDEN = _shown(), _hidden()
JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF = (
    encoded(SHOWN, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
)
INNER: Final = encoded(HIDDEN, "JPEG")
INNER_PNG: Final = encoded(HIDDEN, "PNG")
RAW: Final = HIDDEN.tobytes()
PROFILE: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FILM: Final = (
    b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + struct.pack(">I", 8 + len(INNER)) + b"mdat" + INNER
)


# Frames of each format


def segment(marker: int, payload: bytes, data: bytes = JPEG, at: int = 2) -> bytes:
    return data[:at] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + data[at:]


def segments(marker: int, *payloads: bytes, data: bytes = JPEG) -> bytes:
    for payload in reversed(payloads):
        data = segment(marker, payload, data)
    return data


def chunk(name: bytes, payload: bytes, data: bytes = PNG, at: int = 33) -> bytes:
    made = struct.pack(">I", len(payload)) + name + payload
    return data[:at] + made + struct.pack(">I", zlib.crc32(name + payload)) + data[at:]


def riff(*parts: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)
        for name, payload in parts
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp(*parts: tuple[bytes, bytes], flags: int = 0) -> bytes:
    head = bytes([flags, 0, 0, 0]) + b"".join(struct.pack("<I", side - 1)[:3] for side in SIZE)
    size = struct.unpack_from("<I", WEBP, 16)[0]
    return riff((b"VP8X", head), (WEBP[12:16], WEBP[20 : 20 + size]), *parts)


def sub_blocks(payload: bytes) -> bytes:
    pieces = [payload[at : at + 255] for at in range(0, len(payload), 255)]
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def gif(extension: bytes) -> bytes:
    return GIF[:-1] + extension + GIF[-1:]


def gif_xmp(text: bytes) -> bytes:
    """XMP as it lies in a GIF: no lengths, and a trailer that leads every reader to the end."""
    return b"\x21\xff\x0bXMP DataXMP" + text + b"\x01" + bytes(range(255, -1, -1)) + b"\0"


def box(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload) + 8, name) + payload


def exif(
    first: dict[int, bytes], second: dict[int, bytes] | None = None, tail: bytes = b""
) -> bytes:
    """An EXIF block: tags of type UNDEFINED in two directories, and bytes behind them."""
    return tagged(b"II*\0\x08\0\0\0", first, second) + tail


def tagged(head: bytes, first: dict[int, bytes], second: dict[int, bytes] | None = None) -> bytes:
    out, sizes = head, [2 + 12 * len(tags) + 4 for tags in (first, second or {})]
    values = len(head) + sizes[0] + (sizes[1] if second else 0)
    held = b""
    for number, tags in enumerate((first, second)):
        if tags is None:
            continue
        out += struct.pack("<H", len(tags))
        for tag, value in sorted(tags.items()):
            long = len(value) == 4 and tag in (513, 514, 330, 34665)
            kind, count = (4, 1) if long else (3, 1) if tag == 274 else (7, len(value))
            out += struct.pack("<HHI", tag, kind, count)
            if len(value) <= 4:
                out += value.ljust(4, b"\0")
            else:
                out += struct.pack("<I", values + len(held))
                held += value + bytes(len(value) % 2)
        out += struct.pack("<I", len(head) + sizes[0] if second and not number else 0)
    return out + held


def previewed(preview: bytes) -> bytes:
    """An EXIF block whose second directory holds a preview, as cameras write it."""
    at = len(exif({274: b"\x01\0"}, {513: bytes(4), 514: bytes(4)}))
    tags = {513: struct.pack("<I", at), 514: struct.pack("<I", len(preview))}
    return exif({274: b"\x01\0"}, tags, preview)


def xmp(text: bytes) -> bytes:
    return (
        b"http://ns.adobe.com/xap/1.0/\0<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>"
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF><rdf:Description>"
        + text
        + b"</rdf:Description></rdf:RDF></x:xmpmeta>"
        + b" " * 2000
        + b"<?xpacket end='w'?>"
    )


def broken_lines(text: bytes, mark: bytes, length: int = 76) -> bytes:
    return mark.join(text[at : at + length] for at in range(0, len(text), length))


def gimg(data: bytes, mark: bytes = b"&#xA;") -> bytes:
    text = broken_lines(base64.b64encode(data), mark)
    return b"<xmpGImg:format>JPEG</xmpGImg:format><xmpGImg:image>" + text + b"</xmpGImg:image>"


def extended_xmp() -> list[bytes]:
    text = xmp(gimg(INNER)).partition(b"\0")[2]
    half, head = len(text) // 2, b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32
    return [
        head + struct.pack(">II", len(text), at) + text[at : at + half + 1]
        for at in (half + 1, 0)  # out of order
    ]


def resource(number: int, payload: bytes) -> bytes:
    return (
        b"8BIM" + struct.pack(">H", number) + b"\0\0" + struct.pack(">I", len(payload)) + payload
        + bytes(len(payload) % 2)
    )  # fmt: skip


def thumbnail(number: int, payload: bytes, coding: int = 1) -> bytes:
    head = struct.pack(">IIIIIIHH", coding, 40, 40, 120, 4800, len(payload), 24, 1)
    return b"Photoshop 3.0\0" + resource(1061, b"d" * 16) + resource(number, head + payload)


def profile_with(payload: bytes) -> bytes:
    """A colour profile with a private tag."""
    count = struct.unpack_from(">I", PROFILE, 128)[0]
    table = bytearray(PROFILE[132 : 132 + 12 * count])
    for at in range(4, len(table), 12):
        struct.pack_into(">I", table, at, struct.unpack_from(">I", table, at)[0] + 12)
    new = struct.pack(">4sII", b"pRvt", len(PROFILE) + 12, len(payload))
    body = PROFILE[:128] + struct.pack(">I", count + 1) + table + new + PROFILE[132 + 12 * count :]
    made = bytearray(body + payload)
    struct.pack_into(">I", made, 0, len(made))
    return bytes(made)


def icc(profile: bytes) -> bytes:
    return b"ICC_PROFILE\0\x01\x01" + profile


def tiff(extra: dict[int, bytes | int], tail: bytes = b"", *, first: Image.Image = SHOWN) -> bytes:
    """A TIFF of one page with further tags: bytes, or LONGs that count from the page's end."""
    pixels, out = first.tobytes(), bytearray(b"II*\0\0\0\0\0")
    at = len(out)
    out += pixels + struct.pack("<HHH", 8, 8, 8)
    tags = {254: 0, 256: first.width, 257: first.height, 259: 1, 262: 2, 273: at, 277: 3}
    tags |= {278: first.height, 279: len(pixels)}
    entries = [(258, 3, 3, len(out) - 6), *((tag, 4, 1, value) for tag, value in tags.items())]
    directory = (
        len(out)
        + len(out) % 2
        + sum(len(value) + len(value) % 2 for value in extra.values() if isinstance(value, bytes))
    )
    end = directory + 2 + 12 * (len(entries) + len(extra)) + 4
    out += bytes(len(out) % 2)
    for tag, value in extra.items():
        if isinstance(value, bytes):
            entries.append((tag, 7, len(value), len(out)))
            out += value + bytes(len(value) % 2)
        else:
            entries.append((tag, 4, 1, end + value))
    struct.pack_into("<I", out, 4, len(out))
    out += struct.pack("<H", len(entries))
    out += b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries)) + bytes(4)
    return bytes(out) + tail


def page(at: int, image: Image.Image = HIDDEN) -> bytes:
    """A directory of a further page and its pixels, to lie at an offset."""
    pixels = image.convert("L").tobytes()
    tags = {256: image.width, 257: image.height, 258: 8, 259: 1, 262: 1, 277: 1}
    tags |= {278: image.height, 279: len(pixels)}
    size = 2 + 12 * (len(tags) + 1) + 4
    entries = [(tag, 4, 1, value) for tag, value in tags.items()] + [(273, 4, 1, at + size)]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + packed + bytes(4) + pixels


def with_page(tag: int) -> bytes:
    plain = tiff({tag: 0})
    return plain + page(len(plain))


def bmp_gap(payload: bytes) -> bytes:
    made = bytearray(BMP[:54] + payload + BMP[54:])
    struct.pack_into("<I", made, 2, len(made))
    struct.pack_into("<I", made, 10, 54 + len(payload))
    return bytes(made)


def avif_shifted(front: bytes) -> bytes:
    """An AVIF with bytes before its coded data, inside the data box: a gap."""
    at = AVIF.index(b"mdat") - 4
    size = struct.unpack_from(">I", AVIF, at)[0]
    made = bytearray(AVIF[:at] + struct.pack(">I", size + len(front)) + b"mdat" + front)
    made += AVIF[at + 8 :]
    place = AVIF.index(b"iloc")
    for offset in range(place, place + 40):  # the one place that tells where the data begin
        if struct.unpack_from(">I", AVIF, offset)[0] == at + 8:
            struct.pack_into(">I", made, offset, at + 8 + len(front))
    return bytes(made)


def grown_sequence() -> bytes:
    """An AVIF sequence whose data box holds more than its frames."""
    data = encoded(SHOWN, "AVIF", save_all=True, append_images=[SHOWN.rotate(180)])
    at = data.rindex(b"mdat") - 4
    size = struct.unpack_from(">I", data, at)[0]
    return data[:at] + struct.pack(">I", size + len(INNER)) + data[at + 4 :] + INNER


def mpo(*images: Image.Image) -> bytes:
    return encoded(images[0], "MPO", save_all=True, append_images=list(images[1:]))


B64: Final = base64.b64encode(INNER)
NESTED: Final = segment(0xE1, b"Exif\0\0" + previewed(INNER))
TEXT = PngImagePlugin.PngInfo()
TEXT.add_itxt("XML:com.adobe.xmp", gimg(INNER).decode("ascii"), zip=True)


HIDING: Final[dict[str, bytes | Callable[[], bytes]]] = {
    # behind the end
    "jpeg behind jpeg": JPEG + INNER,
    "jpeg behind no end": JPEG[:-2] + INNER,
    "png behind no end": JPEG[:-2] + INNER_PNG,
    "jpeg behind padding": JPEG + bytes(5000) + INNER,
    "png behind jpeg": JPEG + INNER_PNG,
    "webp behind jpeg": JPEG + encoded(HIDDEN, "WEBP"),
    "gif behind jpeg": JPEG + encoded(HIDDEN, "GIF"),
    "bmp behind jpeg": JPEG + encoded(HIDDEN, "BMP"),
    "tiff behind jpeg": JPEG + encoded(HIDDEN, "TIFF"),
    "avif behind jpeg": JPEG + encoded(HIDDEN, "AVIF"),
    "heic behind jpeg": JPEG + box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"mdat", INNER),
    "jpeg xl behind jpeg": JPEG + b"\0\0\0\x0cJXL \r\n\x87\n" + RAW,
    "film behind jpeg": JPEG + FILM,
    "samsung film": JPEG + b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_Data" + FILM + b"SEFH\0\0\0\0SEFT",
    "matroska behind png": PNG + b"\x1a\x45\xdf\xa3" + RAW,
    "zip behind jpeg": JPEG + b"PK\x03\x04" + INNER,
    "raw pixels behind jpeg": JPEG + RAW,
    "mpo": mpo(SHOWN, HIDDEN),
    "mpo of three": mpo(SHOWN, SHOWN, HIDDEN),
    "mpo, broken index": mpo(SHOWN, HIDDEN)
    .replace(b"MPF\0II*\0", b"MPF\0XX*\0")
    .replace(b"MPF\0MM\0*", b"MPF\0XX\0*"),
    "jpeg behind png": PNG + INNER,
    "png behind png": PNG + INNER_PNG,
    "half a png behind png": PNG + INNER_PNG[len(INNER_PNG) // 3 :],
    "jpeg behind gif": GIF + INNER,
    "jpeg behind webp": WEBP + INNER,
    "jpeg behind bmp": BMP + INNER,
    "jpeg behind tiff": TIFF + INNER,
    "avif behind avif": AVIF + encoded(HIDDEN, "AVIF"),
    "headless jpeg": JPEG + b"\x02" + INNER[1:],
    "cut jpeg": JPEG + INNER[:-300],
    # JPEG segments
    "exif preview": segment(0xE1, b"Exif\0\0" + previewed(INNER)),
    "exif preview, big block later": segments(
        0xE1, b"Exif\0\0" + exif({274: b"\x01\0"}), b"Exif\0\0" + previewed(INNER)
    ),
    "exif third directory": segment(
        0xE1, b"Exif\0\0" + exif({274: b"\x01\0"}, {282: bytes(8)}, INNER)
    ),
    "exif unknown tag": segment(0xE1, b"Exif\0\0" + exif({50000: INNER})),
    "exif raw pixels": segment(0xE1, b"Exif\0\0" + exif({50000: RAW})),
    "maker note": segment(0xE1, b"Exif\0\0" + exif({37500: b"Maker\0" * 20 + INNER})),
    "maker note, headless": segment(
        0xE1, b"Exif\0\0" + exif({37500: b"Maker\0" * 20 + b"\x02" + INNER[1:]})
    ),
    "user comment, base64": segment(0xE1, b"Exif\0\0" + exif({37510: b"ASCII\0\0\0" + B64})),
    "xp comment, utf-16": segment(
        0xE1, b"Exif\0\0" + exif({40092: B64.decode("ascii").encode("utf-16-le")})
    ),
    "exif page": segment(0xE1, b"Exif\0\0" + exif({330: struct.pack("<I", 26)}) + page(26)),
    "xmp base64": segment(0xE1, xmp(gimg(INNER))),
    "xmp base64, no breaks": segment(0xE1, xmp(gimg(INNER, b""))),
    "xmp base64 in an attribute": segment(0xE1, xmp(b"<a GImage:Data='" + B64 + b"'/>")),
    "extended xmp": segments(0xE1, xmp(b"<a xmpNote:HasExtendedXMP='A'/>"), *extended_xmp()),
    "jfif thumbnail": JPEG[:2]
    + segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\x28\x28" + RAW, JPEG[:2] + JPEG[20:])[2:],
    "jfxx jpeg": segment(0xE0, b"JFXX\0\x10" + INNER, at=20),
    "jfxx palette": segment(
        0xE0,
        b"JFXX\0\x11\x28\x28" + bytes(range(256)) * 3 + HIDDEN.convert("L").tobytes(),
        at=20,
    ),
    "jfxx rgb": segment(0xE0, b"JFXX\0\x13\x28\x28" + RAW, at=20),
    "comment": segment(0xFE, INNER),
    "comment, base64": segment(0xFE, b"my image: " + B64),
    "comment, base64 in short lines": segment(0xFE, broken_lines(B64, b"\r\n", 20)),
    "comment, base64 off by one": segment(0xFE, b"image" + B64),
    "comment, base64 of safe letters": segment(0xFE, base64.urlsafe_b64encode(INNER)),
    "comment, hexadecimal": segment(0xFE, broken_lines(INNER.hex().encode("ascii"), b"\n", 72)),
    "comment, numbers": segment(0xFE, b" ".join(b"%d" % byte for byte in RAW[:3000])),
    "comment, ascii85": segment(0xFE, base64.a85encode(INNER, wrapcol=72)),
    "comment, raw in hexadecimal": segment(0xFE, broken_lines(RAW.hex().encode("ascii"), b"\n")),
    "comment, raw in base64 twice": segment(0xFE, base64.b64encode(base64.b64encode(RAW))),
    "comment, jpeg in base64 twice": segment(0xFE, base64.b64encode(B64)),
    "comment, percent": segment(0xFE, B64.replace(b"/", b"%2F").replace(b"+", b"%2B")),
    "comment, json": segment(0xFE, b'{"a":"' + B64.replace(b"/", rb"\/") + b'"}'),
    "comment, deflated": segment(0xFE, zlib.compress(INNER_PNG)),
    "comment, deflated twice": segment(0xFE, zlib.compress(zlib.compress(RAW[:3000], 0))),
    "comment, gzip": segment(0xFE, b"note" + gzip.compress(INNER)),
    "comment, base64 of deflated": segment(0xFE, base64.b64encode(zlib.compress(INNER))),
    "comments, split": segments(0xFE, INNER[:700], INNER[700:]),
    "comments, base64 split": segments(0xFE, B64[:1000], B64[1000:]),
    "comments, raw in crumbs": segments(0xFE, *(RAW[at : at + 400] for at in range(0, 4800, 400))),
    "svg comment": segment(
        0xFE, b"<svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0'/></svg>" + b" " * 64
    ),
    "pgm comment": segment(0xFE, b"P2 16 16 255\n" + b" ".join([b"17"] * 256)),
    "photoshop thumbnail": segment(0xED, thumbnail(1036, INNER)),
    "photoshop old thumbnail": segment(0xED, thumbnail(1033, INNER)),
    "photoshop raw thumbnail": segment(0xED, thumbnail(1036, RAW, coding=0)),
    "photoshop, split": segments(
        0xED, thumbnail(1036, INNER)[:500], b"Photoshop 3.0\0" + thumbnail(1036, INNER)[500:]
    ),
    "iptc preview": segment(
        0xED,
        b"Photoshop 3.0\0"
        + resource(1028, b"\x1c\x02\xca" + struct.pack(">H", len(INNER)) + INNER),
    ),
    "app4 png": segment(0xE4, b"Maker\0" + INNER_PNG),
    "app4 raw": segment(0xE4, b"Maker\0" + RAW),
    "app11 c2pa": segment(0xEB, b"JP\0\x01\0\0\0\x01" + box(b"jumb", box(b"bidb", INNER))),
    "adobe and more": JPEG[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\x01" + INNER, JPEG)[2:],
    "dnl and more": segment(0xDC, b"\0\x30" + INNER),
    "a preview in a preview": JPEG + NESTED,
    # PNG
    "png private": chunk(b"prVt", INNER),
    "png private raw": chunk(b"prVt", RAW),
    "png eXIf": chunk(b"eXIf", previewed(INNER)),
    "png tEXt": chunk(b"tEXt", b"image\0" + B64),
    "png zTXt": chunk(b"zTXt", b"image\0\0" + zlib.compress(B64)),
    "png iTXt": encoded(SHOWN, "PNG", pnginfo=TEXT),
    "png raw profile": chunk(
        b"tEXt",
        b"Raw profile type exif\0\nexif\n    1234\n"
        + broken_lines((b"Exif\0\0" + previewed(INNER)).hex().encode("ascii"), b"\n", 72),
    ),
    "png hIST": chunk(b"hIST", INNER),
    "png time": chunk(b"tIME", INNER),
    "png stored": chunk(b"IDAT", INNER, at=len(PNG) - 12),
    "png small chunks": PNG[:33]
    + b"".join(chunk(b"tIME", RAW[at : at + 7], b"", 0) for at in range(0, 4200, 7))
    + PNG[33:],
    "png end": PNG[:-12] + chunk(b"IEND", INNER, b"", 0),
    # WebP
    "webp unknown": webp((b"PRVT", INNER)),
    "webp EXIF": webp((b"EXIF", previewed(INNER)), flags=8),
    "webp XMP": webp((b"XMP ", gimg(INNER)), flags=4),
    # GIF
    "gif application": gif(b"\x21\xff\x0bPRIVATE 1.0" + sub_blocks(INNER)),
    "gif loop and more": gif(b"\x21\xff\x0bNETSCAPE2.0" + sub_blocks(INNER)),
    "gif comment": gif(b"\x21\xfe" + sub_blocks(B64)),
    "gif xmp": gif(gif_xmp(gimg(INNER))),
    "gif xmp in blocks": gif(b"\x21\xff\x0bXMP DataXMP" + sub_blocks(gimg(INNER))),
    "gif coded data": GIF[:-2] + sub_blocks(INNER) + b";",
    "gif plain text": gif(b"\x21\x01\x0c" + bytes(12) + sub_blocks(INNER)),
    "gif control": gif(b"\x21\xf9" + sub_blocks(INNER)),
    # BMP
    "bmp gap": bmp_gap(INNER),
    # TIFF
    "tiff private tag": tiff({65000: INNER}),
    "tiff raw private tag": tiff({65000: RAW}),
    "tiff xmp": tiff({700: gimg(INNER)}),
    "tiff photoshop": tiff({34377: thumbnail(1036, INNER)[14:]}),
    "tiff layers": tiff({37724: b"Adobe Photoshop Document Data Block\0" + RAW}),
    "tiff subifd": with_page(330),
    "tiff exif page": with_page(34665),
    "tiff private page": with_page(65001),
    "tiff gap": tiff({}, INNER),
    "tiff raw gap": tiff({}, RAW),
    "tiff of jpeg": encoded(SHOWN, "TIFF", compression="jpeg") + INNER,
    # AVIF
    "avif sequence": grown_sequence(),
    "avif free": AVIF + box(b"free", INNER),
    "avif uuid": AVIF + box(b"uuid", bytes(16) + RAW),
    "avif gap": avif_shifted(INNER),
    "avif raw gap": avif_shifted(RAW),
    "avif exif": encoded(SHOWN, "AVIF", exif=exif({50000: INNER})),
    "avif xmp": encoded(SHOWN, "AVIF", xmp=gimg(INNER)),
}
# In what colours need.
PROFILES: Final = {
    "jpeg profile": segment(0xE2, icc(profile_with(INNER))),
    "png profile": encoded(SHOWN, "PNG", icc_profile=profile_with(INNER)),
    "webp profile": encoded(SHOWN, "WEBP", icc_profile=profile_with(RAW)),
}
_DICE = np.random.default_rng(5)
HISTORY: Final = b"".join(
    b"<rdf:li>xmp.did:" + _DICE.bytes(16).hex().upper().encode("ascii") + b"</rdf:li>"
    for _ in range(60)
)
WORKFLOW: Final = {
    str(node): {
        "class_type": "KSampler",
        "inputs": {"seed": int(_DICE.integers(1 << 40)), "cfg": 7},
    }
    for node in range(40)
}
WORDS: Final = {
    "lake mountain morning boat water reed heron fisher".split()[n % 8] + f" {n}"
    for n in range(120)
}
PLAIN: Final = {
    "jpeg": JPEG,
    "exif": segment(
        0xE1,
        b"Exif\0\0" + exif({271: b"Maker\0", 306: b"2024:01:02 03:04:05\0", 37500: RAW[:20]}),
    ),
    "large maker note": segment(0xE1, b"Exif\0\0" + exif({37500: bytes(range(256)) * 20})),
    "xmp": segment(0xE1, xmp(b"<dc:title>A lake in the mountains, early morning</dc:title>" * 60)),
    "xmp of a film": segment(0xE1, xmp(b"<a GCamera:MotionPhoto='1'/>")),
    "padding": JPEG + bytes(4000),
    "profile": encoded(SHOWN, "JPEG", icc_profile=PROFILE),
    "png profile": encoded(SHOWN, "PNG", icc_profile=PROFILE),
    "tiff profile": encoded(SHOWN, "TIFF", icc_profile=PROFILE),
    "webp profile": encoded(SHOWN, "WEBP", icc_profile=PROFILE),
    "avif profile": encoded(SHOWN, "AVIF", icc_profile=PROFILE),
    "xmp history": segment(0xE1, xmp(HISTORY)),
    "keywords": segment(0xFE, ", ".join(sorted(WORDS)).encode()),
    "comment": segment(0xFE, ("Grüße vom See, ein langer Brief. " * 90).encode()),
    "chinese comment": segment(0xFE, ("湖边的清晨，山上还有雪。" * 90).encode()),
    "latin comment": segment(0xFE, ("Grüße vom See. " * 90).encode("latin-1")),
    "iptc": segment(0xED, b"Photoshop 3.0\0" + resource(1028, b"\x1c\x02\x78\0\x05A dog")),
    "png text": chunk(b"tEXt", b"Description\0" + b"A dog on a lawn. " * 60),
    "png raw profile": chunk(
        b"zTXt",
        b"Raw profile type icc\0\0"
        + zlib.compress(
            b"\nicc\n%8d\n" % len(PROFILE) + broken_lines(PROFILE.hex().encode("ascii"), b"\n", 72)
        ),
    ),
    "png json": chunk(
        b"tEXt", b"workflow\0" + json.dumps(WORKFLOW, separators=(",", ":")).encode()
    ),
    "png packed text": chunk(b"zTXt", b"Text\0\0" + zlib.compress(b"A dog on a lawn. " * 90)),
    "gif comment": gif(b"\x21\xfe" + sub_blocks(b"A dog on a lawn. " * 60)),
    "gif xmp": gif(gif_xmp(xmp(b"<dc:title>A lake</dc:title>"))),
    "animation": encoded(SHOWN, "GIF", save_all=True, append_images=[HIDDEN.resize(SIZE)]),
    "webp animation": encoded(SHOWN, "WEBP", save_all=True, append_images=[HIDDEN.resize(SIZE)]),
    "avif animation": encoded(SHOWN, "AVIF", save_all=True, append_images=[HIDDEN.resize(SIZE)]),
    "apng": encoded(SHOWN, "PNG", save_all=True, append_images=[HIDDEN.resize(SIZE)]),
    "pages": encoded(SHOWN, "TIFF", save_all=True, append_images=[HIDDEN]),
    "tiff of jpeg": encoded(SHOWN, "TIFF", compression="jpeg"),
    "tiff of lzw": encoded(SHOWN, "TIFF", compression="tiff_lzw"),
    "no end": JPEG[:-2],
    "progressive": encoded(HIDDEN, "JPEG", progressive=True),
    "palette": encoded(SHOWN.quantize(16), "PNG", transparency=3),
    "bmp": BMP,
    "webp": encoded(HIDDEN, "WEBP", lossless=True),
    "avif": AVIF,
}
