"""Images written as tables or in other letters, in black ink, in spare bytes; and innocent text."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sfumato.imaging import codec
from sfumato.imaging.codec.concealed import concealed
from sfumato.imaging.codec.inside import embedded_images
from tests.second_images import INNER, PNG, chunk, segment

_Y, _X = np.mgrid[0:64, 0:64]
DRAWN = (((_X - 32) ** 2 + (_Y - 30) ** 2) // 9 % 256).astype(np.uint8)
WORDS = {
    "Chinese": "这是一张在北京拍摄的风景照片，当天的天气非常晴朗，远处的山脉清晰可见。我"
    "们沿着古老的城墙走了很久，看到许多游客在拍照留念。"
    "傍晚时分，夕阳把整座城市染成了金色，街边的小店陆续亮起了灯。后期处理仅调"
    "整了对比度和白平衡，没有进行任何裁剪。"
    "图片版权归作者所有，未经许可不得用于商业用途。如需授权请通过电子邮件联系"
    "我们的工作人员，我们会在三个工作日之内回复。"
    "本项目由国家自然科学基金资助，数据可供学术研究免费使用。",
    "Japanese": "この写真は京都の寺院で撮影されたものです。秋の紅葉がとても美しく、多くの"
    "観光客が訪れていました。"
    "朝早くから三脚を立てて光の変化を待ち、ようやく理想的な瞬間をとらえること"
    "ができました。現像ではコントラストと色温度だけを調整しています。"
    "著作権は撮影者に帰属し、無断での商用利用を禁じます。お問い合わせは電子メ"
    "ールでお願いいたします。帰り道に食べた蕎麦の味が忘れられません。",
    "Russian": "Эта фотография была сделана ранним утром на берегу Байкала, когда туман ещё не "
    "успел рассеяться. Мы шли вдоль кромки льда почти четыре часа, и только у дальнего мыса "
    "удалось поймать нужный свет. Обработка минимальная: выровнен горизонт, слегка поднята "
    "контрастность.",
    "Arabic": "التقطت هذه الصورة في الصباح الباكر على ساحل البحر قبل أن ينقشع الضباب تماما. "
    "انتظرنا ساعتين حتى وصل الضوء المناسب ثم عدنا سيرا على الأقدام إلى القرية القديمة.",
}


def _in_xmp(text: bytes) -> bytes:
    head = b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta><a:note>'
    return b"XML:com.adobe.xmp\0\0\0\0\0" + head + text + b"</a:note></x:xmpmeta>"


def _resources(size: int) -> bytes:
    """Photoshop's thumbnail in its uncoded form, as ImageMagick writes resources into a PNG."""
    image = np.random.default_rng(1).integers(0, 256, (size, size, 3), np.uint8).tobytes()
    head = struct.pack(">IIIIIIHH", 0, size, size, 3 * size, len(image), len(image), 24, 1)
    block = b"8BIM" + struct.pack(">H", 1036) + b"\0\0" + struct.pack(">I", len(head + image))
    raw = (block + head + image).hex().encode()
    lines = b"\n".join(raw[at : at + 72] for at in range(0, len(raw), 72))
    return b"\n8bim\n%8d\n" % (len(raw) // 2) + lines + b"\n"


TABLES = {
    "lists of lists": json.dumps(DRAWN.tolist()).encode(),
    "hexadecimal": b", ".join(b"0x%02x" % value for value in DRAWN.reshape(-1)),
    "entities": b"".join(b"&#%d;" % value for value in DRAWN.reshape(-1)),
    "parts of one": b" ".join(b"%.3f" % (value / 255) for value in DRAWN.reshape(-1)),
    "base85": base64.b85encode(zlib.compress(INNER) + INNER),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_tables_of_numbers_and_other_letters_are_no_text(name: str) -> None:
    for data in (
        segment(0xFE, TABLES[name][:60000]),
        chunk(b"tEXt", b"Comment\0" + TABLES[name]),
        chunk(b"iTXt", _in_xmp(TABLES[name])),
    ):
        found = embedded_images(data)
        assert found
        clean = codec.take_out(data, found)
        assert embedded_images(clean) == ()
        assert codec.difference(data, clean) == 0


@pytest.mark.parametrize("size", [20, 60])
def test_letters_between_tags_and_over_many_chunks_are_joined(size: int) -> None:
    letters = base64.b64encode(INNER)
    pieces = [letters[at : at + size] for at in range(0, len(letters), size)]
    items = b"".join(b"<rdf:li>%s</rdf:li>\n" % piece for piece in pieces)
    many = PNG
    for number, piece in enumerate(reversed(pieces)):
        many = chunk(b"tEXt", b"k%d\0" % number + piece, many)
    for data in (chunk(b"iTXt", _in_xmp(items)), many):
        found = embedded_images(data)
        assert INNER[:200] in {one.data[:200] for one in found if one.data is not None}
        assert embedded_images(codec.take_out(data, found)) == ()


def test_an_uncoded_thumbnail_of_photoshop_written_out_as_text_is_found() -> None:
    raw = b"Raw profile type 8bim\0\0" + zlib.compress(_resources(60))
    assert embedded_images(chunk(b"zTXt", raw))


def test_what_is_no_path_is_no_path_by_its_number() -> None:
    def resource(payload: bytes) -> bytes:
        size = struct.pack(">I", len(payload))
        block = b"8BIM" + struct.pack(">H", 2000) + b"\0\0" + size + payload
        return segment(0xED, b"Photoshop 3.0\0" + block)

    numbers = np.random.default_rng(2).integers(0, 256, (100, 24), np.uint8)
    path = b"".join(struct.pack(">H", at % 9) + row.tobytes() for at, row in enumerate(numbers))
    assert embedded_images(resource(path)) == ()
    assert embedded_images(resource(DRAWN.tobytes()))


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("language", WORDS)
def test_text_of_any_language_stays(language: str, times: int) -> None:
    text = WORDS[language] * times
    tags = b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 40092, 1, 0, 26) + bytes(4)
    wide = bytearray(tags + text.encode("utf-16-le") + b"\0\0")
    struct.pack_into("<I", wide, 14, len(wide) - 26)
    for data in (
        segment(0xFE, text.encode()),
        chunk(b"iTXt", b"Description\0\0\0\0\0" + text.encode()),
        segment(0xE1, b"Exif\0\0" + bytes(wide)),
    ):
        assert embedded_images(data) == ()


def test_bytes_that_decode_as_letters_are_no_words() -> None:
    middle = (0x4E + DRAWN.astype(int) % 0x40).astype(np.uint8).tobytes()  # Chinese, each pair
    assert middle.decode("utf-16-le").isalpha()
    assert embedded_images(segment(0xFE, middle))
    assert embedded_images(segment(0xFE, INNER.decode("latin-1").encode()[:60000]))


def test_short_intervals_that_the_frame_has_no_blocks_for() -> None:
    """Progressive, in intervals so short that none of them holds much by itself."""
    stream = io.BytesIO()
    tall = Image.fromarray(np.tile(DRAWN, (3, 2)))
    tall.save(stream, "JPEG", progressive=True, restart_marker_blocks=3, quality=85)
    data = bytearray(stream.getvalue())
    assert concealed(bytes(data)) == ()
    frame = data.index(b"\xff\xc2")
    struct.pack_into(">H", data, frame + 5, 64)
    assert concealed(bytes(data))


def _cmyk(channels: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]], kind: str) -> bytes:
    stream = io.BytesIO()
    image = Image.merge("CMYK", [Image.fromarray(one) for one in channels])
    image.save(stream, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_an_image_in_ink_under_black_is_a_view(kind: str) -> None:
    full = np.full_like(DRAWN, 255)
    for channels in ([full, full, full, DRAWN], [DRAWN, DRAWN, DRAWN, full]):
        image = codec.decode(_cmyk(channels, kind))
        assert image.frames[0].max() <= 12
        shown = [np.corrcoef(view[..., 0].ravel(), DRAWN.ravel())[0, 1] for view in image.views]
        assert max(abs(one) for one in shown) > 0.98
    empty = np.zeros_like(DRAWN)
    assert codec.decode(_cmyk([DRAWN, DRAWN // 2, empty, DRAWN // 4], kind)).views == ()


@pytest.mark.parametrize("header", [40, 108])
def test_a_byte_of_a_bmp_that_no_mask_takes_is_a_view(header: int) -> None:
    colours = np.dstack([np.full((64, 64, 3), 90, np.uint8), DRAWN])[::-1].tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0)
    rest = masks[:12] if header == 40 else masks + bytes(header - 56)
    start = 14 + header + (12 if header == 40 else 0)
    info = struct.pack("<IiiHHIIiiII", header, 64, 64, 1, 32, 3, len(colours), 0, 0, 0, 0)
    data = struct.pack("<2sIII", b"BM", start + len(colours), 0, start) + info + rest + colours
    views = codec.decode(data).views
    assert any(np.array_equal(view[..., 0], DRAWN) for view in views)


def test_grey_of_16_bits_with_alpha_is_read() -> None:
    grey = np.dstack([_X * 500, np.full_like(_X, 65535)]).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    data = PNG[:8] + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in (
            (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 16, 4, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows)),
            (b"IEND", b""),
        )
    )
    assert codec.decode(data).frames[0].shape == (64, 64, 3)


@pytest.mark.parametrize("number", [288, 301, 330, 532, 33922, 34736])
def test_pixels_under_the_number_of_a_table_are_no_table(number: int) -> None:
    kind = 12 if number > 33000 else 3
    pixels = np.tile(DRAWN, (1, 2)).tobytes()
    count = len(pixels) // (8 if kind == 12 else 2)
    data = b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", number, kind, count, 26) + bytes(4)
    assert embedded_images(segment(0xE1, b"Exif\0\0" + data + pixels))


def test_large_tables_stay() -> None:
    curve = np.arange(65536, dtype="<u2").tobytes()
    places = np.linspace(-180, 180, 600).astype("<f8").tobytes()
    for number, kind, count, value in ((33922, 12, 600, places), (301, 3, 65536, curve)):
        tags = struct.pack("<HHHII", 1, number, kind, count, 26) + bytes(4)
        data = b"II*\0\x08\0\0\0" + tags + value
        assert embedded_images(chunk(b"eXIf", data)) == ()
