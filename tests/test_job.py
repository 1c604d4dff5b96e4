"""A job: all that is checked before anything is written, each check by itself."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from sfumato.errors import Code, OutputError, UsageError
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.job import Job, _apart, check, check_folders, check_release
from sfumato.recipe import DetectStep, ObfuscateStep, Recipe, VerifyStep
from sfumato.sources import Sink, open_sink, open_source
from sfumato.sources.disk import check_writable
from sfumato.sources.doors import ImportedBoxes
from sfumato.sources.selection import Globs, Selection
from sfumato.types import Face, Failure, Output, Record
from tests.unprivileged import bound_by_rights

RECIPE = Recipe(DetectStep(("a",), ("w",), 9), VerifyStep(("v",), ("x",)))
URL = "postgresql://server/faces"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "src").mkdir()
    for name in ("a.jpg", "b.jpg", "labels.txt"):
        (tmp_path / "src" / name).write_bytes(b"x")
    source = open_source(tmp_path / "src")
    ledger = tmp_path / "out.sfumato" / "l.sqlite"
    return Job(source, RECIPE, ledger, release(tmp_path / "out"))


def release(path: Path) -> Sink:
    return open_sink(path, like=open_source(path.parent / "src"))


def test_what_is_not_asked_for_is_not_done(job: Job, tmp_path: Path) -> None:
    plain = Job(job.source, RECIPE, job.ledger)
    assert (plain.out, plain.boxes, plain.detections) == (None, None, ())
    flags = (plain.copy_other, plain.overwrite, plain.second_reader, plain.cover_findings)
    assert (plain.resume, *flags) == (True, False, False, False, False)
    assert (plain.selection, plain.unchecked) == (Selection(), Globs())
    assert replace(plain, ledger=URL).private == tmp_path / "src.sfumato"
    assert replace(job, ledger=URL).private == tmp_path / "out.sfumato"


# --- folders ------------------------------------------------------------------------------------


def test_folders_that_lie_apart_are_taken(job: Job, tmp_path: Path) -> None:
    check_folders(job)
    (tmp_path / "out").mkdir()
    for ledger in (job.ledger, tmp_path / "l.sqlite", tmp_path / "x" / "l.sqlite", URL):
        check_folders(replace(job, ledger=ledger))
        check_folders(replace(job, ledger=ledger, out=None))
    assert sorted(tmp_path.iterdir()) == [tmp_path / "out", tmp_path / "src"]


@pytest.mark.parametrize("linked", [False, True])
def test_nothing_is_ever_written_into_or_around_the_source(
    job: Job, tmp_path: Path, linked: bool
) -> None:
    source = tmp_path / "src"
    if linked:
        (tmp_path / "link").symlink_to(source)
        source = tmp_path / "link"
    for out in (source, source / "x", source / "x" / "y", tmp_path, tmp_path.parent):
        with pytest.raises(UsageError, match=r"^OUT .* must lie apart"):
            check_folders(
                replace(job, out=release(out), ledger=tmp_path.parent.parent / "l.sqlite")
            )
    for ledger in (source / "l.sqlite", source / "x" / "l.sqlite", source / "x" / "y" / "l.sqlite"):
        for out_ in (job.out, None):
            with pytest.raises(UsageError, match=r"^The ledger's folder .* must lie apart"):
                check_folders(replace(job, ledger=ledger, out=out_))


@pytest.mark.parametrize("linked", [False, True])
def test_the_ledger_is_never_published(job: Job, tmp_path: Path, linked: bool) -> None:
    out = tmp_path / "out"
    if linked:
        out.mkdir()
        (tmp_path / "link").symlink_to(out)
        out = tmp_path / "link"
    for ledger in (out / "l.sqlite", out / "x" / "l.sqlite", out / "x" / "y" / "l.sqlite"):
        with pytest.raises(UsageError, match="must not lie in OUT"):
            check_folders(replace(job, ledger=ledger))


def test_nothing_private_lies_in_what_is_published_and_the_other_way_round(
    job: Job, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="named as the folders that are kept private"):
        check_folders(replace(job, out=release(tmp_path / "x.sfumato")))
    finished = tmp_path / "finished"
    (finished / "deep").mkdir(parents=True)
    for name in ("manifest.parquet", "faces.parquet"):
        for folder in (finished, finished / "deep"):
            check_folders(replace(job, ledger=folder / "l.sqlite"))
        (finished / name).touch()
    for folder in (finished, finished / "deep"):
        with pytest.raises(UsageError, match=r"must not lie in .*/finished, a release"):
            check_folders(replace(job, ledger=folder / "l.sqlite"))


def test_the_ledger_is_no_folder(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="is a folder: give a file"):
        check_folders(replace(job, ledger=tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("postgresql:/server/faces").mkdir(parents=True)
    check_folders(replace(job, ledger=URL))


def test_a_file_is_no_folder(job: Job, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for source in (tmp_path / "file", tmp_path / "nothing"):
        with pytest.raises(UsageError, match="is not a folder"):
            check(replace(job, source=open_source(source)))
    with pytest.raises(UsageError, match="is a file"):
        check(replace(job, out=release(tmp_path / "file")))


def test_a_folder_can_be_written_to_or_made(job: Job, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "new", tmp_path / "new" / "er"):
        check_writable(place)
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "dead").symlink_to("nothing")
    for place in (tmp_path / "file", tmp_path / "file" / "x" / "y", tmp_path / "dead" / "x"):
        with pytest.raises(
            OutputError, match=f"{place}: a file stands where a folder is needed. Mend"
        ):
            check_writable(place)
    for place in (tmp_path / ("x" * 256), tmp_path / "new" / ("x" * 256) / "y"):
        with pytest.raises(OutputError, match="a name is too long"):
            check_writable(place)
    check_writable(tmp_path / ("x" * 255))
    assert not (tmp_path / "new").exists()


def test_a_folder_that_may_not_be_written_to_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[tuple[Path, int]]()
    monkeypatch.setattr(os, "access", lambda *how, **_: asked.append(how))
    for flags, words in (
        (os.ST_RDONLY | os.ST_NOSUID, "the disk is read-only"),
        (os.ST_NOSUID, "permission denied"),
        (0, "permission denied"),
    ):
        monkeypatch.setattr(os, "statvfs", lambda _, flags=flags: SimpleNamespace(f_flag=flags))
        with pytest.raises(OutputError, match=f"write to {tmp_path}/x/y: {words}. Mend that"):
            check_writable(tmp_path / "x" / "y")
    assert asked == [(tmp_path, os.W_OK | os.X_OK)] * 3


def test_a_name_that_is_too_long_is_said_before_anything_is_written(
    job: Job, tmp_path: Path
) -> None:
    long = "x" * 256
    words = "a name is too long for this file system: shorten it"
    for wrong in (
        replace(job, out=release(tmp_path / long)),
        replace(job, out=release(tmp_path / "new" / long / "out")),
        replace(job, out=release(tmp_path / "o"), ledger=tmp_path / long),
        replace(job, out=release(tmp_path / "o"), ledger=tmp_path / long / "l.sqlite"),
        replace(job, ledger=job.private / ("l" * 252)),  # with -wal
        replace(job, ledger=URL, out=release(tmp_path / long[:-7])),  # with .sfumato
    ):
        with pytest.raises(OutputError, match=words):
            check(wrong)
    check(replace(job, ledger=job.private / ("l" * 251)))
    with pytest.raises(UsageError, match="is not a folder"):
        check(replace(job, source=open_source(tmp_path / long)))
    assert sorted(os.listdir(tmp_path)) == ["src"]


@pytest.mark.parametrize("mode", [0o000, 0o300, 0o400, 0o500, 0o600])
@pytest.mark.parametrize("name", ["out", "out.sfumato", "kept"])
def test_a_folder_that_may_not_be_used_is_said_before_anything_is_written(
    job: Job, tmp_path: Path, name: str, mode: int
) -> None:
    wanted = replace(job, ledger=tmp_path / "kept" / "l.sqlite") if name == "kept" else job
    (tmp_path / name).mkdir()
    (tmp_path / name).chmod(mode)
    with bound_by_rights():
        if mode == 0o300 and name != "out":  # who may write there need not list it
            check(wanted)
        else:
            with pytest.raises(OutputError, match=f"write to {tmp_path / name}: .*permission"):
                check(wanted)
    (tmp_path / name).chmod(0o755)
    assert os.listdir(tmp_path / name) == []


@pytest.mark.parametrize("name", ["lock", "report.html", ".report.html.sfumato-part"])
def test_a_folder_where_a_private_file_goes_is_said(job: Job, tmp_path: Path, name: str) -> None:
    in_way = job.private / name
    in_way.mkdir(parents=True)
    with pytest.raises(UsageError, match=f"^{in_way} is a folder, and a file .* there: remove it"):
        check(job)
    with pytest.raises(UsageError, match=f"^{in_way} is a folder"):
        check(replace(job, out=None))
    in_way.rmdir()
    in_way.symlink_to(tmp_path)
    if name == "lock":  # it is opened, not replaced
        with pytest.raises(UsageError, match=f"^{in_way} is a folder"):
            check(job)
    else:
        check(job)


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_a_folder_beside_the_ledger_is_said_where_there_is_a_file(job: Job, ending: str) -> None:
    in_way = Path(f"{job.ledger}{ending}")
    in_way.mkdir(parents=True)
    with pytest.raises(UsageError, match=f"^{in_way} is a folder"):
        check(job)
    assert list(job.private.iterdir()) == [in_way]


def test_a_folder_where_the_release_puts_a_file_is_said(job: Job, tmp_path: Path) -> None:
    in_way = tmp_path / "out" / "faces.parquet"
    in_way.mkdir(parents=True)
    with pytest.raises(UsageError, match=f"^{in_way} is a folder"):
        check(job)


# --- the source ---------------------------------------------------------------------------------


def test_what_the_source_holds_is_said(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    content = check(job)
    assert content.listing.images == ("a.jpg", "b.jpg")
    assert [shard.keys for shard in content.shards] == [("a.jpg", "b.jpg")]
    assert content.boxes == {}
    chosen = replace(job, selection=Selection(exclude=("b.jpg", "*.JPG")))
    content = check(chosen)
    assert (content.listing.images, content.listing.excluded) == (("a.jpg",), ("b.jpg",))
    assert caplog.messages == [f"No file of {job.source.url} fits '*.JPG': is it spelt right?"]
    assert not job.private.exists()
    assert check(replace(job, out=None)).listing.images == ("a.jpg", "b.jpg")


def test_a_source_without_images_is_refused_and_one_without_readable_ones_is_not(
    job: Job, tmp_path: Path
) -> None:
    none = replace(job, selection=Selection(exclude=("*",)))
    with pytest.raises(UsageError, match="holds no images, but for 3 that are excluded: give"):
        check(none)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "src" / name).unlink()
    with pytest.raises(UsageError, match="holds no images: give"):
        check(job)
    (tmp_path / "src" / "a.jpg").symlink_to("nothing")
    assert check(job).shards == ()


def test_boxes_may_name_what_is_excluded(job: Job, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("path,x0,y0,x1,y1\nb.jpg,1,1,20,20\n")
    digest = hashlib.sha256(boxes.read_bytes()).hexdigest()
    recipe = replace(RECIPE, detect=DetectStep((), (), 9, digest, "faceless"))
    given = replace(job, recipe=recipe, boxes=boxes, selection=Selection(exclude=("b.jpg",)))
    found = check(given).boxes
    assert found == {"b.jpg": ImportedBoxes((Face((1.0, 1.0, 20.0, 20.0), 1.0, "file"),))}


def test_all_is_checked_before_there_is_a_ledger(job: Job, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "theirs").write_bytes(b"x")
    with pytest.raises(UsageError, match="isn't empty"):
        check(job)
    with pytest.raises(UsageError, match="must lie apart"):
        check(replace(job, out=release(tmp_path / "src" / "out")))
    (tmp_path / "out.sfumato").mkdir()
    with Ledger(job.ledger):
        check(job)  # the ledger will say whose it is
    (tmp_path / "file").write_bytes(b"x")
    for wrong in (
        replace(job, out=release(tmp_path / "file" / "x")),
        replace(job, ledger=tmp_path / "file" / "x" / "l.sqlite"),
    ):
        with pytest.raises(OutputError, match="a file stands"):
            check(wrong)
    (tmp_path / "src" / "in").symlink_to(tmp_path / "out")
    (failure,) = check(job).listing.failures
    assert failure.key == "in"


def test_no_link_may_lead_to_what_is_published_or_private(job: Job, tmp_path: Path) -> None:
    real = Path(os.path.realpath(tmp_path))
    out, private = real / "out", real / "out.sfumato"
    assert _apart(job) == (out, private)
    assert _apart(replace(job, out=None)) == (private,)
    (tmp_path / "kept").mkdir()
    names = ("lock", "report.html", "l.sqlite", "l.sqlite-wal", "l.sqlite-shm")
    elsewhere = replace(job, ledger=tmp_path / "kept" / "l.sqlite")
    files = tuple(real / "kept" / name for name in names)
    assert _apart(elsewhere) == (out, *files)
    private.symlink_to("kept")
    assert _apart(job) == (out, *files)
    assert _apart(replace(job, ledger=URL)) == (out, *files[:2])


# --- whose release it is ------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def begin(ledger: Ledger, job: Job, command: str = "detect+obfuscate+verify") -> None:
    recipe = job.recipe
    ledger.begin(
        started="",
        command=command,
        source=job.source.url,
        fingerprint=recipe.fingerprint("verify"),
        recipe=json.dumps({**recipe.as_json(), "selection": job.selection.as_json()}),
        versions="",
    )


def test_without_a_run_of_ours_the_folder_must_be_empty(
    job: Job, ledger: Ledger, tmp_path: Path
) -> None:
    for known in (None, ledger):
        check_release(job, known)
    (tmp_path / "out").mkdir()
    for known in (None, ledger):
        check_release(job, known)
    (tmp_path / "out" / "theirs").write_bytes(b"x")
    begin(ledger, job, "detect")
    begin(ledger, job, "verify")
    for one in (job, replace(job, overwrite=True)):
        for known in (None, ledger):
            with pytest.raises(UsageError, match="isn't empty and wasn't made by sfumato"):
                check_release(one, known)
    check_release(replace(job, out=None), ledger)
    begin(ledger, job)
    check_release(job, ledger)


def test_a_release_of_another_recipe_source_or_selection_is_kept(
    job: Job, ledger: Ledger, tmp_path: Path
) -> None:
    begin(ledger, job)
    other = replace(
        job,
        source=open_source(tmp_path / "other"),
        recipe=Recipe(
            DetectStep(("a", "b"), ("w", "y"), 9),
            VerifyStep(("u",), ("z",)),
            ObfuscateStep("fill"),
        ),
        selection=Selection(exclude=("x",)),
    )
    words = "detect.detectors, detect.weights, obfuscate.method, include, exclude, source"
    with pytest.raises(UsageError, match=rf"another recipe \(different: {words}\).*--overwrite"):
        check_release(other, ledger)
    check_release(replace(other, overwrite=True), ledger)
    check_release(replace(other, out=None), ledger)
    for part, said in (
        ({"source": other.source}, "source"),
        ({"selection": other.selection}, "include, exclude"),
        ({"recipe": replace(RECIPE, obfuscate=ObfuscateStep("fill"))}, "obfuscate.method"),
    ):
        with pytest.raises(UsageError, match=rf"\(different: {said}\)"):
            check_release(replace(job, **part), ledger)
    # With which detectors it is checked is no matter of the release.
    check_release(replace(job, recipe=replace(RECIPE, verify=other.recipe.verify)), ledger)
    begin(ledger, other)
    begin(ledger, job, "verify")
    check_release(other, ledger)


REFUSED = Failure("a.jpg", "detect", Code.BOXES_MISSING, "")
OUTPUT = Output("a.jpg", "0", "1", "copied", "identical", "", ())


@pytest.mark.parametrize(
    ("before", "now", "fates", "taken"),
    [
        ("1", "2", [REFUSED], True),
        ("1", "2", [replace(REFUSED, key="b.jpg"), OUTPUT], True),
        ("1", "2", [OUTPUT], False),
        ("1", "2", [REFUSED, OUTPUT], False),  # it was mended since
        ("1", "2", [replace(REFUSED, code=Code.IMAGE_DECODE)], False),
        ("1", "2", [], False),
        ("", "2", [REFUSED], False),
        ("1", "", [REFUSED], False),
    ],
)
def test_a_box_file_may_be_mended_where_images_were_refused_for_it(
    job: Job, ledger: Ledger, before: str, now: str, fates: list[Record], taken: bool
) -> None:
    old, new = (
        replace(job, recipe=replace(RECIPE, detect=DetectStep((), (), 9, boxes)))
        for boxes in (before, now)
    )
    begin(ledger, old)
    ledger.commit((old.recipe.fingerprint("obfuscate"), fate) for fate in fates)
    if taken:
        check_release(new, ledger)
        filled = replace(new.recipe, obfuscate=ObfuscateStep("fill"))
        with pytest.raises(UsageError, match=r"detect\.boxes, obfuscate\.method"):
            check_release(replace(new, recipe=filled), ledger)
        with pytest.raises(UsageError, match=r"detect\.boxes, source"):
            check_release(replace(new, source=open_source("elsewhere")), ledger)
    else:
        with pytest.raises(UsageError, match=r"different: detect\.boxes\)"):
            check_release(new, ledger)
