"""A panorama keeps the fields that viewers need, as this program writes them, and nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from sfumato.imaging import codec
from sfumato.imaging.codec import private_metadata
from sfumato.imaging.embedded.panorama import GPANO, is_panorama_packet, panorama_packet
from sfumato.imaging.jpeg import Policy
from sfumato.obfuscation import Gaussian
from tests.avif_files import avif
from tests.test_metadata import FACE, encoded, image, png_chunk, segment

HEAD = b"http://ns.adobe.com/xap/1.0/\0"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
FIELDS = {
    "ProjectionType": "equirectangular",
    "UsePanoramaViewer": "True",
    "FullPanoWidthPixels": "4000",
    "CroppedAreaTopPixels": "0",
    "PoseHeadingDegrees": "271.4",
    "InitialViewPitchDegrees": "-12.5",
}


def packet(
    fields: dict[str, str], *, elements: bool = False, more: str = "", front: str = ""
) -> bytes:
    said = "" if elements else " ".join(f"p:{name}='{value}'" for name, value in fields.items())
    inner = "".join(f"<p:{name}> {value}\n</p:{name}>" for name, value in fields.items())
    return (
        f"{front}<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='{RDF}'>"
        f"<rdf:Description rdf:about='' xmlns:p='{GPANO}' xmlns:dc='http://purl.org/dc/elements/1.1/'"
        f" dc:creator='Jane Roe' {said}>{inner if elements else ''}{more}</rdf:Description>"
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


CANONICAL = panorama_packet(packet(FIELDS))


def told(data: bytes) -> dict[str, str]:
    """The fields of a panorama in the XMP that Pillow finds, by another reader of XML."""
    image = Image.open(io.BytesIO(data))
    image.load()
    description = ET.fromstring(image.info["xmp"]).find(f".//{{{RDF}}}Description")
    assert description is not None
    named = {name.removeprefix(f"{{{GPANO}}}"): value for name, value in description.items()}
    assert named.pop(f"{{{RDF}}}about") == ""
    return named


def in_jpeg(xmp: bytes) -> bytes:
    data = encoded("JPEG")
    return data[:2] + segment(0xE1, HEAD + xmp) + data[2:]


def in_png(xmp: bytes) -> bytes:
    data = encoded("PNG")
    return data[:33] + png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp) + data[33:]


FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "JPEG": in_jpeg,
    "PNG": in_png,
    "WEBP": lambda xmp: encoded("WEBP", xmp=xmp),
    "lossless": lambda xmp: encoded("WEBP", xmp=xmp, lossless=True),
    "TIFF": lambda xmp: encoded("TIFF", tiffinfo={700: xmp}),
    "AVIF": lambda xmp: avif(image(), xmp=xmp),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("policy", ["faces", "keep-safe", "all"])
def test_a_panorama_stays_one_after_an_edit(kind: str, policy: Policy) -> None:
    data = FORMATS[kind](packet(FIELDS))
    assert "xmp" in private_metadata(data)
    written = codec.edit(data, [FACE], Gaussian(), policy=policy).data
    assert private_metadata(written, keep_safe=policy == "keep-safe") == ()
    assert told(written) == FIELDS
    assert b"Jane" not in written
    assert CANONICAL in written


@pytest.mark.parametrize("kind", FORMATS)
def test_a_panorama_stays_one_where_only_metadata_go(kind: str) -> None:
    data = FORMATS[kind](packet(FIELDS))
    clean = codec.strip(data)
    assert private_metadata(clean) == ()
    assert told(clean) == FIELDS
    assert b"Jane" not in clean
    assert codec.strip(clean) == clean
    assert codec.difference(data, clean) == 0


@pytest.mark.parametrize("kind", FORMATS)
def test_no_other_packet_passes(kind: str) -> None:
    assert private_metadata(FORMATS[kind](CANONICAL)) == ()
    for other in (
        CANONICAL + b" ",
        CANONICAL.replace(b"4000", b"4001.5"),
        CANONICAL.replace(b"4000", b"04000"),
        CANONICAL.replace(b"\n  ", b"\n   "),
        CANONICAL.replace(b"271.4", b"271.40"),
        CANONICAL.replace(b' rdf:about=""', b' rdf:about="Jane"'),
        CANONICAL.replace(b"</x:", b"<!-- Jane --></x:"),
        b"<x:xmpmeta/>",
    ):
        assert other != CANONICAL
        assert private_metadata(FORMATS[kind](other)) == ("xmp",)


SAME = {
    "elements": packet(FIELDS, elements=True),
    "more": packet(FIELDS, more="<dc:title><rdf:Alt><rdf:li>Jane</rdf:li></rdf:Alt></dc:title>"),
    "utf-16": packet(FIELDS).decode().encode("utf-16"),
    "utf-16-le": packet(FIELDS, front="<?xml version='1.0'?>").decode().encode("utf-16-le"),
    "utf-16-be": packet(FIELDS).decode().encode("utf-16-be"),
    "zeros-behind": packet(FIELDS) + bytes(100),
    "padding": packet(FIELDS, front="<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>")
    + b" " * 2000
    + b"<?xpacket end='w'?>",
    "programs": packet({**FIELDS, "StitchingSoftware": "Jane", "FirstPhotoDate": "2020-01-02"}),
    "out-of-range": packet(
        {
            **FIELDS,
            "FullPanoHeightPixels": "1e9",
            "PoseRollDegrees": "361",
            "PosePitchDegrees": "nan",
        }
    ),
    "unknown": packet({**FIELDS, "OwnerName": "1", "CroppedAreaLeftPixels": "-4"}),
    "capitals": packet(
        {**FIELDS, "ProjectionType": "Equirectangular", "UsePanoramaViewer": "true"}
    ),
    "zeros": packet({**FIELDS, "CroppedAreaTopPixels": "0.0", "FullPanoWidthPixels": "004000"}),
    "decimals": packet({**FIELDS, "PoseHeadingDegrees": "271.4021187654321"}),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_panorama_becomes_the_same_packet(name: str) -> None:
    assert panorama_packet(SAME[name]) == CANONICAL
    assert is_panorama_packet(CANONICAL)


BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>" for i in range(10)
)
NONE = {
    "bomb": packet(FIELDS, front=BOMB + "]>"),
    "document-type": packet(FIELDS, front="<!DOCTYPE x SYSTEM 'file:///etc/hostname'>"),
    "deep": packet(FIELDS, more="<rdf:Bag>" * 5000 + "</rdf:Bag>" * 5000),
    "cut-off": packet(FIELDS)[:-20],
    "large": packet(FIELDS, more=" " * (1 << 20)),
    "no-projection": packet({"FullPanoWidthPixels": "4000"}),
    "unknown-projection": packet({**FIELDS, "ProjectionType": "Jane"}),
    "only-named": f"<a>{GPANO}</a>".encode(),
    "other-namespace": packet(FIELDS).replace(b"panorama/", b"panorama2/"),
    "not-a-description": b"<p:a xmlns:p='" + GPANO.encode() + b"' p:ProjectionType='cylindrical'/>",
    "nothing": b"",
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_panorama_gives_no_packet(name: str) -> None:
    assert panorama_packet(NONE[name]) == b""
    written = codec.edit(in_jpeg(NONE[name][:60_000]), [FACE], Gaussian()).data
    assert b"xmpmeta" not in written


def test_a_turn_told_beside_a_panorama_stays() -> None:
    xmp = packet(FIELDS).replace(
        b"dc:creator", b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="3" dc:creator'
    )
    for make in FORMATS.values():
        data = make(xmp)
        for written in (codec.edit(data, [FACE], Gaussian()).data, codec.strip(data)):
            assert codec.inspect(written).orientation == 3
            assert told(written) == FIELDS
            assert private_metadata(written) == ()
