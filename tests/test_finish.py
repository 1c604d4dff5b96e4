"""The end of a run: each image is accounted for, and no manifest says what isn't so."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sfumato.errors import Code, OutputError
from sfumato.ledger.ledger import Ledger
from sfumato.recipe import DetectStep, Recipe, VerifyStep
from sfumato.release import finalize as finishing
from sfumato.release.finalize import (
    _Files,
    _merged,
    _names_and_counts,
    _pairs,
    _remove_stale,
    _write_pages,
    finish,
    forget_release,
)
from sfumato.release.report.data import Account, Report
from sfumato.release.report.pairs import Choice, Pair
from sfumato.release.report.tally import Tally
from sfumato.sources import Note, folder_sink, open_source
from sfumato.sources.disk import PART_SUFFIX
from sfumato.sources.folder_sink import FolderSink
from sfumato.sources.imagefolder import ImageFolder
from sfumato.sources.notes import state_of
from sfumato.types import (
    Action,
    Assessment,
    Decision,
    Detection,
    Face,
    Failure,
    Finding,
    Output,
    Record,
)

SOURCE = ImageFolder(Path("nowhere"))

RECIPE = Recipe(DetectStep(("a",), ("w",), 9), VerifyStep(("v",), ("x",)))
RESERVED = {"manifest.parquet", "faces.parquet", "summary.json", "report.html"}
FACE = Face((1.0, 2.0, 30.0, 40.0), 0.5, "a")
OTHERS_BEFORE = "made by a version that didn't look there: run the same command again"


@dataclass
class Site:
    """A release, its ledger, and what a run records there."""

    root: Path
    ledger: Ledger

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def sink(self) -> FolderSink:
        return FolderSink(self.out, token="t", like=open_source(self.root / "src"))

    def begin(self, command: str = "detect+obfuscate+verify") -> None:
        self.ledger.begin(
            started="",
            command=command,
            source="",
            fingerprint=RECIPE.fingerprint("verify"),
            recipe=json.dumps(RECIPE.as_json()),
            versions="",
        )

    def put(self, key: str, text: str = "") -> str:
        path = self.out / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or key)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def record(self, stage: str, *records: Record) -> None:
        self.ledger.commit((RECIPE.fingerprint(stage), record) for record in records)

    def released(self, key: str, *findings: Code, faces: Sequence[Face] = ()) -> Output:
        """Put an image there with its record, and findings that it passed."""
        written = self.put(key)
        action: Action = "obfuscated" if faces else "copied"
        output = Output(key, "in", written, action, "exact", "", tuple(faces))
        self.record("obfuscate", output)
        self.record("verify", *(Finding(key, one, True, 0, 0, "", written) for one in findings))
        return output

    def finish(self, *, tidy: bool = True) -> Report:
        private = self.root / "private"
        private.mkdir(exist_ok=True)
        return finish(RECIPE, self.sink.like, self.sink, self.ledger, private, tidy=tidy)

    def rows(self, name: str = "manifest") -> list[dict[str, object]]:
        found: list[dict[str, object]] = pq.read_table(self.out / f"{name}.parquet").to_pylist()
        return found

    def finished(self) -> bool:
        return (self.out / "manifest.parquet").exists()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "out").mkdir()
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Site(tmp_path, ledger)


def failed(report: Report) -> list[tuple[str, str]]:
    return [(one.key, str(one.code)) for one in report.failed]


# --- the account --------------------------------------------------------------------------------


def test_each_image_is_counted_where_it_went(site: Site) -> None:
    site.begin()
    site.ledger.list_source(
        dict.fromkeys(("a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"), "image")
        | {"b/5.jpg": "refused", "x.txt": "ignored", "y.txt": "ignored", "z.jpg": "excluded"}
    )
    copied = site.released("a/1.jpg", Code.VERIFY_COUNT)
    covered = site.released("a/2.jpg", faces=[FACE])
    refused = [Failure(key, "read", Code.FILE_UNREADABLE, "no") for key in ("b/3.jpg", "b/5.jpg")]
    site.record("obfuscate", Failure("a/1.jpg", "x", Code.INTERNAL_ERROR, ""), copied, *refused)
    site.record("detect", Detection("a/2.jpg", "in", 100, 100, (FACE,), (FACE, FACE)))
    site.record("detect", Detection("a/1.jpg", "in", 100, 100, (), (FACE,)))
    site.record("detect", Decision("a/1.jpg", "in", (), "merged"))
    report = site.finish()
    assert report.account == Account(copied=1, obfuscated=1, refused=2, unfinished=1)
    assert [one.label for one in report.classes] == ["a", "b"]
    assert list(report.refused) == refused
    assert (report.ignored, report.ignored_names, report.excluded) == (2, ("x.txt", "y.txt"), 1)
    assert report.candidates == 2  # those of the other were decided on
    assert not site.finished()  # b/4.jpg has no record
    site.record("obfuscate", replace(refused[0], key="b/4.jpg"))
    report = site.finish()
    assert report.account.unfinished == 0
    assert site.finished()
    assert failed(report) == []
    keys = ["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg", "b/5.jpg"]
    assert [row["path"] for row in site.rows()] == keys
    assert [row["sha256_out"] for row in site.rows()[:2]] == [copied.written, covered.written]
    fingerprint = RECIPE.fingerprint("obfuscate")
    assert {(row["fingerprint"], row["content"]) for row in site.rows()} == {(fingerprint, "image")}
    assert [row["path"] for row in site.rows("faces")] == ["a/2.jpg"]
    checks = {str(one.code): (one.passed, one.failed) for one in report.checks}
    assert checks == {"VERIFY_COUNT": (2, 0)}  # one for the class, and the image's own


def test_what_a_review_came_to_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Assessment] = []
    monkeypatch.setattr(Tally, "assessed", lambda _, one: told.append(one))
    site.record("detect", Assessment("", "{}"), Assessment("", '{"x": 1}'))
    site.finish()
    assert told == [Assessment("", '{"x": 1}')]


def test_the_pages_are_written_for_all_and_one_for_the_owner(site: Site) -> None:
    site.ledger.list_source({"ä.jpg": "image", "ü.txt": "ignored"})
    site.released("ä.jpg")
    before = os.umask(0o022)
    try:
        report = site.finish()
    finally:
        os.umask(before)
    assert {path.name for path in site.out.iterdir()} == RESERVED | {"ä.jpg"}
    private = site.root / "private" / "report.html"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE((site.out / "report.html").stat().st_mode) == 0o644
    assert private.read_text() != (site.out / "report.html").read_text()
    text = json.dumps(report.summary(), indent=2, ensure_ascii=False)
    assert (site.out / "summary.json").read_text() == f"{text}\n"


def test_only_the_private_page_shows_images(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    report, asked = site.finish(), list[object]()

    def render(given: Report, **how: object) -> str:
        asked.append((given, how))
        return ""

    monkeypatch.setattr(finishing, "render", render)
    pairs = [Pair("a.jpg", b"", b"", "")]
    _write_pages(report, pairs, site.sink, site.root / "private")
    assert asked == [(report, {"private": True, "pairs": pairs}), (report, {"private": False})]


def test_images_are_shown_small_and_what_is_gone_is_left_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def thumbnail(data: bytes, side: int) -> bytes:
        return data + b" at %d" % side

    monkeypatch.setattr("sfumato.release.finalize.codec.thumbnail", thumbnail)
    (site.root / "src").mkdir()
    for key, before, after in (("a.jpg", 1, 1), ("b.jpg", 0, 1), ("c.jpg", 1, 0), ("d.heic", 1, 1)):
        if before:
            (site.root / "src" / key).write_text(f"source {key}")
        if after:
            site.put("d.heic.jpg" if key == "d.heic" else key)
    choices = [Choice(key, "", f"why {key}") for key in ("a.jpg", "b.jpg", "c.jpg", "d.heic")]
    assert _pairs(choices, site.sink.like, site.sink) == [
        Pair("a.jpg", b"source a.jpg at 480", b"a.jpg at 480", "why a.jpg"),
        Pair("d.heic", b"source d.heic at 480", b"d.heic.jpg at 480", "why d.heic"),
    ]


def test_a_disk_that_refuses_is_a_sentence(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, words in (
        (OSError(errno.ENOSPC, "No space left."), "No space left. Make room"),
        (OSError("strange"), "strange. Make room"),
    ):

        def fail(*_: object, error: OSError = error) -> None:
            raise error

        monkeypatch.setattr(finishing, "_write_pages", fail)
        with pytest.raises(OutputError, match=f"Can't write to {site.out}: {words}"):
            site.finish()
    assert not site.finished()


# --- what lies there ----------------------------------------------------------------------------


def test_names_are_those_of_files_and_of_links(site: Site) -> None:
    part = f".manifest.parquet{PART_SUFFIX}"
    for key in ("a/1.jpg", "a/deep/2.jpg", part, f"x{PART_SUFFIX}", "3.jpg"):
        site.put(key)
    site.put(f"a/{part}")
    (site.out / "empty").mkdir()
    (site.out / "folder").symlink_to("a")
    (site.out / "a" / "dead").symlink_to("nothing")
    assert site.sink.names() == {
        *("a/1.jpg", "a/deep/2.jpg", "3.jpg", "folder", "a/dead"),
        *(f"a/{part}", f"x{PART_SUFFIX}"),
    }


def test_names_and_their_numbers_are_compared() -> None:
    missing, unexpected, count = (
        Code.VERIFY_FILE_MISSING,
        Code.VERIFY_FILE_UNEXPECTED,
        Code.VERIFY_COUNT,
    )
    found = list(
        _names_and_counts({"a/1", "b/\udce9", "b/2", "c/1"}, {"a/1", "b/3", "b/4", "b/2"}, SOURCE)
    )
    other = "in the release, but not from this source"
    assert found == [
        Finding("b/3", missing, False, 1, 0, "not in the release"),
        Finding("b/4", missing, False, 1, 0, "not in the release"),
        Finding(r"b/\xe9", unexpected, False, 1, 0, other),
        Finding("c/1", unexpected, False, 1, 0, other),
        Finding("a", count, True, 1, 1, ""),
        Finding("b", count, False, 2, 3, "2 files instead of 3"),
        Finding("c", count, False, 1, 0, "1 files instead of 0"),
    ]
    (strange, _) = _names_and_counts({"\udce9/1"}, set(), SOURCE)
    assert strange.key == r"\xe9/1"
    both = {"é/1", "\udc80/1"}
    assert [one.key for one in _names_and_counts(both, both, SOURCE)] == [
        r"\x80",
        "é",
    ]  # as bytes sort
    found = list(_names_and_counts(both, set(), SOURCE))
    assert [one.key for one in found if one.code is unexpected] == [r"\x80/1", "é/1"]


def test_a_file_is_what_its_record_or_its_note_says(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ("changed", "fresh", "gone", "link", "noted", "other", "right", "unknown")
    digests = {key: site.put(key) for key in keys}
    (site.out / "link").unlink()
    (site.out / "link").symlink_to("right")
    noted = Note("noted", "believed", state_of(site.out / "noted"))
    site.ledger.commit((), notes=[noted, Note("other", digests["other"], ""), Note("gone", "", "")])
    files = _Files(site.sink, set(keys) - {"gone"}, SOURCE, site.ledger)

    def bytes_changed(key: str, written: str) -> Finding:
        words = "not the file that was written"
        return Finding(key, Code.VERIFY_BYTES_CHANGED, False, 1, 0, words, written)

    for key, written, found in (
        ("changed", "wanted", [bytes_changed("changed", "wanted")]),
        ("fresh", digests["fresh"], []),
        ("gone", None, []),
        (
            "link",
            "x",
            [
                Finding(
                    *("link", Code.VERIFY_UNREADABLE, False, 1, 0),
                    *("what lies there is no file that can be read", "x"),
                )
            ],
        ),
        ("noted", "believed", []),
        ("other", None, []),
        ("right", digests["right"], []),
        ("unknown", None, []),
    ):
        now = site.out.stat().st_ctime_ns + 10**10
        if key == "fresh":
            now = (site.out / key).stat().st_ctime_ns
        monkeypatch.setattr("sfumato.sources.notes.time.time_ns", lambda now=now: now)
        assert files.check(key, written) == found, key
    assert files.wrong == 2
    assert [note.key for note in files.read] == ["other", "right"]


def test_what_had_to_be_read_is_noted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.ledger.list_source({"a.jpg": "image"})
    site.released("a.jpg")
    later = (site.out / "a.jpg").stat().st_ctime_ns + 10**10
    monkeypatch.setattr("sfumato.sources.notes.time.time_ns", lambda: later)
    site.finish()
    assert [note.key for note in site.ledger.notes()] == ["a.jpg"]


# --- no manifest that says what isn't so --------------------------------------------------------


def test_there_is_a_manifest_only_if_all_is_there_and_right(site: Site) -> None:
    keys = ("a.jpg", "b.jpg", "c.heic")
    site.begin()
    site.ledger.list_source(dict.fromkeys(keys, "image"))
    for key in keys[:2]:
        site.released(key, Code.VERIFY_STRENGTH)
    site.record("obfuscate", replace(site.released("b.jpg"), key="c.heic"))
    site.put("c.heic.jpg", "b.jpg")
    assert failed(site.finish()) == []
    assert site.finished()
    site.put("b.jpg", "changed")
    assert failed(site.finish()) == [("b.jpg", "VERIFY_BYTES_CHANGED")]
    assert not site.finished()
    (site.out / "b.jpg").unlink()
    report = site.finish()
    assert failed(report) == [("", "VERIFY_COUNT"), ("b.jpg", "VERIFY_FILE_MISSING")]
    # What was found in a file that is gone says nothing now.
    assert {one.passed for one in report.checks if one.code is Code.VERIFY_STRENGTH} == {1}
    assert not site.finished()
    site.put("b.jpg")
    site.finish()
    assert site.finished()
    site.ledger.list_source(dict.fromkeys((*keys, "d.jpg"), "image"))
    site.finish()
    assert not site.finished()


def test_what_speaks_of_other_bytes_is_passed_over_and_what_stands_is_not(site: Site) -> None:
    site.begin("verify")
    site.ledger.list_source(dict.fromkeys(("a.jpg", "b.jpg", "c.jpg"), "image"))
    output = site.released("a.jpg", Code.VERIFY_BYTES_CHANGED)
    weak = Finding("a.jpg", Code.VERIFY_STRENGTH, False, 1, 0.5, "", output.written)
    site.record("verify", weak)
    site.released("b.jpg")
    site.record("verify", Finding("b.jpg", Code.VERIFY_STRENGTH, False, 1, 0.5, "", "others"))
    site.released("c.jpg")
    site.record("verify", Finding("c.jpg", Code.VERIFY_UNREADABLE, False, 1, 0, "", ""))
    expected = [("a.jpg", "VERIFY_STRENGTH"), ("c.jpg", "VERIFY_UNREADABLE")]
    assert failed(site.finish()) == expected
    site.begin()  # a quicker look
    site.record("verify", replace(weak, passed=True, value=0.1))
    assert failed(site.finish()) == expected
    assert site.finished()


def test_what_an_older_version_made_is_said(site: Site) -> None:
    site.ledger.list_source({"a.jpg": "image", "b.jpg": "image"})
    for key in ("a.jpg", "b.jpg"):
        site.released(key)
    with site.ledger.database.transaction() as db:
        db.execute("DROP TRIGGER records_stay")
        db.execute("UPDATE records SET body = REPLACE(body, '\"second_images\":0,', '')")
    site.released("b.jpg")
    (found,) = site.finish().failed
    code = Code.VERIFY_SECOND_IMAGE
    assert found == Finding("a.jpg", code, False, 1, 0, OTHERS_BEFORE)
    looked = Finding("a.jpg", code, True, 0, 0, "", site.put("a.jpg"))
    site.record("verify", looked)
    assert failed(site.finish()) == []


def test_of_two_findings_of_one_check_the_one_that_failed_counts() -> None:
    passed, first, second = (
        Finding("k", Code.VERIFY_STRENGTH, value == 0, value, 0, "") for value in (0, 1, 2)
    )
    other = Finding("k", Code.VERIFY_COUNT, True, 0, 0, "")
    assert _merged([passed, other], []) == [other, passed]
    assert _merged([passed, other], [first]) == [other, first]
    assert _merged([first], [second]) == [first]
    assert _merged([], [second, other]) == [other, second]
    assert _merged([other], [first, second]) == [other, first]


# --- other files --------------------------------------------------------------------------------


def test_other_files_are_counted_and_compared(site: Site) -> None:
    names = ("a.txt", "b.txt", "c.txt", "d.txt", "e.txt", "f.txt")
    site.ledger.list_source(dict.fromkeys(names, "copied") | {"g.txt": "withheld"})
    same = replace(site.released("a.txt"), content="other")
    site.record("obfuscate", same)
    wrong = Code.VERIFY_OTHER
    # One that was changed, one copied before there were records, one whose check failed.
    site.record("obfuscate", replace(site.released("b.txt"), content="unchecked"))
    site.put("b.txt", "changed")
    site.put("c.txt")
    site.record("obfuscate", replace(site.released("d.txt"), content="other"))
    written = site.put("d.txt")
    of_others = Finding("d.txt", wrong, False, 1, 0, "of other bytes", "other")
    site.record("verify", Finding("d.txt", wrong, False, 1, 0, "", written), of_others)
    site.record("verify", Finding("e.txt", wrong, True, 0, 0, ""))
    site.put("e.txt")
    refused = Failure("g.txt", "copy", Code.OTHER_MAY_HOLD_FACES, "")
    site.record("obfuscate", refused, replace(refused, key="f.txt"))
    site.record("verify", Finding("f.txt", wrong, False, 1, 0, "", "any"))
    site.put("f.txt")
    report = site.finish()
    assert [(one.key, str(one.code)) for one in report.failed] == [
        ("b.txt", "VERIFY_BYTES_CHANGED"),
        ("c.txt", "VERIFY_OTHER"),
        ("f.txt", "VERIFY_OTHER"),
    ]
    assert report.failed[1].detail == OTHERS_BEFORE
    assert (report.others.copied, report.others.unchecked, report.others.refused) == (5, 1, 2)
    assert report.account == Account()
    assert not site.finished()
    site.put("b.txt")
    report = site.finish()
    assert site.finished()
    rows = {row["path"]: (row["action"], row["content"]) for row in site.rows()}
    assert rows == {
        "a.txt": ("copied", "other"),
        "b.txt": ("copied", "unchecked"),
        "d.txt": ("copied", "other"),
        "f.txt": ("refused", "other"),
        "g.txt": ("refused", "other"),
    }


# --- what goes ----------------------------------------------------------------------------------


def test_what_earlier_runs_wrote_goes_and_nothing_else(site: Site) -> None:
    for key in ("a/1.jpg", "b/deep/2.jpg", "c/3.jpg", "d/4.heic"):
        site.released(key)
    (site.out / "d/4.heic").rename(site.out / "d/4.heic.jpg")
    site.put("c/theirs")
    site.put("e/theirs")
    site.put("manifest.parquet")
    (site.out / "f").mkdir()
    site.released("f/5.jpg")
    (site.out / "f/5.jpg").unlink()  # it is gone already
    assert _remove_stale(site.sink, {"a/1.jpg"}, site.ledger) == {
        *("b/deep/2.jpg", "c/3.jpg", "d/4.heic.jpg"),
    }
    left = {str(path.relative_to(site.out)) for path in site.out.rglob("*")}
    assert left == {"a", "a/1.jpg", "c", "c/theirs", "e", "e/theirs", "f"}


def test_the_folder_of_the_release_stays_and_loses_its_manifest_first(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.released("a.jpg")
    there: list[bool] = []
    monkeypatch.setattr(finishing, "forget_release", lambda sink: there.append(sink.holds("a.jpg")))
    assert _remove_stale(site.sink, set(), site.ledger) == {"a.jpg"}
    assert (there, list(site.out.iterdir())) == ([True], [])


def test_where_nothing_goes_the_manifest_stays(site: Site) -> None:
    site.released("a.jpg")
    site.put("manifest.parquet")
    assert _remove_stale(site.sink, {"a.jpg"}, site.ledger) == set()
    assert site.finished()


def test_only_what_is_tidied_loses_what_no_longer_belongs(site: Site) -> None:
    site.ledger.list_source({"a.jpg": "image"})
    for key in ("a.jpg", "b/2.jpg"):
        site.released(key)
    report = site.finish(tidy=False)
    found = [("b", "VERIFY_COUNT"), ("b/2.jpg", "VERIFY_FILE_UNEXPECTED")]
    assert failed(report) == found
    assert (site.out / "b/2.jpg").exists()
    assert failed(site.finish()) == []
    assert not (site.out / "b").exists()


def test_a_release_is_forgotten_durably_and_its_manifest_first(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    unlink = Path.unlink

    def noting(path: Path, missing_ok: bool = False) -> None:
        calls.append(path.name)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", noting)
    monkeypatch.setattr(folder_sink, "fsync", lambda path: calls.append(f"synced {path.name}"))
    for key in ("manifest.parquet", "summary.json", "report.html", "a.jpg"):
        site.put(key)
    forget_release(site.sink)
    assert [path.name for path in site.out.iterdir()] == ["a.jpg"]
    assert (calls[0], calls[-1]) == ("manifest.parquet", "synced out")
    assert set(calls[:-1]) == RESERVED


def test_folders_from_which_something_went_are_synced(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a/deep/1.jpg", "b/2.jpg", "b/3.jpg", "4.jpg"):
        site.released(key)
    synced: list[Path] = []
    monkeypatch.setattr(finishing, "forget_release", lambda sink: synced.append(sink.root))
    monkeypatch.setattr(folder_sink, "fsync", synced.append)
    _remove_stale(site.sink, {"b/3.jpg"}, site.ledger)
    assert synced[0] == site.out
    assert sorted(synced[1:]) == [site.out, site.out / "b"]
