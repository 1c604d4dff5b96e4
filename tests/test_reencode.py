"""`--on-unsupported reencode`: said in the manifest and on both report pages, never silent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sfumato.errors import Code, SampleError
from sfumato.imaging import codec, jpeg
from sfumato.sources.private import private_folder
from tests import dataset
from tests.command import Done, sfumato
from tests.dataset import BOX, WATCHER

FACE, PLAIN = "a/arithmetic.jpg", "a/usual.jpg"


def as_arithmetic(data: bytes, folder: Path) -> bytes:
    """Code a JPEG file anew by arithmetic coding, which Pillow reads and can't write."""
    if shutil.which("jpegtran") is None:
        pytest.skip("jpegtran is not installed (Debian package libjpeg-turbo-progs)")
    (folder / "huffman.jpg").write_bytes(data)
    command = ["jpegtran", "-arithmetic", str(folder / "huffman.jpg")]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    (folder / "a").mkdir(parents=True)
    image = Image.fromarray(dataset.scene(np.random.default_rng(5)))
    image.save(folder / PLAIN, quality=90)
    (folder / FACE).write_bytes(as_arithmetic((folder / PLAIN).read_bytes(), tmp_path))
    boxes = "".join(f"{key},{','.join(map(str, BOX))}\n" for key in (FACE, PLAIN))
    (tmp_path / "boxes.csv").write_text(f"path,x0,y0,x1,y1\n{boxes}")
    return folder


def run(source: Path, *words: str) -> Done:
    boxes = source.with_name("boxes.csv")
    given = ("--boxes", boxes, "--verify-detector", WATCHER[0])
    return sfumato("run", source, source.with_name("out"), *given, "--json", *words)


def manifest(source: Path) -> dict[str, tuple[str, str | None, str | None]]:
    rows = pq.read_table(source.with_name("out") / "manifest.parquet").to_pylist()
    return {row["path"]: (row["action"], row["encoding"], row["code"]) for row in rows}


@pytest.mark.slow
def test_by_default_it_is_refused_by_name(source: Path) -> None:
    assert run(source).code == 3
    assert manifest(source)[FACE] == ("refused", None, "IMAGE_UNSUPPORTED")
    assert not (source.with_name("out") / FACE).exists()
    assert "arithmetic coding" in (
        private_folder(source.with_name("out")) / "report.html"
    ).read_text(encoding="utf-8")


@pytest.mark.slow
def test_on_request_it_is_written_anew_and_both_pages_say_so(source: Path) -> None:
    done = run(source, "--on-unsupported", "reencode")
    assert done.code == 0, done.err
    assert manifest(source) == {
        FACE: ("obfuscated", "reencoded", None),
        PLAIN: ("obfuscated", "exact", None),
    }
    out = source.with_name("out")
    assert json.loads(done.out)["encodings"] == {"exact": 1, "reencoded": 1}
    for page in (out / "report.html", private_folder(out) / "report.html"):
        text = re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8"))
        assert re.search(r"reencoded\s+A JPEG or another lossy file.*faces too\.\s+1\b", text)
        assert re.search(r"1 file was encoded again", text)
    written = (out / FACE).read_bytes()
    assert 0xC0 in jpeg.inspect(written, max_pixels=10**6).markers  # Huffman coding now
    before, after = (
        codec.decode(data).frames[0] for data in ((source / FACE).read_bytes(), written)
    )
    away = np.ones(before.shape[:2], dtype=bool)
    away[10:, 20:100] = False
    assert 0 < np.abs(before[away].astype(int) - after[away]).mean() < 6  # a loss, as it says
    assert sfumato("verify", source, out).code == 0


@pytest.mark.slow
def test_where_nothing_was_encoded_again_no_page_speaks_of_it(source: Path) -> None:
    run(source)
    for folder in (source.with_name("out"), private_folder(source.with_name("out"))):
        assert "encoded again, with" not in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("marker", "bits", "words"),
    [
        (0xC1, 12, "12 bits"),
        (0xC3, 8, "lossless"),
        (0xC5, 8, "hierarchical"),
    ],
)
def test_what_no_reader_can_decode_is_refused_all_the_same(
    marker: int, bits: int, words: str, tmp_path: Path
) -> None:
    Image.fromarray(dataset.scene(np.random.default_rng(5))).save(tmp_path / "a.jpg")
    forged = bytearray((tmp_path / "a.jpg").read_bytes())
    at = forged.index(b"\xff\xc0")
    forged[at + 1], forged[at + 4] = marker, bits
    for call in (codec.inspect, codec.decode):
        with pytest.raises(SampleError) as caught:
            call(bytes(forged))
        assert caught.value.code == Code.IMAGE_UNSUPPORTED
        assert words in caught.value.reason
    source = tmp_path / "src"
    source.mkdir()
    (source / "a.jpg").write_bytes(forged)
    (tmp_path / "boxes.csv").write_text(f"path,x0,y0,x1,y1\na.jpg,{','.join(map(str, BOX))}\n")
    assert run(source, "--on-unsupported", "reencode").code == 3
    assert manifest(source) == {"a.jpg": ("refused", None, "IMAGE_UNSUPPORTED")}
