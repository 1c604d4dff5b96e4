"""Images and private things written as text, and labels as data sets have them."""

from __future__ import annotations

import base64
import binascii
import io
import json
import quopri
import struct
import textwrap
import urllib.parse
import uuid
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

RAMP = " .:-=+*#%@"


@cache
def portrait(side: int) -> Image.Image:
    """Draw something like a head: smooth shading, eyes, a mouth, hair and some noise."""
    y, x = np.mgrid[0:256, 0:256] / 255.0
    head = np.exp(-((((x - 0.5) / 0.28) ** 2 + ((y - 0.55) / 0.36) ** 2) ** 2))
    light = 60 + 90 * x + head * (70 - 60 * (x - 0.3))
    noise = np.random.default_rng(5).normal(0, 5, light.shape)
    planes = [np.clip(light * k + noise, 0, 255) for k in (1.0, 0.85, 0.75)]
    image = Image.fromarray(np.dstack(planes).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for left in (88, 142):
        draw.ellipse((left, 118, left + 26, 132), fill=(40, 30, 30))
    draw.ellipse((104, 180, 152, 192), fill=(120, 50, 50))
    draw.chord((52, 30, 204, 150), 180, 360, fill=(45, 35, 25))
    return image.resize((side, side))


@cache
def jpeg(side: int = 96, quality: int = 75) -> bytes:
    stream = io.BytesIO()
    portrait(side).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def grey(side: int = 48) -> np.ndarray:
    return np.asarray(portrait(side).convert("L"))


def colours(side: int = 32) -> np.ndarray:
    return np.asarray(portrait(side))


def lines(text: str | bytes, width: int) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return b"\n".join(data[at : at + width] for at in range(0, len(data), width))


def encodings(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Write the bytes of any file as text, in every way that is in use."""
    yield from _as_letters(data)
    yield from _as_numbers(data)
    yield from _as_characters(data)


def _as_letters(data: bytes) -> Iterator[tuple[str, bytes]]:
    b64 = base64.b64encode(data)
    broken = base64.encodebytes(data)
    yield "base64", b64
    yield "base64 in lines", broken
    yield "base64 with CR LF", broken.replace(b"\n", b"\r\n")
    yield "base64 quoted in mail", b"> " + broken.replace(b"\n", b"\n> ")
    yield "base64, URL-safe", base64.urlsafe_b64encode(data)
    yield (
        "base64 with escaped slashes",
        json.dumps({"a": b64.decode()}).replace("/", "\\/").encode(),
    )
    yield "base64 with escaped ends", json.dumps({"a": broken.decode()}).encode()
    yield (
        "base64 in a list",
        json.dumps(broken.decode().splitlines(keepends=True), indent=4).encode(),
    )
    yield "base64 in YAML", b"a: !!binary |\n    " + broken.replace(b"\n", b"\n    ")
    yield "base64 in code", b'" +\n        "'.join(lines(b64, 60).split(b"\n"))
    yield "base64 in words", b" ".join(lines(b64, 4).split(b"\n"))
    yield "base64 in a cell", b"id,image,label\n1," + b64 + b",3\n"
    yield "base32", base64.b32encode(data)
    yield "base85", base64.b85encode(data)
    yield "ascii85", base64.a85encode(data, wrapcol=72)
    yield "uuencode", b"".join(binascii.b2a_uu(data[i : i + 45]) for i in range(0, len(data), 45))


def _as_numbers(data: bytes) -> Iterator[tuple[str, bytes]]:
    yield "hexadecimal", data.hex().encode()
    yield "hexadecimal in lines", lines(data.hex().upper(), 60)
    yield "hexadecimal like digests", lines(data.hex(), 64)
    yield "pairs", data.hex(" ").encode()
    yield "pairs in lines", lines(data.hex(" "), 48)
    yield "pairs with colons", data.hex(":").encode()
    yield "words of hexadecimal", data.hex(" ", 4).encode()
    yield "an array in C", ("unsigned char a[] = {" + ", ".join(map(hex, data)) + "};").encode()
    yield "an array of numbers", json.dumps({"type": "Buffer", "data": list(data)}).encode()
    yield "numbers, indented", json.dumps(list(data), indent=2).encode()
    yield "signed numbers", json.dumps([byte - 256 * (byte > 127) for byte in data]).encode()
    yield "a number a line", "\n".join(map(str, data)).encode()
    yield "numbers by index", json.dumps({str(i): byte for i, byte in enumerate(data)}).encode()
    yield "numbers in lines", lines(" ".join(f"{byte:3}" for byte in data), 64)
    words = struct.unpack(f">{len(data) // 4}i", data[: len(data) // 4 * 4])
    yield "words of 32 bits", json.dumps({"words": words}).encode()


def _as_characters(data: bytes) -> Iterator[tuple[str, bytes]]:
    yield "bytes as Python writes them", f"id,image\n1,{data!r}\n".encode()
    yield "Latin-1 in JSON", json.dumps({"image": data.decode("latin-1")}).encode()
    yield "Latin-1 in UTF-8", data.decode("latin-1").encode()
    octal = "".join(chr(b) if 32 <= b < 127 and b not in (34, 92) else f"\\{b:03o}" for b in data)
    yield "octal, as in protobuf", f'value: "{octal}"'.encode()
    yield "percent", urllib.parse.quote(data).encode()
    yield "quoted-printable", quopri.encodestring(data)
    yield "entities", "".join(chr(b) if 32 <= b < 127 else f"&#{b};" for b in data).encode()
    wide = struct.unpack(f">{len(data) // 2}H", data[: len(data) // 2 * 2])
    yield "Chinese characters", "".join(chr(0x4E00 + one % 20000) for one in wide).encode()
    yield "Braille", "".join(chr(0x2800 + byte) for byte in data).encode()
    yield "xxd", "\n".join(_dump(data, at, 2) for at in range(0, len(data), 16)).encode()
    yield "hexdump", "\n".join(_dump(data, at, 1) for at in range(0, len(data), 16)).encode()
    yield "od", "\n".join(_octal_dump(data, at) for at in range(0, len(data), 16)).encode()


def _dump(data: bytes, at: int, group: int) -> str:
    part = data[at : at + 16]
    shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
    return f"{at:08x}: {part.hex(' ', group)}  {shown}"


def _octal_dump(data: bytes, at: int) -> str:
    words = (data[n : n + 2] for n in range(at, min(at + 16, len(data)), 2))
    return f"{at:07o} " + " ".join(f"{int.from_bytes(word, 'little'):06o}" for word in words)


def pixels() -> Iterator[tuple[str, bytes]]:
    """Write the pixels of an image as numbers, colours or characters."""
    yield from _pixels_by_row()
    yield from _pixels_one_by_one()
    yield from _drawings()
    people = np.random.default_rng(1).normal(size=(6, 128)).round(6)
    yield "embeddings", "\n".join("\t".join(map(str, row)) for row in people).encode()
    named = (f"person_{n}," + ",".join(map(str, row)) for n, row in enumerate(people))
    yield "embeddings by name", "\n".join(named).encode()
    embedded = [{"id": n, "embedding": row.tolist()} for n, row in enumerate(people)]
    yield "embeddings in JSON", json.dumps(embedded, indent=2).encode()


def _pixels_by_row() -> Iterator[tuple[str, bytes]]:
    g, c = grey(), colours()
    flat = " ".join(map(str, g.ravel()))
    yield "FER2013", f"emotion,pixels,Usage\n0,{flat},Training\n".encode()
    yield "FER2013, quoted", f'emotion,pixels,Usage\n0,"{flat}",Training\n'.encode()
    yield "MNIST", ("label,p0\n0," + ",".join(map(str, g.ravel()))).encode()
    for name, rows in {
        "integers": g,
        "floats": (g / 255).round(4),
        "normalised": ((g / 255 - 0.5) / 0.2).round(4),
        "16 bits": g.astype(int) * 257,
    }.items():
        yield f"CSV of {name}", "\n".join(",".join(map(str, row)) for row in rows.tolist()).encode()
        yield f"JSON of {name}", json.dumps({"pixels": rows.tolist()}).encode()
    named = (f"row {n}: {' '.join(map(str, row))}" for n, row in enumerate(g))
    yield "rows with words between", "\n".join(named).encode()
    yield "rows of LaTeX", "\n".join(" & ".join(map(str, row)) + r" \\" for row in g).encode()
    yield "an array, printed", np.array2string(g, threshold=10**6).encode()
    yield "savetxt", "\n".join(" ".join(f"{v:.18e}" for v in row) for row in g).encode()
    rgba = np.dstack([c, np.full(c.shape[:2], 255, np.uint8)])
    for name, array in {"RGB": c, "RGBA": rgba, "grey": g}.items():
        yield f"{name}, nested", json.dumps({"image": array.tolist()}).encode()
        yield f"{name}, indented", json.dumps(array.tolist(), indent=2).encode()
        yield f"{name}, flat", json.dumps({"a": array.ravel().tolist()}).encode()
    alpha = np.dstack([g, np.full(g.shape, 255, np.uint8)])
    yield "grey and alpha, flat", json.dumps(alpha.ravel().tolist()).encode()


def _pixels_one_by_one() -> Iterator[tuple[str, bytes]]:
    g, c = grey(), colours()
    yield "a pixel a line", "\n".join(" ".join(map(str, p)) for p in c.reshape(-1, 3)).encode()
    numbered = (f"{i},{','.join(map(str, p))}" for i, p in enumerate(c.reshape(-1, 3)))
    yield "a numbered pixel a line", ("i,r,g,b\n" + "\n".join(numbered)).encode()
    places = [(x, y) for y in range(48) for x in range(48)]
    yield "x, y, value", "\n".join(f"{x},{y},{g[y, x]}" for x, y in places).encode()
    records = [{"x": x, "y": y, "v": int(g[y, x])} for x, y in places]
    yield "records", json.dumps(records).encode()
    shades = [f"#{p[0]:02x}{p[1]:02x}{p[2]:02x}" for p in c.reshape(-1, 3)]
    yield "colours", json.dumps(shades).encode()
    short = (f"<i style='background:#{shade[1]}{shade[3]}{shade[5]}'></i>" for shade in shades)
    yield "short colours", "".join(short).encode()
    yield (
        "colours of CSS",
        ";".join(f"rgb({p[0]},{p[1]},{p[2]})" for p in c.reshape(-1, 3)).encode(),
    )
    cells = "</tr><tr>".join(
        "".join(f'<td bgcolor="{shade}">' for shade in shades[at : at + 32])
        for at in range(0, 1024, 32)
    )
    yield "a table of colours", f"<table><tr>{cells}</tr></table>".encode()


def _drawings() -> Iterator[tuple[str, bytes]]:
    flat = " ".join(map(str, grey().ravel()))
    yield "plain PGM", b"P2\n48 48\n255\n" + lines(flat, 69)
    yield "plain PGM without its head", "\n".join(textwrap.wrap(flat, 70)).encode()
    dots = np.asarray(portrait(96).convert("1")).astype(int)
    yield "black and white", "\n".join(" ".join(map(str, row)) for row in dots).encode()
    yield "black and white, packed", "\n".join("".join(map(str, row)) for row in dots).encode()
    tall = np.asarray(portrait(100).convert("L").resize((100, 50)))
    drawn = ["".join(RAMP[int(v) * 10 // 256] for v in row) for row in tall]
    yield "drawn with characters", "\n".join(drawn).encode()
    yield (
        "drawn with digits",
        "\n".join("".join(str(v * 10 // 256) for v in r) for r in tall.astype(int)).encode(),
    )
    yield (
        "drawn with blocks",
        "\n".join("".join(" ░▒▓█"[v * 5 // 256] for v in r) for r in tall.astype(int)).encode(),
    )
    quoted = ",\n".join(f'"{row}"' for row in drawn)
    yield "an XPM without its comment", f"static char * a[] = {{\n{quoted}}};".encode()


def kinds() -> list[tuple[str, bytes]]:
    """Give files of kinds that are told by their words, with little else in them."""
    image = base64.b64encode(jpeg())
    return [
        ("x.json", b'{"a":"data:image\\/png;base64,iVBORw0KGgo="}'),
        ("a.css", b"a { background: url(data:image/svg+xml,%3Csvg%20xmlns=%22x%22%3E) }"),
        ("x.html", b"<html>" + b" " * 5000 + b"<svg viewBox='0 0 1 1'><path d='M0 0'/></svg>"),
        (
            (
                "late.html",
                b"<p>text</p>\n" * 9000 + b"<img src='data:image/jpeg;base64," + image + b"'>",
            )
        ),
        ("x.min.js", b'var i=new Image;i.src="data:image/png;base64,' + image + b'"'),
        (
            (
                "x.ipynb",
                json.dumps(
                    {"cells": [{"outputs": [{"data": {"image/png": image.decode()}}]}]}
                ).encode(),
            )
        ),
        ("x.rtf", b"{\\rtf1\\ansi {\\pict\\jpegblip " + jpeg().hex().encode() + b"}}"),
        ("x.txt", b"junk\n%PDF-1.4\n"),
        ("x.ps", b"\n%!PS-Adobe-3.0\n"),
        ("x.xbm", b"#define a_width 16\n#define a_height 16\nstatic char a_bits[] = {0x00};"),
        ("x.xpm", b'/* XPM */\nstatic char *x[] = {"400 400 2 1",'),
        ("x.uu", b"text\nbegin 644 a.jpg\nM_]C_\n"),
        ("x.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nend_header\n0 0 0 255 0 0\n"),
        ("x.obj", b"# a head\n" + b"v 0.12 0.31 0.5\n" * 20),
        ("x.drawio", b"<mxfile><diagram>" + base64.b64encode(zlib.compress(b"a")) + b"</diagram>"),
        ("x.pem", b"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"),
        ("bom.txt", b"\xef\xbb\xbf<svg>"),
        ("utf16.txt", "<svg><image/></svg>".encode("utf-16")),
        ("x.rda", b"RDA3\nA\n3\n"),
        ("x.dpx", b"SDPX"),
        ("mail", b"From: a@example.org\nMIME-Version: 1.0\nContent-Type: image/jpeg\n\n"),
        ("x.eml", b"From: a@example.org\n\nhello\n"),
        ("sidecar.xmp", b"<a/>"),
        ("sidecar", b"<?xpacket begin=''?><x:xmpmeta xmlns:x='adobe:ns:meta/'></x:xmpmeta>"),
        (".picasa.ini", b"[a.jpg]\n"),
        ("faces.txt", b"[a.jpg]\nfaces=rect64(3f845bcb59418507),8e62398ebda8c1a5\n"),
        ("a.vcf", b"FN:Ada\n"),
        ("contacts", b"BEGIN:VCARD\nFN:Ada\nEND:VCARD\n"),
        ("x.ics", b"BEGIN:VCALENDAR\nATTACH;VALUE=BINARY:AAAA\n"),
        ("people.ldif", b"dn: cn=Ada\njpegPhoto:: /9j/4AAQ\n"),
        ("track.gpx", b"<a/>"),
        ("map.geojson", b"{}"),
        ("map.json", json.dumps({"type": "FeatureCollection", "features": []}).encode()),
        ("a.jpg.json", json.dumps({"geoData": {"latitude": 47.1, "longitude": 8.2}}).encode()),
        ("places.csv", b"file,latitude,longitude\na.jpg,47.1,8.2\n"),
        ("exif.txt", b"File Name : a.jpg\nGPS Latitude : 47 deg 22' N\n"),
        ("control.txt", b"a\x01b"),
        ("nul.txt", b"text\0"),
        ("latin.txt", b"caf\xe9"),
    ]


# --- labels -------------------------------------------------------------------------------------


def polygon(rng: np.random.Generator, corners: int, *, size: float = 1.0) -> list[float]:
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = 100 * np.exp(0.3 * np.cumsum(rng.normal(size=corners)) / np.sqrt(corners))
    x, y = 300 + radius * np.cos(turn), 240 + 0.7 * radius * np.sin(turn)
    return [float(v) for v in (np.column_stack([x, y]) * size).round(2 if size == 1 else 6).ravel()]


def mask(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    coarse = rng.normal(size=(max(height // 32, 2), max(width // 32, 2)))
    image = Image.fromarray(((coarse + 3) * 40).clip(0, 255).astype(np.uint8))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)) > 120


def run_lengths(of: np.ndarray) -> list[int]:
    flat = of.ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate(([0], ends, [flat.size]))).tolist()
    return [0, *lengths] if flat[0] else lengths


def packed(lengths: list[int]) -> str:
    """Pack run lengths as COCO does (rleToString)."""
    text = ""
    for n, length in enumerate(lengths):
        value = length - (lengths[n - 2] if n > 2 else 0)
        while True:
            low, value = value & 31, value >> 5
            more = value != (-1 if low & 16 else 0)
            text += chr(48 + (low | (32 if more else 0)))
            if not more:
                break
    return text


def coco(shapes: list[object]) -> dict[str, object]:
    rng = np.random.default_rng(3)
    return {
        "licenses": [{"id": 1, "url": "http://creativecommons.org/licenses/by-nc-sa/2.0/"}],
        "images": [
            {"id": n, "file_name": f"{n:012}.jpg", "height": 480, "width": 640}
            for n in range(len(shapes))
        ],
        "annotations": [
            {
                "id": n,
                "image_id": n,
                "category_id": int(rng.integers(1, 91)),
                "iscrowd": 0,
                "bbox": rng.uniform(0, 600, 4).round(2).tolist(),
                "segmentation": shape,
            }
            for n, shape in enumerate(shapes)
        ],
        "categories": [{"id": 1, "name": "person"}],
    }


def _coco_files() -> Iterator[tuple[str, str]]:
    rng = np.random.default_rng(4)
    shapes: list[object] = [[polygon(rng, int(n))] for n in rng.integers(3, 300, 30)]
    for indent in (None, 2):
        yield f"COCO polygons {indent}", json.dumps(coco(shapes), indent=indent)
    whole: list[object] = [[[round(v) for v in polygon(rng, 120)]] for _ in range(10)]
    yield "COCO polygons of integers", json.dumps(coco(whole))
    sizes = [(480, 640), (200, 240), (600, 800), (64, 64), (28, 28)] * 6
    masks = [mask(rng, *size) for size in sizes]
    masks += [one & (rng.random(one.shape) > 0.02) for one in masks[:3]]
    as_list: list[object] = [{"size": one.shape, "counts": run_lengths(one)} for one in masks]
    as_text: list[object] = [
        {"size": one.shape, "counts": packed(run_lengths(one))} for one in masks
    ]
    for indent in (None, 1):
        yield f"COCO run lengths {indent}", json.dumps(coco(as_list), indent=indent)
        yield f"COCO run lengths as text {indent}", json.dumps(coco(as_text), indent=indent)
    yield "COCO, minified", json.dumps(coco(as_text + shapes), separators=(",", ":"))
    points = [
        np.column_stack([rng.integers(0, 600, (n, 2)), rng.integers(0, 3, n)]) for n in [17] * 40
    ]
    yield "COCO keypoints", json.dumps([{"keypoints": p.ravel().tolist()} for p in points])
    mesh = np.column_stack([np.reshape(polygon(rng, 68), (-1, 2)), rng.uniform(0.5, 1, 68)])
    yield "COCO whole body", json.dumps([{"face_kpts": mesh.ravel().tolist()}] * 5)
    corners = np.reshape(polygon(rng, 200), (-1, 2)).tolist()
    empty = {
        "shapes": [{"label": "cat", "points": corners}],
        "imagePath": "x.jpg",
        "imageData": None,
    }
    yield "LabelMe without its image", json.dumps(empty, indent=2)
    sides = [int(v) for v in polygon(rng, 80)]
    yield "VIA", json.dumps({"all_points_x": sides[::2], "all_points_y": sides[1::2]})


def _yolo_files() -> Iterator[tuple[str, str]]:
    rng = np.random.default_rng(5)
    boxes = rng.uniform(0, 1, (2000, 4)).round(6)
    rows = [f"{rng.integers(80)} " + " ".join(map(str, box)) for box in boxes.tolist()]
    yield "YOLO", "\n".join(rows[:12])
    yield "YOLO, all in one", "\n".join(rows)
    yield "YOLO, one class", "\n".join("0 " + row.partition(" ")[2] for row in rows[:300])
    shapes = (polygon(rng, int(n), size=0.001) for n in rng.integers(10, 200, 20))
    yield "YOLO polygons", "\n".join("0 " + " ".join(map(str, shape)) for shape in shapes)
    joints = np.column_stack([rng.uniform(0, 1, (17, 2)).round(5), rng.integers(0, 3, 17)])
    pose = "0 0.5 0.5 0.2 0.3 " + " ".join(map(str, joints.ravel().tolist()))
    yield "YOLO poses", "\n".join([pose] * 20)
    marks = polygon(rng, 98)
    yield "WFLW", "\n".join([" ".join(map(str, marks)) + " 1 0 0 37--Soccer/37_1.jpg"] * 8)


def _lists() -> Iterator[tuple[str, str]]:
    rng = np.random.default_rng(6)
    for classes in (10, 100, 200, 1000):
        yield f"classes of {classes}", "\n".join(map(str, rng.integers(0, classes, 5000)))
    yield "classes in order", "\n".join(map(str, np.repeat(np.arange(100), 40)))
    yield "classes in blocks", "\n".join(map(str, np.repeat(rng.permutation(100), 40)))
    numbers = {
        "labels": rng.integers(0, 100, 3000).tolist(),
        "train": rng.permutation(3000).tolist(),
        "val": sorted(rng.choice(9999, 999, replace=False).tolist()),
    }
    yield "splits in JSON", json.dumps(numbers)
    yield "splits in JSON, indented", json.dumps(numbers, indent=2)
    yield "ids of VOC", "\n".join(f"2008_{n:06}  1" for n in rng.integers(0, 9000, 900))
    yield "ids of COCO", "\n".join(f"{n:012}" for n in rng.integers(0, 581929, 2000))
    yield "paths", "\n".join(f"n01440764/n01440764_{n}" for n in rng.integers(0, 20000, 2000))
    town = "leftImg8bit/train/aachen/aachen_{:06}_{:06}_leftImg8bit"
    yield "long paths", "\n".join(town.format(*pair) for pair in rng.integers(0, 200, (900, 2)))
    digests = [binascii.hexlify(rng.bytes(16)).decode() for _ in range(800)]
    yield "digests", "\n".join(digests)
    long = (one + one[:8] for one in digests)
    yield "UUIDs", "\n".join(str(uuid.UUID(one)) for one in digests)
    yield "longer digests", "\n".join(long)
    yield "digests and names", "\n".join(f"{one}  images/{n}.jpg" for n, one in enumerate(digests))
    yield "digests and classes", "id,breed\n" + "\n".join(f"{one},beagle" for one in digests)
    links = (
        f"https://farm{a}.example.org/{b}/{c}_z.jpg" for a, b, c in rng.integers(1, 9**9, (400, 3))
    )
    yield "links", "\n".join(links)


def _tables() -> Iterator[tuple[str, str]]:
    rng = np.random.default_rng(7)
    first, second = rng.integers(0, 224, (2, 1500, 2))
    boxes = np.column_stack([np.minimum(first, second), np.maximum(first, second) + 1]).tolist()
    yield "boxes", "\n".join(",".join(map(str, box)) for box in boxes)
    yield "boxes in JSON", json.dumps(boxes)
    named = (f"n01/{n}.jpg,cat," + ",".join(map(str, box)) for n, box in enumerate(boxes))
    yield "boxes by name", "path,label,x0,y0,x1,y1\n" + "\n".join(named)
    yield "CUB", "\n".join(f"{n} {n // 30 + 1}" for n in range(1, 6000))
    signs = rng.choice([-1, 1], (400, 40)).tolist()
    yield "CelebA", "\n".join(f"{n:06}.jpg " + " ".join(map(str, s)) for n, s in enumerate(signs))
    tracks = []
    for person in range(12):
        way = np.cumsum(rng.normal(1, 1, (150, 2)), axis=0) + rng.uniform(0, 900, 2)
        size = 60 + np.cumsum(rng.normal(size=150))
        tracks += [
            f"{n},{person},{int(x)},{int(y)},{int(s)},{int(2.2 * s)},1,-1,-1,-1"
            for n, ((x, y), s) in enumerate(zip(way, size, strict=True))
        ]
    yield "tracks", "\n".join(tracks)
    losses = zip(np.exp(-np.arange(400) / 90), 1 - np.exp(-np.arange(400) / 90), strict=True)
    yield "losses", "\n".join(f"{n},{a:.4f},{b:.4f}" for n, (a, b) in enumerate(losses))
    voc = "<object><name>cat</name><bndbox><xmin>{}</xmin><ymin>{}</ymin></bndbox></object>"
    yield "VOC", "<annotation>" + "\n".join(voc.format(*box[:2]) for box in boxes[:300])
    wider = (
        "0--Parade/0_{}.jpg\n1\n{} 0 0 1\n".format(n, " ".join(map(str, b)))
        for n, b in enumerate(boxes)
    )
    yield "WIDER FACE", "".join(wider)


def _plain() -> Iterator[tuple[str, str]]:
    rng = np.random.default_rng(8)
    signs = ["".join(chr(0x4E00 + int(v)) for v in rng.zipf(1.3, 30) % 3000) for _ in range(300)]
    yield "Chinese", "。\n".join(signs)
    yield "Chinese, escaped", json.dumps([{"caption": text} for text in signs])
    yield "nothing", ""
    yield "a number", "0"
    yield "a byte order mark", "\ufeffa,b\r\n1,2\r\n"
    yield "rules", "-" * 3000 + "\n" + "=" * 80
    yield "a table in Markdown", "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 300
    yield (
        "YAML",
        "names:\n" + "".join(f"  {n}: class {n}\n" for n in range(80)) + "data: images/train\n",
    )
    yield (
        "TOML",
        "[tool]\nmean = [0.485, 0.456, 0.406]\nanchors = [[10,13, 16,30], [30,61, 62,45]]\n",
    )
    yield (
        "a licence with form feeds",
        "GNU GENERAL PUBLIC LICENSE\n\x0c\n Everyone is permitted …\n" * 30,
    )
    yield (
        "a README",
        "# Set\n\nImages with EXIF and GPS positions removed; see GIF89a, PNG, data/.\n" * 9,
    )


# Labels, lists and settings as data sets have them.
LABELS = {
    "COCO": _coco_files,
    "YOLO": _yolo_files,
    "lists": _lists,
    "tables": _tables,
    "others": _plain,
}
