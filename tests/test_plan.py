"""What is left to do: a mark is believed only of what is still so, image by image."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sfumato.errors import Code, UsageError
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.job import Contents, Job
from sfumato.pipeline.plan import Plan, make_plan
from sfumato.recipe import DetectStep, Recipe, VerifyStep
from sfumato.sources import Listing, Note, open_sink, open_source
from sfumato.sources.doors import ImportedBoxes, Shard
from sfumato.sources.notes import state_of
from sfumato.types import Decision, Detection, Face, Failure, Finding, Output, Record, Redetection

STAGES = ("detect", "obfuscate", "verify")
KEYS = ("a.jpg", "b.jpg", "c.jpg")
NOW = {"sfumato": "now"}
FACE = Face((0.0, 0.0, 9.0, 9.0), 0.9, "v")


@dataclass
class Site:
    """A source of three files in two shards, its release, and its ledger."""

    root: Path
    ledger: Ledger
    job: Job

    @property
    def content(self) -> Contents:
        folder = self.job.source.url
        shards = (Shard("s1", folder, KEYS[:2]), Shard("s2", folder, KEYS[2:]))
        return Contents(Listing(KEYS, (), ()), shards, {})

    def begin(self, versions: object = NOW, command: str = "detect+obfuscate+verify") -> None:
        recipe = self.job.recipe
        self.ledger.begin(
            started="",
            command=command,
            source="",
            fingerprint=recipe.fingerprint("verify"),
            recipe=json.dumps(recipe.as_json()),
            versions=json.dumps(versions),
        )

    def mark(self, *shards: str, stages: Sequence[str] = STAGES) -> None:
        for shard in shards:
            done = [(stage, self.job.recipe.fingerprint(stage)) for stage in stages]
            self.ledger.commit((), done, shard=shard)

    def record(self, stage: str, *records: Record) -> None:
        found = self.job.recipe.fingerprint(stage)
        self.ledger.commit((found, record) for record in records)

    def released(self, *keys: str, noted: bool = True) -> None:
        for key in keys:
            path = self.root / "out" / key
            path.write_bytes(key.encode())
            written = hashlib.sha256(key.encode()).hexdigest()
            self.record("obfuscate", Output(key, key, written, "copied", "identical", "", ()))
            if noted:
                self.ledger.commit((), notes=[Note(key, written, state_of(path))])

    def plan(self, *stages: str, job: Job | None = None, **boxes: ImportedBoxes) -> Plan:
        given = {f"{name}.jpg": some for name, some in boxes.items()}
        content = replace(self.content, boxes=given)
        return make_plan(job or self.job, stages or STAGES, self.ledger, content)

    def left(self, *stages: str, job: Job | None = None, **boxes: ImportedBoxes) -> list[str]:
        plan = self.plan(*stages, job=job, **boxes)
        found = [key for shard in plan.left for key in shard.keys]
        assert plan.images_left == len(found)
        assert all(shard.keys for shard in plan.left)
        return found


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr("sfumato.pipeline.plan.software", lambda: NOW)
    for name in ("src", "out"):
        (tmp_path / name).mkdir()
    for key in KEYS:
        (tmp_path / "src" / key).write_bytes(key.encode())
    recipe = Recipe(DetectStep(("a",), ("w",), 9), VerifyStep(("v",), ("x",)))
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        source = open_source(tmp_path / "src")
        out = open_sink(tmp_path / "out", like=source)
        made = Site(tmp_path, ledger, Job(source, recipe, path, out))
        made.begin()
        yield made


# --- marks --------------------------------------------------------------------------------------


def test_a_shard_is_done_if_it_is_so_for_every_stage(site: Site) -> None:
    site.released(*KEYS)
    assert site.left() == list(KEYS)
    site.mark("s1", stages=("detect", "obfuscate"))
    site.mark("s2", "gone")
    assert site.left() == ["a.jpg", "b.jpg"]
    assert site.left("detect", "obfuscate") == []
    assert site.plan().notes == ()
    site.mark("s1")
    assert site.left() == []
    assert site.left(job=replace(site.job, resume=False)) == list(KEYS)
    assert make_plan(site.job, STAGES, None, site.content).left == site.content.shards


def test_verification_alone_always_looks_at_all(site: Site) -> None:
    site.record("detect", *(Detection(key, key, 9, 9, ()) for key in KEYS))
    site.released(*KEYS)
    site.mark("s1", "s2")
    assert site.left("verify") == list(KEYS)
    assert site.left("obfuscate", "verify") == []


def test_a_search_believes_what_it_found(site: Site) -> None:
    site.mark("s1", "s2", stages=("detect",))
    found = [Detection(key, key, 9, 9, ()) for key in KEYS]
    site.record("detect", *found[:2], Failure("b.jpg", "detect", Code.DETECTOR_FAILED, ""))
    site.record("obfuscate", found[2])
    assert site.left("detect") == ["b.jpg", "c.jpg"]
    site.record("detect", found[1], found[2])
    assert site.left("detect") == []


# --- what lies there ----------------------------------------------------------------------------


def test_only_a_file_that_holds_what_was_written_is_done(site: Site) -> None:
    site.mark("s1", "s2")
    site.released(*KEYS)
    assert site.left() == []
    (site.root / "out" / "a.jpg").unlink()
    (site.root / "out" / "b.jpg").write_bytes(b"other")
    assert site.left() == ["a.jpg", "b.jpg"]
    site.record("obfuscate", Failure("c.jpg", "x", Code.INTERNAL_ERROR, ""))
    assert site.left() == list(KEYS)
    with pytest.raises(UsageError, match="needs an OUT folder"):
        site.plan(job=replace(site.job, out=None))


def test_what_holds_other_bytes_in_the_source_now_is_done_again(site: Site) -> None:
    site.mark("s1", "s2")
    site.released(*KEYS)
    source, out = site.root / "src", site.root / "out"
    for key in KEYS:
        digest, state = hashlib.sha256(key.encode()).hexdigest(), site.job.source.state(key)
        record = Output(key, digest, digest, "copied", "identical", "", (), state=state)
        site.record("obfuscate", record)
        site.record("detect", Detection(key, digest, 9, 9, (), state=state))
    os.utime(source / "a.jpg", ns=(1, 1))
    assert (site.left(), site.left("detect")) == ([], [])
    (source / "a.jpg").write_bytes(b"other")
    (source / "b.jpg").write_bytes(b"other")
    assert (site.left(), site.left("detect")) == (["a.jpg", "b.jpg"], ["a.jpg", "b.jpg"])
    # What can't be read any more stays, and so does what is one file with that in OUT.
    (source / "a.jpg").unlink()
    assert (site.left(), site.left("detect")) == (["b.jpg"], ["b.jpg"])
    (source / "c.jpg").unlink()
    os.link(out / "c.jpg", source / "c.jpg")
    written = hashlib.sha256(b"c.jpg").hexdigest()
    of_before = Output("c.jpg", "other", written, "copied", "identical", "", (), state="before")
    site.record("obfuscate", of_before)
    assert site.left() == ["b.jpg"]
    site.record("detect", Detection("c.jpg", "other", 9, 9, (), state="before"))
    search = replace(site.job, out=None)
    assert site.left("detect", job=search) == ["b.jpg", "c.jpg"]


def test_what_had_to_be_read_is_noted_if_it_is_right_and_has_settled(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.mark("s1", "s2")
    site.released(*KEYS, noted=False)
    (site.root / "out" / "b.jpg").write_bytes(b"other")
    path = site.root / "out" / "a.jpg"
    changed = path.stat().st_ctime_ns
    monkeypatch.setattr("sfumato.sources.notes.time.time_ns", lambda: changed + 10**10)
    notes = {note.key: note.state for note in site.plan().notes}
    assert notes.keys() == {"a.jpg", "c.jpg"}
    assert notes["a.jpg"] == state_of(path)
    assert site.left() == ["b.jpg"]
    site.ledger.forget(["s2"])  # what will be done anyway isn't read
    assert [note.key for note in site.plan().notes] == ["a.jpg"]
    site.mark("s2")
    monkeypatch.setattr("sfumato.sources.notes.time.time_ns", lambda: changed)
    site.released("c.jpg")
    assert site.plan().notes == ()
    assert site.left() == ["b.jpg"]


def test_what_was_decided_or_not_looked_through_since_is_done_again(site: Site) -> None:
    site.mark("s1", "s2")
    site.record("detect", Decision("c.jpg", "c.jpg", (), "merged"))
    site.released(*KEYS)
    assert site.left() == []
    site.record("detect", Decision("b.jpg", "b.jpg", (), "merged"))
    assert site.left() == ["b.jpg"]


def test_what_an_older_version_made_is_done_again_if_its_source_can_be_read(site: Site) -> None:
    site.mark("s1", "s2")
    site.released(*KEYS)
    with site.ledger.database.transaction() as db:
        db.execute("DROP TRIGGER records_stay")
        db.execute("UPDATE records SET body = REPLACE(body, '\"second_images\":0,', '')")
    assert site.left() == list(KEYS)
    (site.root / "src" / "b.jpg").unlink()
    assert site.left() == ["a.jpg", "c.jpg"]
    # That a later look has confirmed it is no matter: the file shall be this version's.
    site.record("verify", Finding("a.jpg", Code.VERIFY_SECOND_IMAGE, True, 0, 0, ""))
    assert site.left() == ["a.jpg", "c.jpg"]


@pytest.mark.parametrize("code", [Code.VERIFY_BYTES_CHANGED, Code.VERIFY_UNREADABLE])
def test_what_was_checked_in_other_bytes_is_checked_again(site: Site, code: Code) -> None:
    site.mark("s1", "s2", stages=("detect", "obfuscate", "verify"))
    site.released(*KEYS)
    weak = Finding("b.jpg", Code.VERIFY_STRENGTH, False, 1, 0, "")
    site.record("verify", weak, Finding("c.jpg", code, True, 0, 0, ""))
    assert site.left() == []
    site.record("verify", *(Finding(key, code, False, 1, 0, "") for key in KEYS[:2]))
    assert site.left() == ["a.jpg", "b.jpg"]
    assert site.left("detect", "obfuscate") == []
    (site.root / "src" / "b.jpg").unlink()
    assert site.left() == ["a.jpg"]


def test_what_checks_saw_uncovered_is_done_again_if_that_was_asked_for(site: Site) -> None:
    site.mark("s1", "s2")
    site.released(*KEYS)
    written = hashlib.sha256(b"b.jpg").hexdigest()
    seen = Finding("b.jpg", Code.VERIFY_FACE_FOUND, False, 1, 0, "", written, (FACE,))
    site.record("verify", seen)
    cover = replace(site.job, cover_findings=True)
    assert site.plan().uncovered == site.plan("detect", job=cover).uncovered == ()
    assert site.left() == []
    assert site.left(job=cover) == ["b.jpg"]
    wanted = (Redetection("b.jpg", "b.jpg", (FACE,), ("v",)),)
    assert site.plan(job=cover).uncovered == wanted
    anew = site.plan(job=replace(cover, resume=False))
    assert (anew.uncovered, anew.images_left) == (wanted, 3)


# --- refusals -----------------------------------------------------------------------------------

OF_THE_BYTES = {
    Code.IMAGE_EMPTY,
    Code.IMAGE_UNRECOGNISED,
    Code.IMAGE_DECODE,
    Code.IMAGE_TOO_LARGE,
    Code.IMAGE_UNSUPPORTED,
    Code.IMAGE_ENCODE,
}


@pytest.mark.parametrize("stage", ["detect", "obfuscate"])
def test_the_same_software_refuses_the_same_bytes_again(site: Site, stage: str) -> None:
    stages = ("detect",) if stage == "detect" else STAGES
    site.mark("s1", "s2", stages=stages)
    if stage == "detect":
        site.record("detect", *(Detection(key, key, 9, 9, ()) for key in KEYS))
    else:
        site.released(*KEYS)
    for code in Code:
        site.record(stage, Failure("b.jpg", stage, code, ""))
        stands = code in OF_THE_BYTES or code is Code.REVIEW_MISSING
        assert site.left(*stages) == ([] if stands else ["b.jpg"]), code
    site.begin({"sfumato": "then"})
    site.record(stage, Failure("b.jpg", stage, Code.IMAGE_DECODE, ""))
    assert site.left(*stages) == ["b.jpg"]
    site.begin()
    site.record(stage, Failure("b.jpg", stage, Code.IMAGE_DECODE, ""))
    assert site.left(*stages) == []
    # A refusal that was taken over is of no run here.
    with Ledger(site.root / "ledger.sqlite") as other:
        found = site.job.recipe.fingerprint(stage)
        other.commit([(found, Failure("c.jpg", stage, Code.IMAGE_DECODE, ""))])
    assert site.left(*stages) == ["c.jpg"]


@pytest.mark.parametrize("unlisted", ["refuse", "faceless"])
def test_a_refusal_for_its_boxes_stands_while_the_file_says_the_same(
    site: Site, unlisted: str
) -> None:
    detect = DetectStep((), (), 9, "digest", unlisted)
    site.job = replace(
        site.job, recipe=replace(site.job.recipe, detect=detect), boxes=site.root / "boxes.csv"
    )
    site.mark("s1", "s2")
    site.released(*KEYS)
    site.record("obfuscate", Failure("b.jpg", "detect", Code.BOXES_MISSING, ""))
    assert site.left(b=ImportedBoxes((FACE,))) == ["b.jpg"]
    assert site.left(b=ImportedBoxes((), "inverted")) == []
    assert site.left(a=ImportedBoxes((FACE,))) == ([] if unlisted == "refuse" else ["b.jpg"])
    # Who takes faces from the ledger doesn't ask the file; nor who has none.
    assert site.left("obfuscate", "verify", b=ImportedBoxes((), "inverted")) == ["b.jpg"]
    assert site.left(job=replace(site.job, boxes=None), b=ImportedBoxes((), "inverted")) == [
        "b.jpg"
    ]
    # What was refused for something else doesn't ask the file either.
    site.record("obfuscate", Failure("b.jpg", "detect", Code.INTERNAL_ERROR, ""))
    assert site.left(b=ImportedBoxes((), "inverted")) == ["b.jpg"]
    site.record("obfuscate", Failure("b.jpg", "detect", Code.IMAGE_DECODE, ""))
    assert site.left(b=ImportedBoxes((FACE,))) == []
