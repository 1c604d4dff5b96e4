"""`--metadata`: what each policy leaves of edited files and of those without a face."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import sfumato as library
from sfumato.errors import Code
from sfumato.imaging import codec
from sfumato.imaging.codec import private_metadata
from sfumato.obfuscation import Gaussian
from sfumato.pipeline.driver import STAGES, run
from sfumato.sources.private import private_folder
from sfumato.types import Finding, Output, Sample
from sfumato.verification.checks import Checks, verify
from tests import dataset
from tests.command import Here, sfumato
from tests.dataset import BOX, WATCHER, Dataset
from tests.recipes import recipe
from tests.test_metadata import encoded
from tests.test_stripping import CAMERA, profile_in_bmp

WITH_FACE = "a/face.jpg"
PLAIN = ("b/plain.jpg", "b/plain.png", "b/plain.webp", "b/plain.tif", "b/plain.gif")
CLEAN = "b/clean.png"
STUCK = "b/stuck.bmp"  # its metadata can't be removed


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("policies")
    image = Image.fromarray(dataset.scene(np.random.default_rng(5)))
    for key in (WITH_FACE, *PLAIN, CLEAN, STUCK):
        path = root / "src" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        match path.suffix:
            case ".gif":
                image.save(path, comment=b"A. Person")
            case ".tif":
                image.save(path, tiffinfo={306: "2024:01:02 03:04:05", 315: "A. Person"})
            case ".bmp":
                path.write_bytes(profile_in_bmp())
            case _ if key == CLEAN:
                image.save(path)
            case _:
                image.save(path, exif=CAMERA, lossless=True)
    # The camera's EXIF turns its images.
    x0, y0, x1, y1 = BOX
    (root / "boxes.csv").write_text(f"path,x0,y0,x1,y1\n{WITH_FACE},{y0},{x0},{y1},{x1}\n")
    return Dataset(root, (WITH_FACE,), (*PLAIN, CLEAN, STUCK))


def command(data: Dataset, out: Path, *words: str, verb: str = "run") -> dict[str, object]:
    boxes = ("--boxes", data.boxes, "--verify-detector", WATCHER[0]) if verb == "run" else ()
    done = sfumato(verb, data.source, out, *boxes, "--json", *words)
    assert done.code in (0, 3), done.err
    summary: dict[str, object] = json.loads(done.out)
    return summary


def rows(out: Path) -> dict[str, tuple[str, str | None, str | None]]:
    table = pq.read_table(out / "manifest.parquet").to_pylist()
    return {row["path"]: (row["action"], row["encoding"], row["code"]) for row in table}


@pytest.mark.slow
def test_by_default_files_without_a_face_keep_every_byte(data: Dataset, tmp_path: Path) -> None:
    command(data, tmp_path / "out")
    made = rows(tmp_path / "out")
    assert made.pop(WITH_FACE) == ("obfuscated", "exact", None)
    assert set(made.values()) == {("copied", "identical", None)}
    for key in (*PLAIN, CLEAN, STUCK):
        assert (tmp_path / "out" / key).read_bytes() == (data.source / key).read_bytes()
    assert private_metadata((tmp_path / "out" / WITH_FACE).read_bytes()) == ()


@pytest.mark.slow
def test_all_takes_metadata_out_of_every_file_or_refuses_it(data: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = command(data, out, "--metadata", "all")
    assert rows(out) == {
        WITH_FACE: ("obfuscated", "exact", None),
        **dict.fromkeys(PLAIN, ("copied", "exact", None)),
        CLEAN: ("copied", "identical", None),
        STUCK: ("refused", None, "IMAGE_UNSUPPORTED"),
    }
    assert not (out / STUCK).exists()
    for key in PLAIN:
        before, after = ((root / key).read_bytes() for root in (data.source, out))
        assert b"Person" in before
        assert b"Person" not in after
        np.testing.assert_array_equal(codec.decode(after).frames[0], codec.decode(before).frames[0])
    assert summary["encodings"] == {"exact": 6, "identical": 1}
    assert summary["findings"]["VERIFY_METADATA"] == {"passed": 7, "failed": 0}  # type: ignore[index]
    assert summary["findings"]["VERIFY_PIXELS_CHANGED"] == {"passed": 6, "failed": 0}  # type: ignore[index]
    again = command(data, out, verb="verify")
    assert again["verdict"] == "refused"
    assert again["findings"] == summary["findings"]


@pytest.mark.slow
def test_keep_safe_keeps_date_camera_and_copyright(data: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command(data, out, "--metadata", "keep-safe")
    written = (out / WITH_FACE).read_bytes()
    for kept in (b"Maker", b"Model 1", b"2024:01:02 03:04:05", b"(c) Annabel"):
        assert kept in written
    for gone in (b"Person", b"secrets"):
        assert gone not in written
    for key in (*PLAIN, CLEAN, STUCK):
        assert (out / key).read_bytes() == (data.source / key).read_bytes()
    command(data, out, verb="verify")


@pytest.mark.slow
def test_the_policy_comes_from_a_file_a_variable_or_a_call(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('metadata = "all"\n')
    words = ("run", data.source, tmp_path / "out", "--boxes", data.boxes, "--dry-run")
    assert sfumato(*words, "--config", settings).code == 0
    settings.write_text('metadata = "some"\n')
    assert sfumato(*words, "--config", settings).code == 2
    assert sfumato(*words, env={"SFUMATO_RUN_METADATA": "some"}).code == 2
    assert "'some'" in sfumato(*words, env={"SFUMATO_RUN_METADATA": "some"}).err
    chosen = replace(data.settings(), metadata="all")
    monkeypatch.setattr("sfumato.api.Local", lambda workers: Here())
    report = library.run(data.source, tmp_path / "called", settings=chosen, workers=1)
    assert report.summary()["encodings"] == {"exact": 6, "identical": 1}


@pytest.mark.slow
def test_another_policy_is_another_release(data: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command(data, out)
    words = ("run", data.source, out, "--boxes", data.boxes, "--verify-detector", WATCHER[0])
    done = sfumato(*words, "--metadata", "all")
    assert done.code == 2
    assert "obfuscate.metadata" in done.err
    assert sfumato(*words, "--metadata", "all", "--overwrite").code == 3
    assert b"Person" not in (out / PLAIN[0]).read_bytes()


@pytest.mark.slow
def test_detect_and_obfuscate_make_the_same_as_run(data: Dataset, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    command(data, whole, "--metadata", "all")
    ledger = tmp_path / "faces.sqlite"
    found = ("--boxes", data.boxes, "--ledger", ledger)
    assert sfumato("detect", data.source, *found).code in (0, 3)
    detections = ("--detections", str(ledger))
    command(data, parts, "--metadata", "all", *detections, verb="obfuscate")
    assert rows(parts) == rows(whole)
    for key in PLAIN:
        assert (parts / key).read_bytes() == (whole / key).read_bytes()


# --- what verification proves -------------------------------------------------------------------


def checked(
    before: bytes, after: bytes, *, encoding: str = "exact", policy: str = "all"
) -> dict[Code, Finding]:
    """Check a copied image as if `after` was what a stage said that it had written."""
    digest, written = (hashlib.sha256(data).hexdigest() for data in (before, after))
    output = Output("a", digest, written, "copied", encoding, "", ())  # type: ignore[arg-type]
    sample = Sample("a", "", before, digest)
    checks = Checks(recipe(metadata=policy), Gaussian(), [])
    return {finding.code: finding for finding in verify(sample, None, after, output, checks)}


def failed(found: dict[Code, Finding]) -> set[Code]:
    return {code for code, finding in found.items() if not finding.passed}


PRIVATE_JPEG = encoded("JPEG", exif=CAMERA)
STRIPPED = codec.strip(PRIVATE_JPEG)


def test_a_stripped_file_passes_for_its_pixels_not_its_bytes() -> None:
    found = checked(PRIVATE_JPEG, STRIPPED)
    assert failed(found) == set()
    assert set(found) == {
        Code.VERIFY_BYTES_CHANGED,
        Code.VERIFY_METADATA,
        Code.VERIFY_PIXELS_CHANGED,
    }


@pytest.mark.parametrize("policy", ["faces", "keep-safe"])
def test_under_other_policies_a_copied_file_must_keep_its_bytes(policy: str) -> None:
    assert Code.VERIFY_BYTES_CHANGED in failed(checked(PRIVATE_JPEG, STRIPPED, policy=policy))


def test_what_claims_to_be_identical_must_be() -> None:
    found = checked(PRIVATE_JPEG, STRIPPED, encoding="identical")
    assert Code.VERIFY_BYTES_CHANGED in failed(found)


def test_under_all_an_untouched_file_with_metadata_fails() -> None:
    found = checked(PRIVATE_JPEG, PRIVATE_JPEG, encoding="identical")
    assert failed(found) == {Code.VERIFY_METADATA}


@contextmanager
def reopened(data: bytes) -> Iterator[Image.Image]:
    with Image.open(io.BytesIO(data)) as image:
        yield image


def test_a_stripped_file_that_was_encoded_again_fails() -> None:
    out = io.BytesIO()
    with reopened(PRIVATE_JPEG) as image:
        image.convert("RGB").save(out, "JPEG", quality=90, exif=b"")
    found = checked(PRIVATE_JPEG, out.getvalue())
    assert failed(found) == {Code.VERIFY_PIXELS_CHANGED}


def test_a_stripped_file_that_lost_its_turn_or_profile_fails() -> None:
    with reopened(STRIPPED) as image:
        assert image.getexif()[0x0112] == 6
    bare = encoded("JPEG")
    found = checked(PRIVATE_JPEG, bare)
    assert failed(found) == {Code.VERIFY_PIXELS_CHANGED}
    assert "turn" in found[Code.VERIFY_PIXELS_CHANGED].detail
    from tests.test_metadata import SRGB

    assert failed(checked(encoded("JPEG", icc_profile=SRGB), bare)) == {Code.VERIFY_PIXELS_CHANGED}


def test_a_stripped_file_that_is_cut_off_fails() -> None:
    assert Code.VERIFY_UNREADABLE in failed(checked(PRIVATE_JPEG, STRIPPED[:-200]))


@pytest.mark.slow
def test_a_stripped_release_is_checked_as_it_lies_there(data: Dataset, tmp_path: Path) -> None:
    """Of files changed later the bytes speak first; with a new look at pixels and metadata."""
    out = tmp_path / "out"
    chosen = replace(data.settings(), metadata="all")
    job = replace(
        data.job(out), recipe=chosen.recipe(), ledger=private_folder(out) / "ledger.sqlite"
    )
    assert run(job, STAGES, Here()).verdict == "refused"
    key = "b/plain.png"
    (out / key).write_bytes((data.source / key).read_bytes())
    done = sfumato("verify", data.source, out)
    assert done.code == 1
    assert f"VERIFY_BYTES_CHANGED {key}" in done.err
    assert f"VERIFY_METADATA {key}" in done.err
