"""What people decided goes before what was found, for exactly the bytes that they looked at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sfumato.errors import Code
from sfumato.imaging import codec
from sfumato.ledger.adoption import adopt
from sfumato.ledger.ledger import Ledger
from sfumato.ledger.records import recipe_from
from sfumato.obfuscation import Gaussian
from sfumato.obfuscation.step import Faces, rejected, release
from sfumato.pipeline.driver import STAGES, Job, run, search
from sfumato.release.report.review import Changes, of_image
from sfumato.sources.private import private_folder
from sfumato.types import Assessment, Decision, Detection, Face, Output
from sfumato.verification.checks import Checks, verify
from tests import dataset
from tests.command import Here
from tests.dataset import BOX, Dataset
from tests.recipes import recipe
from tests.test_release import ELSEWHERE, FOUND, Memory, Watcher, cover, sample

DRAWN = Face((4.0, 4.0, 24.0, 28.0), 1.0, "human:r1")


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset.make(tmp_path, count=1)


def required(job: Job) -> Job:
    step = replace(job.recipe.obfuscate, require_review=True)
    return replace(job, recipe=replace(job.recipe, obfuscate=step))


def decide(data: Dataset, key: str, faces: Sequence[Face], ledger: Path | None = None) -> Decision:
    digest = hashlib.sha256((data.source / key).read_bytes()).hexdigest()
    decision = Decision(key, digest, tuple(faces), "merged", ("r1", "r2"))
    job = data.job()
    path = Path(ledger or job.ledger)
    path.parent.mkdir(exist_ok=True)
    with Ledger(path) as open_ledger:
        open_ledger.commit([(job.recipe.fingerprint("detect"), decision)])
    return decision


def outputs(data: Dataset, job: Job) -> dict[str, Output]:
    with Ledger(job.ledger, read_only=True) as ledger:
        found = ledger.latest(job.recipe.fingerprint("obfuscate"), ("output",))
        return {one.key: one for one in found if isinstance(one, Output)}


def same_bytes(data: Dataset, key: str) -> bool:
    return (data.out / key).read_bytes() == (data.source / key).read_bytes()


@pytest.mark.slow
def test_a_decision_covers_what_nobody_found_and_uncovers_what_is_no_face(data: Dataset) -> None:
    added, cleared, left = data.without[0], data.with_face[0], data.with_face[1]
    decide(data, added, [DRAWN])
    decide(data, cleared, [])
    report = run(data.job(), STAGES, Here())
    assert report.account.refused == 0
    assert not same_bytes(data, added)
    assert same_bytes(data, cleared)
    assert not same_bytes(data, left)
    made = outputs(data, data.job())
    assert made[added].faces == (DRAWN,)
    assert [one.box for one in made[cleared].rejected] == [BOX]
    assert made[left].rejected == ()


@pytest.mark.slow
def test_a_later_decision_redoes_its_image_and_only_a_later_one(data: Dataset) -> None:
    key = data.without[0]
    run(data.job(), STAGES, Here())
    assert same_bytes(data, key)
    decide(data, key, [DRAWN])
    run(data.job(), STAGES, Here())
    assert not same_bytes(data, key)
    executor = Here()
    with Ledger(data.job().ledger) as ledger:
        prints = [data.job().recipe.fingerprint(stage) for stage in ("detect", "obfuscate")]
        assert ledger.redecided(*prints) == set()
    run(data.job(), STAGES, executor)
    decide(data, key, [])
    run(data.job(), STAGES, Here())
    assert same_bytes(data, key)


@pytest.mark.slow
def test_a_decision_about_other_bytes_does_not_count(data: Dataset) -> None:
    key = data.with_face[0]
    decide(data, key, [])
    with (data.source / key).open("ab") as file:
        file.write(b"x")
    run(data.job(), STAGES, Here())
    assert not same_bytes(data, key)
    refused = run(required(replace(data.job(), overwrite=True)), STAGES, Here()).refused
    assert {one.key: one.code for one in refused}[key] is Code.REVIEW_MISSING
    assert "changed since" in {one.key: one.reason for one in refused}[key]


@pytest.mark.slow
def test_required_review_refuses_what_has_no_decision_until_it_has(data: Dataset) -> None:
    job = required(data.job())
    decide(data, data.with_face[0], [Face(BOX, 0.9, "file")])
    report = run(job, STAGES, Here())
    assert report.account.images_out == 1
    assert {one.code for one in report.refused} == {Code.REVIEW_MISSING}
    assert report.account.refused == len(data.keys) - 1
    for key in data.keys:
        decide(data, key, [])
    report = run(job, STAGES, Here())
    assert (report.account.refused, report.account.copied) == (0, len(data.keys))


@pytest.mark.slow
def test_decisions_beside_the_source_come_along_even_when_changed_back(data: Dataset) -> None:
    beside = private_folder(data.source) / "ledger.sqlite"
    search(replace(data.job(), out=None, ledger=beside), Here())
    job = replace(data.job(), detections=(beside,))
    key = data.without[0]
    for faces, covered in (([DRAWN], True), ([], False), ([DRAWN], True)):
        decide(data, key, faces, beside)
        run(job, STAGES, Here())
        assert same_bytes(data, key) is not covered


def test_an_assessment_comes_along_and_the_newest_counts(tmp_path: Path) -> None:
    with Ledger(tmp_path / "a") as one, Ledger(tmp_path / "b") as other:
        one.commit([("f", Assessment("", "{}")), ("f", Assessment("", '{"x":1}'))])
        adopt(other, tmp_path / "a", "f")
        adopt(other, tmp_path / "a", "f")
        assert list(other.latest("f", ["assessment"])) == [Assessment("", '{"x":1}')]
        assert other.latest_of("f", ["assessment"], "") == Assessment("", '{"x":1}')


def test_what_people_rejected_is_not_covered_again_nor_found_by_verify() -> None:
    one, sink = sample(), Memory()
    before = codec.decode(one.data)
    faces = Faces((FOUND,), rejected=(ELSEWHERE,))
    output, look = release(one, before, faces, cover(Watcher([[ELSEWHERE]])), sink)
    assert (output.faces, output.rejected) == ((FOUND,), (ELSEWHERE,))
    checks = Checks(recipe(searched=False), Gaussian(), [Watcher([[ELSEWHERE]])])
    found = {f.code: f.passed for f in verify(one, before, sink.data, output, checks)}
    assert found[Code.VERIFY_FACE_FOUND]
    assert all(f.passed for f in verify(one, before, sink.data, output, checks, look=look))
    other = Face((5.0, 60.0, 25.0, 84.0), 0.9, "watcher-1")
    checks = replace(checks, detectors=[Watcher([[other]])])
    found = {f.code: f.passed for f in verify(one, before, sink.data, output, checks)}
    assert not found[Code.VERIFY_FACE_FOUND]


def test_a_copied_image_keeps_what_was_rejected_in_it() -> None:
    one = sample()
    output, _ = release(one, None, Faces((), (FOUND,)), cover(Watcher([])), Memory())
    assert (output.action, output.rejected) == ("copied", (FOUND,))


def test_recipes_from_before_there_was_review_keep_their_fingerprints() -> None:
    old = {
        "detect": {"detectors": [], "weights": [], "max_pixels": 9, "boxes": "", "unlisted": ""},
        "verify": {"detectors": [], "weights": []},
        "obfuscate": {
            "method": "fill",
            "expand": 0.25,
            "colour": None,
            "on_unsupported": "refuse",
            "looks": 3,
            "metadata": "faces",
        },
    }
    # sha256 of the canonical JSON, as sfumato wrote it before
    expected = "c14352581e584b87cb3c0c227449514179295bb21fef98b701f1938fa57d57d5"
    assert recipe_from(json.dumps(old)).fingerprint("verify") == expected


def test_a_proposed_box_that_holds_a_decided_face_isnt_rejected() -> None:
    large, beside = Face((0, 0, 100, 100), 0.9, "a"), Face((90, 0, 130, 40), 0.9, "a")
    inside = Face((60, 10, 95, 45), 1.0, "human:r1")
    found = Detection("a.jpg", "d", 200, 200, (large,), (beside,))
    decision = Decision("a.jpg", "d", (inside,), "merged", ("r1",))
    assert rejected(found, decision) == (beside,)


def test_a_dispute_is_no_decision_in_the_report() -> None:
    face = Face((0, 0, 10, 10), 0.9, "a")
    found = Detection("a.jpg", "d", 200, 200, (face,))
    decision = Decision("a.jpg", "d", (), "merged", ("r1",))
    assert of_image(found, decision).rejected == 1
    assert of_image(found, replace(decision, basis="provisional")) == Changes()
