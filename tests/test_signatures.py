"""Files are told apart by their bytes, and what may hold a face is never called harmless."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from sfumato.imaging.codec import may_hold_images, sniff


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 60, 30)).save(out, kind)
    return out.getvalue()


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    return out.getvalue()


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "a")
    return out.getvalue()


def numpy_array() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros((4, 4, 3)))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_the_formats_are_told_by_18_bytes(kind: str) -> None:
    data = encoded(kind)
    assert sniff(data[:18]) == kind
    assert may_hold_images(data) == kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypmiaf\0\0\0\0miafheic", "video"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "video"),
        (encoded("JPEG2000"), "JPEG 2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (encoded("ICO"), "icon"),
        (encoded("PPM"), "Netpbm"),
        (encoded("PDF"), "PDF"),
        (encoded("SGI"), "SGI image"),
        (encoded("DDS"), "DDS"),
        (b"8BPS\0\1", "Photoshop"),
        (b"IIU\0\x08\0\0\0", "camera raw"),
        (b"RIFF\0\0\0\0AVI LIST", "video"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0", "video"),
        (b"\0\0\x01\xba\x44", "video"),
        ((b"\x47" + bytes(187)) * 2, "video"),
        (gzip.compress(b"text", mtime=0), "archive"),
        (tar(), "archive"),
        (zipped(), "archive"),
        (b"7z\xbc\xaf\x27\x1c", "archive"),
        (b"\xfd7zXZ\0", "archive"),
        (b"\x28\xb5\x2f\xfd\0", "archive"),
        (b"BZh91AY&SY", "archive"),
        (numpy_array(), "table of data"),
        (b"PAR1\x15\x04", "table of data"),
        (b'<?xml version="1.0"?>\n<svg xmlns="">', "SVG or markup with images"),
        (b'{"image": "data:image/png;base64,', "SVG or markup with images"),
    ],
)
def test_what_may_hold_images_is_named(data: bytes, kind: str) -> None:
    assert sniff(data) is None
    assert may_hold_images(data) == kind


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"path,label\nn01440764/a.jpg,0\n",
        b'{"classes": ["BM", "P6", "GIF"]}',
        b"BM is short for Benchmark, and this is a text file.",
        b"P6 is a class of roads",
        b"RIFF raff, who is that",
        b"GIF87 was a format",
        b"\xef\xbb\xbfname;value\r\n",
        "Überschrift\n========\n".encode(),
        b"# README\n\nPK is the primary key.",
    ],
)
def test_labels_and_texts_are_not(data: bytes) -> None:
    assert sniff(data) is None
    assert may_hold_images(data) is None
