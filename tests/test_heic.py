"""HEIC images are read with the extra, released as JPEG under another name, and accounted for."""

from __future__ import annotations

import hashlib
import io
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sfumato.errors import Code, SampleError
from sfumato.imaging import codec, jpeg
from sfumato.imaging.codec import heif, private_metadata
from sfumato.imaging.embedded.profile import clean_profile
from sfumato.obfuscation import Fill
from sfumato.sources.imagefolder import ImageFolder
from sfumato.sources.released_names import released_name
from tests.command import Done, sfumato
from tests.heic_files import PLAIN, PROFILED, TURNED, scene
from tests.profiles import SECRET, SRGB
from tests.test_metadata import encoded

pytest.importorskip("pi_heif")

RED = Fill(colour=(255, 0, 0), expand=0)
BOX = (8.0, 8.0, 40.0, 40.0)


def test_a_heic_is_read_like_any_other_image() -> None:
    header = codec.inspect(PLAIN)
    assert (header.format, header.upright_size, header.frames) == ("HEIC", (96, 64), 1)
    (frame,) = codec.decode(PLAIN).frames
    assert np.abs(frame.astype(int) - scene()).mean() < 3
    small = Image.open(io.BytesIO(codec.thumbnail(PLAIN, 48)))
    assert small.size == (48, 32)


def test_it_comes_upright() -> None:
    header = codec.inspect(TURNED)
    assert (header.upright_size, header.orientation) == ((64, 96), 1)
    (frame,) = codec.decode(TURNED).frames
    assert np.abs(frame.astype(int) - np.rot90(scene(), -1)).mean() < 3


@pytest.mark.parametrize("data", [PLAIN, TURNED, PROFILED])
@pytest.mark.parametrize("boxes", [(), (BOX,)])
def test_it_is_written_as_a_jpeg_without_metadata(
    data: bytes, boxes: tuple[tuple[float, float, float, float], ...]
) -> None:
    edited = codec.edit(data, boxes, RED, policy="keep-safe")
    assert edited.encoding == "reencoded"
    assert codec.inspect(edited.data).format == "JPEG"
    assert private_metadata(edited.data) == ()
    for secret in (b"Jane", SECRET, b"ownr"):
        assert secret not in edited.data
    before, after = (codec.decode(one).frames[0].astype(int) for one in (data, edited.data))
    change = np.abs(before - after)
    if boxes:
        assert np.abs(after[16:32, 16:32] - (255, 0, 0)).max() < 16
        change[:48, :48] = 0
    assert change.mean() < 2
    components = jpeg.inspect(edited.data, max_pixels=10_000).components
    assert {(one.h, one.v) for one in components} == {(1, 1)}


def test_its_profile_comes_along_cleaned() -> None:
    written = Image.open(io.BytesIO(codec.edit(PROFILED, [BOX], RED).data))
    assert written.info["icc_profile"] == clean_profile(written.info["icc_profile"])
    assert len(written.info["icc_profile"]) <= len(SRGB)


@pytest.mark.parametrize("cut", [20, 200, 700, len(PLAIN) - 100])
def test_a_damaged_one_is_refused(cut: int) -> None:
    with pytest.raises(SampleError) as refused:
        codec.decode(PLAIN[:cut])
    assert refused.value.code in (Code.IMAGE_DECODE, Code.IMAGE_UNRECOGNISED)


@pytest.mark.slow
def test_a_damaged_one_never_raises_anything_else_and_never_crashes() -> None:
    """Bytes behind the head changed at random; a crash of libheif would end the tests."""
    random = np.random.default_rng(7)
    for _ in range(250):
        data = bytearray((PLAIN, TURNED, PROFILED)[random.integers(3)])
        for at in random.integers(12, len(data), random.integers(1, 8)):
            data[at] = random.integers(256)
        with suppress(SampleError):
            codec.decode(bytes(data))


def test_a_large_one_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(SampleError) as refused:
        codec.decode(PLAIN, max_pixels=96 * 64 - 1)
    assert refused.value.code is Code.IMAGE_TOO_LARGE


def test_without_the_extra_it_is_refused_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heif, "find_spec", lambda name: None)
    (tmp_path / "a.heic").write_bytes(PLAIN)
    for use in (lambda: codec.decode(PLAIN), lambda: ImageFolder(tmp_path).sample("a.heic")):
        with pytest.raises(SampleError, match=r"pip install 'sfumato\[heif\]'") as refused:
            use()
        assert refused.value.code is Code.IMAGE_UNSUPPORTED


@pytest.mark.parametrize(
    ("key", "name"),
    [("a/IMG_1.heic", "a/IMG_1.heic.jpg"), ("b.HEIF", "b.HEIF.jpg"), ("c.hif", "c.hif.jpg"),
     ("d.jpg", "d.jpg"), ("heic", "heic"), ("a.b/heic", "a.b/heic"), ("e.heic.png", "e.heic.png")],
)  # fmt: skip
def test_a_heic_gets_a_name_of_its_own(key: str, name: str) -> None:
    assert released_name(key) == name


def test_names_that_would_be_wrong_in_the_release_are_refused(tmp_path: Path) -> None:
    files = {"a.heic": encoded("PNG"), "b.png": PLAIN, "c.webp": PLAIN}
    good = {"d.heic": encoded("JPEG"), "e.jpg": PLAIN, "f.JPEG": PLAIN, "g.heic": PLAIN}
    for key, data in {**files, **good}.items():
        (tmp_path / key).write_bytes(data)
    folder = ImageFolder(tmp_path)
    for key in files:
        with pytest.raises(SampleError, match="name") as refused:
            folder.sample(key)
        assert refused.value.code is Code.IMAGE_UNSUPPORTED
    for key, data in good.items():
        assert folder.sample(key).data == data


def put(root: Path) -> None:
    """One HEIC with a face, one without, one under a JPEG's name, and a plain image."""
    source = root / "src"
    (source / "phone").mkdir(parents=True)
    for key, data in {
        "phone/face.heic": PLAIN,
        "phone/none.HEIC": TURNED,
        "phone/sent.jpg": PROFILED,
        "plain.png": encoded("PNG"),
    }.items():
        (source / key).write_bytes(data)
    (root / "boxes.csv").write_text(
        "path,x0,y0,x1,y1\nphone/face.heic,8,8,40,40\nphone/none.HEIC,,,,\n"
        "phone/sent.jpg,,,,\nplain.png,,,,\n"
    )


def run(root: Path, *words: str) -> Done:
    boxes = ("--boxes", root / "boxes.csv", "--verify-detector", "yunet@160:0.95")
    return sfumato("run", root / "src", root / "out", *boxes, *words)


def manifest(root: Path) -> dict[str, dict[str, object]]:
    rows = pq.read_table(root / "out" / "manifest.parquet").to_pylist()
    return {row["path"]: row for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["faces", "all"])
def test_the_release_holds_jpegs_and_the_manifest_names_both(tmp_path: Path, policy: str) -> None:
    put(tmp_path)
    done = run(tmp_path, "--metadata", policy)
    assert done.code == 0, done.err + done.out
    rows = manifest(tmp_path)
    names = {key: row["path_out"] for key, row in rows.items()}
    assert names == {
        "phone/face.heic": "phone/face.heic.jpg",
        "phone/none.HEIC": "phone/none.HEIC.jpg",
        "phone/sent.jpg": None,
        "plain.png": None,
    }
    out = tmp_path / "out"
    for key, row in rows.items():
        written = (out / str(row["path_out"] or key)).read_bytes()
        assert row["sha256_out"] == hashlib.sha256(written).hexdigest()
        assert row["sha256_in"] == hashlib.sha256((tmp_path / "src" / key).read_bytes()).hexdigest()
        if key != "plain.png":
            assert row["encoding"] == "reencoded"
            assert codec.inspect(written).format == "JPEG"
            assert private_metadata(written) == ()
    assert rows["phone/face.heic"]["action"] == "obfuscated"
    assert rows["phone/none.HEIC"]["action"] == "copied"
    assert not (out / "phone/face.heic").exists()
    again = sfumato("verify", tmp_path / "src", out)
    assert again.code == 0, again.err + again.out


@pytest.mark.slow
def test_a_run_goes_on_and_mends_and_removes_by_the_name_in_the_release(tmp_path: Path) -> None:
    put(tmp_path)
    assert run(tmp_path, "--unlisted", "refuse").code == 0
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    (tmp_path / "out/phone/none.HEIC.jpg").unlink()
    assert run(tmp_path, "--unlisted", "refuse").code == 0
    assert before == {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    (tmp_path / "src/phone/face.heic").unlink()
    assert run(tmp_path, "--unlisted", "refuse").code == 0
    assert not (tmp_path / "out/phone/face.heic.jpg").exists()


@pytest.mark.slow
def test_what_is_there_as_it_should_be_is_not_made_again(tmp_path: Path) -> None:
    put(tmp_path)
    assert run(tmp_path).code == 0
    time.sleep(0.1)
    assert run(tmp_path).code == 0  # whose notes are of settled files
    there = {p: p.stat().st_ino for p in (tmp_path / "out/phone").iterdir()}
    assert run(tmp_path).code == 0
    assert there == {p: p.stat().st_ino for p in (tmp_path / "out/phone").iterdir()}


@pytest.mark.slow
def test_what_was_put_in_its_place_is_found(tmp_path: Path) -> None:
    put(tmp_path)
    assert run(tmp_path).code == 0
    (tmp_path / "out/phone/none.HEIC.jpg").write_bytes(encoded("JPEG"))
    assert sfumato("report", tmp_path / "out").code == 1  # which reads the files alone
    (tmp_path / "out/phone/none.HEIC.jpg").write_bytes(encoded("JPEG"))
    done = sfumato("verify", tmp_path / "src", tmp_path / "out")
    assert done.code == 1


@pytest.mark.slow
def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "src/phone/face.heic.jpg").write_bytes(encoded("JPEG"))
    with (tmp_path / "boxes.csv").open("a") as file:
        file.write("phone/face.heic.jpg,,,,\n")
    assert run(tmp_path).code == 3
    rows = manifest(tmp_path)
    assert rows["phone/face.heic"]["code"] == Code.NAME_TAKEN
    written = (tmp_path / "out/phone/face.heic.jpg").read_bytes()
    assert rows["phone/face.heic.jpg"]["sha256_out"] == hashlib.sha256(written).hexdigest()
    assert written == encoded("JPEG")


@pytest.mark.slow
def test_a_release_that_is_finished_is_not_made_again(tmp_path: Path) -> None:
    put(tmp_path)
    assert run(tmp_path).code == 0
    assert "4 done, 0 left" in run(tmp_path, "--dry-run").out
    there = tmp_path / "out/phone/none.HEIC.jpg"
    written = there.read_bytes()
    there.write_bytes(encoded("JPEG"))
    assert sfumato("report", tmp_path / "out").code == 1
    assert not (tmp_path / "out/manifest.parquet").exists()
    assert "3 done, 1 left" in run(tmp_path, "--dry-run").out
    assert run(tmp_path).code == 0
    assert there.read_bytes() == written
