"""Small files that would keep a machine busy: refused by name, or worked on within bounds."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.annotations import box_files, cvat, documents, groups_csv, label_studio, voc
from sfumato.boxes import MOST_BOXES
from sfumato.detection.detect import FRAMES, detect, find
from sfumato.detection.step import believe
from sfumato.errors import Code, SampleError, UsageError
from sfumato.imaging import codec
from sfumato.imaging.codec import chunks, costs
from sfumato.imaging.jpeg import markers
from sfumato.ledger.ledger import Ledger
from sfumato.obfuscation import Gaussian
from sfumato.pipeline.driver import STAGES, Job, run
from sfumato.pipeline.settings import Settings
from sfumato.study import configuration
from sfumato.types import Detection, Face, Pixels, Sample
from tests import dataset
from tests.command import Here, sfumato
from tests.dataset import BOX, SIDE, WATCHER, Dataset, scene


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset.make(tmp_path, count=1)


def encoded(kind: str, pixels: Pixels | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    image = scene(np.random.default_rng(2)) if pixels is None else pixels
    Image.fromarray(image).save(out, kind, **options)
    return out.getvalue()


def refusal(data: bytes) -> SampleError:
    with pytest.raises(SampleError) as caught:
        codec.decode(data)
    return caught.value


# --- JPEG ---------------------------------------------------------------------------------------


def before_the_scan(part: bytes) -> bytes:
    data = encoded("JPEG")
    at = data.index(b"\xff\xda")
    return data[:at] + part + data[at:]


def behind_the_start(part: bytes) -> bytes:
    data = encoded("JPEG")
    return data[:2] + part + data[2:]


EMPTY = costs.SEGMENTS + 1


@pytest.mark.parametrize("flooded", [behind_the_start, before_the_scan])
@pytest.mark.parametrize(
    "part",
    [
        b"\xff\xe5\0\2",
        b"\xff\xfe\0\2",
        b"\xff\xe1\0\x08Exif\0\0",
        b"\xff\xe2\0\x10ICC_PROFILE\0\1\1",
        b"\xff\xdb\0\2",
        b"\xff\x01",
        b"\xff\xd0",
    ],
)
def test_a_jpeg_of_endless_segments_is_refused(
    flooded: Callable[[bytes], bytes], part: bytes
) -> None:
    error = refusal(flooded(part * EMPTY))
    assert error.code == Code.IMAGE_UNSUPPORTED
    assert "more than 10000 segments" in error.reason


def test_a_flood_is_told_by_few_of_its_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is counted, not timed: nobody walks what the guard has seen."""
    flood = behind_the_start(b"\xff\xe5\0\2" * 300_000)
    seen = 0
    walk = chunks.jpeg_segments

    def counting(data: bytes) -> object:
        nonlocal seen
        for one in walk(data):
            seen += 1
            yield one

    monkeypatch.setattr(chunks, "jpeg_segments", counting)
    assert refusal(flood).code == Code.IMAGE_UNSUPPORTED
    assert seen <= costs.SEGMENTS + 2


def test_many_segments_are_fine_and_are_edited() -> None:
    data = behind_the_start(b"\xff\xfe\0\2" * 5_000)
    edited = codec.edit(data, [BOX], Gaussian())
    assert len(edited.data) < len(data) - 15_000


@pytest.mark.parametrize("filler", [b"\xff", b"\0", b"\xff\0"])
def test_endless_bytes_between_segments_are_refused(filler: bytes) -> None:
    at = encoded("JPEG").index(b"\xff\xdb")
    data = encoded("JPEG")
    big = data[:at] + filler * (costs.STRAY_BYTES // len(filler) + 9) + data[at:]
    assert refusal(big).code == Code.IMAGE_UNSUPPORTED
    few = data[:at] + filler * 20 + data[at:]
    assert codec.decode(few).header.format == "JPEG"


@pytest.mark.slow
def test_segments_behind_the_scan_stop_the_editor_and_nobody_else() -> None:
    data = encoded("JPEG")
    flood = data[:-2] + b"\xff\xfe\0\2" * (markers.MOST_SEGMENTS + 1) + data[-2:]
    assert codec.decode(flood).header.frames == 1
    with pytest.raises(SampleError, match="more than 20000 segments"):
        codec.edit(flood, [BOX], Gaussian())


def crumbs(kind: str) -> bytes:
    """Return an image with 30,000 parts that hold a byte or nothing."""
    data = encoded(kind)
    if kind == "PNG":
        return data[:33] + chunks.png_chunk(b"prVt", b"") * 30_000 + data[33:]
    if kind == "GIF":
        return data[:-1] + b"!\xfe" + b"\1a" * 30_000 + b"\0;"
    if kind == "JPEG":
        block = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0".ljust(60_000, b"\0")
        return data[:2] + (b"\xff\xe1" + struct.pack(">H", 2 + len(block)) + block) * 40 + data[2:]
    body = data[8:] + b"abcd\0\0\0\0" * 30_000
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "JPEG"])
def test_parts_without_end_that_hold_nothing_are_refused(kind: str) -> None:
    with pytest.raises(SampleError, match=r"parts with next to nothing|bytes of EXIF") as error:
        codec.decode(crumbs(kind))
    assert error.value.code is Code.IMAGE_UNSUPPORTED
    codec.decode(encoded(kind))


def test_a_tiff_of_too_many_strips_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "STRIPS", 0)
    with pytest.raises(SampleError, match="strips") as error:
        codec.decode(encoded("TIFF"))
    assert error.value.code is Code.IMAGE_UNSUPPORTED


def test_scans_are_counted_against_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("JPEG", progressive=True)
    scans, pixels = data.count(b"\xff\xda"), SIDE[0] * SIDE[1]
    monkeypatch.setattr(costs, "SCANNED_PIXELS", scans * pixels)
    assert codec.decode(data).header.frames == 1
    monkeypatch.setattr(costs, "SCANNED_PIXELS", scans * pixels - 1)
    assert refusal(data).code == Code.IMAGE_TOO_LARGE
    # A baseline file has one scan, whatever its metadata hold.
    codec.decode(behind_the_start(b"\xff\xfe\0\x0a" + b"\xff\xda" * 4))


# --- canvases -----------------------------------------------------------------------------------


def hollow_gif(width: int, height: int, count: int = 1) -> bytes:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    head = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0\0\0\0\xff\xff\xff"
    return head + frame * count + b";"


def hollow_png(width: int, height: int, colour: int = 2) -> bytes:
    def chunk(name: bytes, payload: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + payload))
        return struct.pack(">I", len(payload)) + name + payload + check

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)  # the rest is missing: it must not come to that
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def hollow_bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 2, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1080, 0, 0, 1078) + head + b"\0" * 1024 + b"\0\1"


def hollow_tiff(width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: height, 279: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0\x10\0\0\0" + b"x" * 8 + struct.pack("<H", len(tags)) + entries + b"\0" * 4


@pytest.mark.parametrize("make", [hollow_gif, hollow_png, hollow_bmp, hollow_tiff])
@pytest.mark.parametrize("read", [codec.inspect, codec.decode])
def test_a_canvas_that_the_file_cant_draw_is_refused_by_its_header(
    make: Callable[[int, int], bytes], read: Callable[[bytes], object]
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(SampleError) as caught:
            read(make(13_000, 13_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (caught.value.code, peak < 2e6) == (Code.IMAGE_TOO_LARGE, True)
    assert "169000000 pixels in" in caught.value.reason


def test_up_to_a_size_a_image_may_be_as_empty_as_it_likes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blank = encoded("PNG", np.zeros((500, 500, 3), np.uint8))
    monkeypatch.setattr(costs, "FREE_PIXELS", 250_000)
    assert codec.decode(blank).frames[0].shape == (500, 500, 3)
    monkeypatch.setattr(costs, "FREE_PIXELS", 249_999)
    assert refusal(blank).code == Code.IMAGE_TOO_LARGE
    full = encoded("PNG", np.random.default_rng(0).integers(0, 255, (500, 500, 3), np.uint8))
    assert codec.decode(full).frames[0].shape == (500, 500, 3)


def test_a_later_page_may_not_be_hollow_either(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    pages = [Image.new("L", (8, 8)), Image.new("L", (900, 900))]
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    assert codec.decode(out.getvalue()).header.frames == 2
    monkeypatch.setattr(costs, "FREE_PIXELS", 100_000)
    assert refusal(out.getvalue()).code == Code.IMAGE_TOO_LARGE


def test_a_film_whose_frames_are_few_bytes_apart_is_no_hollow_canvas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(costs, "FREE_PIXELS", 200_000)
    assert codec.decode(hollow_gif(400, 400, 30)).header.frames == 30


# --- frames -------------------------------------------------------------------------------------


@dataclass
class Counter:
    """A detector that counts what it is shown."""

    shown: list[int] = field(default_factory=list)
    name: str = "counter-1"

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        self.shown.append(len(images))
        face = Face((1, 1, 5, 5), 0.5, self.name)
        return [[face] if image.max() > 150 else [] for image in images]


def film(count: int, kind: str) -> bytes:
    frames = [Image.new("RGB", (16, 16), (n, 2 * n % 256, 255 - n)) for n in range(count)]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], lossless=True, duration=20)
    return out.getvalue()


def still(data: bytes) -> Sample:
    return Sample("film", "", data, "")


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_a_film_of_too_many_frames_is_refused_before_any_is_searched(kind: str) -> None:
    data = film(FRAMES + 1, kind=kind)
    counter, image = Counter(), codec.decode(data)
    words = f"{FRAMES + 1} frames, of which more than {FRAMES} differ"
    with pytest.raises(SampleError, match=words) as caught:
        detect(still(data), image, [counter])
    with pytest.raises(SampleError, match=words):
        find(image, [counter])
    assert caught.value.code == Code.IMAGE_TOO_LARGE
    assert counter.shown == []


def test_frames_that_repeat_are_searched_once_and_say_the_same() -> None:
    frames = tuple(np.full((16, 16, 3), 40 * (n % 5), np.uint8) for n in range(3 * FRAMES))
    image = replace(codec.decode(encoded("PNG")), frames=frames)
    counter = Counter()
    found = detect(still(b""), image, [counter])
    assert counter.shown == [5]
    assert found == detect(still(b""), replace(image, frames=frames[:5]), [counter])
    assert find(image, [counter]) == list(found.faces)


def test_a_run_names_the_film(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "film.gif").write_bytes(film(FRAMES + 20, kind="GIF"))
    done = sfumato("run", tmp_path / "src", tmp_path / "out", "--detector", "yunet@160:0.9", "-q")
    assert done.code == 3
    assert not (tmp_path / "out" / "film.gif").exists()


def test_pages_without_end_are_refused() -> None:
    count = chunks.MAX_PAGES + 1
    pages = b"".join(struct.pack("<HI", 0, 8 + 6 * n) for n in range(1, count + 1))
    assert refusal(b"II*\0\x08\0\0\0" + pages).code == Code.IMAGE_DECODE
    assert refusal(hollow_gif(1, 1, chunks.MAX_PAGES + 1)).code == Code.IMAGE_TOO_LARGE


# --- boxes --------------------------------------------------------------------------------------


def many(count: int) -> list[Face]:
    return [Face((i % 100, i % 50, i % 100 + 9, i % 50 + 9), 1.0, "file") for i in range(count)]


@pytest.mark.slow
def test_an_image_of_too_many_boxes_is_refused_by_name(data: Dataset) -> None:
    key, *others = data.with_face
    found = [Detection(key, "", *SIDE, tuple(many(MOST_BOXES + 1)))]
    found += [Detection(one, "", *SIDE, (Face(BOX, 1.0, "file"),)) for one in others]
    path = data.root / "many.csv"
    box_files.save(path, found, layout="csv")
    chosen = Settings(boxes=path, verify_detectors=WATCHER)
    job: Job = replace(data.job(), recipe=chosen.recipe(), boxes=path)
    report = run(job, STAGES, Here())
    assert [(f.key, f.code) for f in report.refused] == [(key, Code.BOXES_MISSING)]
    assert "2001 boxes" in report.refused[0].reason
    with Ledger(job.ledger, read_only=True) as ledger:
        given = ledger.imported(job.recipe.detect.boxes, [key])
    assert given[key].faces == ()  # nobody reads them again and again


def test_decisions_may_not_have_more_either() -> None:
    believe(many(MOST_BOXES), SIDE)
    with pytest.raises(SampleError, match="at most 2000 are covered"):
        believe(many(MOST_BOXES + 1), SIDE)


# --- documents ----------------------------------------------------------------------------------

DEEP = 20_000
TOML = {
    "brackets": "x = " + "[" * DEEP + "]" * DEEP,
    "tables": "x = " + "{a=" * DEEP + "1" + "}" * DEEP,
    "open": "x = " + "[" * DEEP,
    "dots": "\n".join(".".join(f"a{k}_{d}" for d in range(500)) + " = 1" for k in range(30)),
    "one key": ".".join("a" * 100_000) + " = 1",
    "header": "[" + ".".join("a" * 100_000) + "]",
    "inline": "x = {" + ".".join("a" * 10_000) + " = 1}",
    "digits": "x = " + "9" * 10_000,
    "long": "x = 1 #" + "." * (1 << 20),
    "bytes": "x = '\udcff'",
}


@pytest.mark.parametrize("name", TOML)
def test_toml_beyond_limits_is_a_sentence_everywhere(name: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(TOML[name], encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=r"\w"):
        documents.read_toml(path)
    (tmp_path / "src").mkdir()
    with pytest.raises(UsageError, match=r"study\.toml"):
        configuration.load(tmp_path)
    verbs: list[tuple[str | Path, ...]] = [
        ("run", tmp_path / "src", tmp_path / "out", "--config", path),
        ("detect", tmp_path / "src", "--detector", f"onnx:{path}"),
    ]
    for words in verbs:
        done = sfumato(*words)
        assert (done.code, "Traceback" in done.err) == (2, False), done.err
        assert "study.toml" in done.err
        assert len(done.err) < 2_000
    assert not (tmp_path / "out").exists()


def test_settings_within_limits_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    text = "# " + "." * 3_000 + "\nx = '" + "a.b" * 60 + "'\n" + "a." * 150 + "z = [[[[1]]]]\n"
    path.write_text(text)
    assert documents.read_toml(path)["x"].count(".") == 60


def test_a_config_of_endless_unknown_keys_names_a_few(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("".join(f"key{n} = 1\n" for n in range(10_000)))
    done = sfumato("run", tmp_path, tmp_path / "out", "--config", path)
    assert done.code == 2
    assert len(done.err) < 3_000


JSON = {
    "brackets": "[" * DEEP + "]" * DEEP,
    "objects": '{"images": ' * DEEP,
    "inside": '{"images": [], "annotations": ' + "[" * DEEP + "]" * DEEP + "}",
    "image": '{"annotations": [], "images": [' + '{"a":' * DEEP + "1" + "}" * DEEP + "]}",
    "digits": '{"images": [{"id": ' + "9" * 10_000 + ', "file_name": "a"}], "annotations": []}',
    "princeton": '[{"url": "a", "bboxes": ' + "[" * DEEP + "]" * DEEP + "}]",
    "name": json.dumps({"images": [{"id": 1, "file_name": "a/" * 50_000}], "annotations": []}),
    "url": json.dumps([{"url": "a/" * 50_000, "bboxes": []}]),
}


@pytest.mark.parametrize("name", JSON)
def test_json_beyond_limits_is_a_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(JSON[name])
    with pytest.raises(UsageError, match=r"boxes\.json"):
        box_files.load(path)
    (tmp_path / "src").mkdir()
    dataset.make(tmp_path, count=1)
    done = sfumato("run", tmp_path / "src", tmp_path / "out", "--boxes", path)
    assert (done.code, "Traceback" in done.err) == (2, False)
    with pytest.raises(UsageError, match=r"boxes\.json"):
        list(label_studio.read(path))


def test_numbers_without_end_take_their_image_out(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text('[{"url": "a", "bboxes": [{"x0": 1, "y0": 1, "x1": 1e999, "y1": 9}]}]')
    assert "isn't finite" in box_files.load(path).problems["a"]
    with pytest.raises(ValueError, match="nest too deeply"):
        documents.parse_json("[" * DEEP)


def xml(body: str, folder: Path) -> Path:
    path = folder / "a.xml"
    path.write_text(body)
    return path


ENTITIES = (
    '<!DOCTYPE a [<!ENTITY a0 "aaaaaaaaaa">'
    + "".join(f'<!ENTITY a{n} "' + f"&a{n - 1};" * 10 + '">' for n in range(1, 10))
    + "]>"
)


def test_xml_that_swells_or_nests_is_refused(tmp_path: Path) -> None:
    for root, read in (("annotations", lambda p: list(cvat.read(p))), ("annotation", voc.read)):
        with pytest.raises(UsageError, match="no document type"):
            read(xml(f"{ENTITIES}<{root}>&a9;</{root}>", tmp_path))
    deep = "<annotation>" + "<a>" * 100_000 + "</a>" * 100_000 + "</annotation>"
    with pytest.raises(UsageError, match="nest less deeply"):
        voc.read(xml(deep, tmp_path))
    side = f'<annotations><image name="a" width="{"9" * 10_000}" height="9"/></annotations>'
    with pytest.raises(UsageError, match="width of the image"):
        list(cvat.read(xml(side, tmp_path)))
    name = f'<annotations><image name="{"a/" * 50_000}" width="9" height="9"/></annotations>'
    with pytest.raises(UsageError, match="at most 4096 characters"):
        list(cvat.read(xml(name, tmp_path)))


def test_text_of_many_lines_is_gathered_once(tmp_path: Path) -> None:
    lines = "x\n" * 300_000  # piece by piece, each joined to all before it, this takes minutes
    text = f"<annotation><filename>a.jpg</filename><comment>{lines}</comment></annotation>"
    assert voc.read(xml(text, tmp_path)).name == "a.jpg"


def test_tables_of_one_endless_line_are_sentences(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("path,x0,y0,x1,y1\n" + "a" * 1_000_000 + ",1,2,3,4\n")
    with pytest.raises(UsageError, match="a row of CSV"):
        box_files.load(path)
    path.write_text("path,x0,y0,x1,y1\na" + ",1" * 300_000 + "\n")
    with pytest.raises(UsageError, match="5 cells as in the header"):
        box_files.load(path)
    path.write_text("path," + ",".join(f"c{n}" for n in range(100_000)) + ",c1\n")
    with pytest.raises(UsageError, match="one column c1, got 2"):
        groups_csv.read(path)


# --- all of it, in a process that may not have more --------------------------------------------

LIMITED = """
import resource, sys
limit = {memory}
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
from sfumato.imaging import codec
from sfumato.errors import SampleError
for path in sys.argv[1:]:
    try:
        codec.decode(open(path, "rb").read())
        print("read")
    except SampleError as error:
        print(error.code)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_hostile_files_are_refused_in_little_memory_and_time(tmp_path: Path) -> None:
    files: dict[str, tuple[bytes, str]] = {
        "flood.jpg": (behind_the_start(b"\xff\xe5\0\2" * 1_000_000), "IMAGE_UNSUPPORTED"),
        "canvas.gif": (hollow_gif(13_000, 13_000), "IMAGE_TOO_LARGE"),
        "canvas.png": (hollow_png(13_000, 13_000), "IMAGE_TOO_LARGE"),
        "films.gif": (hollow_gif(1, 1, 100_000), "IMAGE_UNSUPPORTED"),
        "comments.gif": (
            hollow_gif(8, 8)[:19] + b"\x21\xfe\0" * 300_000 + hollow_gif(8, 8)[19:],
            "read",
        ),
        "fill.jpg": (behind_the_start(b"\xff" * 3_000_000), "IMAGE_UNSUPPORTED"),
        "sound.jpg": (encoded("JPEG"), "read"),
    }
    paths = []
    for name, (made, _) in files.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(made)
    program = LIMITED.format(memory=1 << 30)
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [outcome for _, outcome in files.values()]
