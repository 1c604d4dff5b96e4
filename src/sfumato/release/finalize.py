"""The end of a run: the account of every image, the manifest, and the reports.

Everything comes from the ledger and from a walk over the release, so it can be made again at
any time, and the same work gives the same bytes. The manifest is written last: a folder
without one is not a release.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from sfumato.errors import Code, OutputError, SampleError
from sfumato.imaging import codec
from sfumato.ledger.in_step import InStep
from sfumato.ledger.ledger import Ledger
from sfumato.recipe import Recipe
from sfumato.release.manifest import FACES, MANIFEST, Table, face_rows, manifest_row, table
from sfumato.release.report.data import About, Report
from sfumato.release.report.page import render
from sfumato.release.report.pairs import Choice, Pair
from sfumato.release.report.tally import Tally
from sfumato.sources import Note, Sink, Source
from sfumato.sources.disk import write_atomically
from sfumato.sources.notes import is_as_noted
from sfumato.sources.released_names import RESERVED, released_name
from sfumato.types import Assessment, Detection, Failure, FileKind, Finding, Output, Record
from sfumato.verification.failing import standing
from sfumato.verification.judging import judged
from sfumato.version import VERSION

_THUMBNAIL_PX: Final = 480


def forget_release(sink: Sink) -> None:
    """Remove the manifest and the reports: from now on the folder is no finished release.

    That is on the disk when this returns: no power cut can leave an old manifest over new files.
    """
    sink.forget(("manifest.parquet", *sorted(RESERVED)))


def finish(
    recipe: Recipe,
    source: Source,
    sink: Sink,
    ledger: Ledger,
    private: Path,
    *,
    tidy: bool,
) -> Report:
    """Write manifest.parquet, faces.parquet, summary.json and the two reports.

    The report with originals goes to the folder `private`.

    With `tidy`, images that an earlier run wrote and that no longer belong to the release are
    removed first; a file that no run wrote is never removed, but found. Where a file isn't what
    its record says, or an image has no record yet, there is no manifest: it would be untrue.

    Raises:
        OutputError: the disk refuses.
    """
    try:
        return _finished(recipe, source, sink, ledger, private, tidy=tidy)
    except OSError as error:
        raise OutputError(
            f"Can't write to {sink.url}: {str(error.strerror or error).rstrip('.')}. Make room or "
            "mend that, then run the same command again to go on."
        ) from error


def _finished(
    recipe: Recipe, source: Source, sink: Sink, ledger: Ledger, private: Path, *, tidy: bool
) -> Report:
    tally = Tally(About(recipe.published(), recipe.fingerprint("verify"), source.name, VERSION))
    with (  # left in reverse: the manifest is renamed into place last
        table(sink, "manifest.parquet", MANIFEST) as manifest,
        table(sink, "faces.parquet", FACES) as faces,
    ):
        there = sink.names() - RESERVED
        files = _Files(sink, there, source, ledger)
        expected = _account(recipe, ledger, tally, manifest, faces, files)
        ledger.commit((), notes=files.read)
        for assessment in ledger.latest(recipe.fingerprint("detect"), ("assessment",)):
            if isinstance(assessment, Assessment):
                tally.assessed(assessment)
        for name, judgement in judged(recipe, ledger):
            tally.judged(name, judgement)
        if tidy:
            there -= _remove_stale(sink, expected, ledger)
        for finding in _names_and_counts(there, expected, source):
            tally.finding(finding)
        report = tally.report()
        manifest.withheld = bool(files.wrong or expected - there or report.account.unfinished)
        _write_pages(report, _pairs(tally.choose(), source, sink), sink, private)
    return report


class _Files:
    """The files of the release: whether they are what the ledger says.

    `wrong` counts those that aren't; `read` are notes of those that had to be read to know.
    """

    def __init__(self, sink: Sink, there: set[str], source: Source, ledger: Ledger) -> None:
        self._sink = sink
        self._source = source
        self.there = there
        self._notes = InStep(ledger.notes())
        self.wrong = 0
        self.read: list[Note] = []

    def label(self, key: str, records: Iterable[Record]) -> str:
        """Return the class of an image: what was read with it, else what its place says."""
        read = (record.label for record in records if isinstance(record, Detection))
        return next(read, None) or self._source.label(key)

    def check(self, key: str, written: str | None) -> list[Finding]:
        """Return what is wrong with a file; `written` is the SHA-256 that it should have.

        None: that of its note, of a file that has no record.
        """
        note = self._notes.last(key)
        if written is None:
            if note is None:
                return []  # copied by a version that noted nothing
            written = note.digest
        if released_name(key) not in self.there or is_as_noted(self._sink, key, note, written):
            return []  # what isn't there is found by its name
        now = self._sink.note(key)
        if now is not None and now.digest == written:
            self.read += [now] if now.state else []
            return []
        self.wrong += 1
        if now is None:
            words = "what lies there is no file that can be read"
            return [Finding(key, Code.VERIFY_UNREADABLE, False, 1, 0, words, written)]
        words = "not the file that was written"
        return [Finding(key, Code.VERIFY_BYTES_CHANGED, False, 1, 0, words, written)]


def _account(
    recipe: Recipe, ledger: Ledger, tally: Tally, manifest: Table, faces: Table, files: _Files
) -> set[str]:
    """Count every image that the source holds; return the paths that the release should hold."""
    fate_print = recipe.fingerprint("obfuscate")
    fates = InStep(ledger.latest(fate_print, ("output", "failure")))
    seen = InStep(ledger.latest(recipe.fingerprint("detect"), ("detection",)))
    found = InStep(ledger.findings(recipe.fingerprint("verify")))
    decided = InStep(ledger.latest(recipe.fingerprint("detect"), ("decision",)))
    still, unsearched = standing(ledger), ledger.unsearched(fate_print, checked=True)
    expected: set[str] = set()
    for key, kind in ledger.listing():
        if kind in ("ignored", "excluded"):
            tally.passed_over(key, kind)
            continue
        if kind in ("copied", "withheld"):
            other, lying = fates.last(key), files if kind == "copied" else None
            manifest.add(_rows(other, fate_print, content="other"))
            expected |= _account_other(key, other, found.at(key), tally, lying)
            continue
        records, findings = [*seen.at(key), *decided.at(key)], found.at(key)
        for fate in fates.at(key):
            if isinstance(fate, Output):
                name = released_name(key)
                before = _of_before(key, Code.VERIFY_SECOND_IMAGE) if key in unsearched else []
                wrong = [*before, *files.check(key, fate.written)]
                if name in files.there:  # what was found in a file that is gone says nothing now
                    findings = [one for one in findings if _speaks_of(one, fate)]
                    known = (one.of(fate, fate_print) for one in still.get(key, ()))
                    records += _merged(findings, [*filter(None, known), *wrong])
                expected.add(name)
                faces.add(face_rows(fate))
            manifest.add(_rows(fate, fate_print))
            records.append(fate)
        tally.add(key, files.label(key, records), records)
    return expected


def _rows(
    fate: Record | None, fingerprint: str, *, content: FileKind = "image"
) -> list[dict[str, object]]:
    if not isinstance(fate, Output | Failure):
        return []
    return [manifest_row(fate, fingerprint, content=content)]


def _account_other(
    key: str, fate: Record | None, findings: Iterable[Record], tally: Tally, files: _Files | None
) -> set[str]:
    """Count a file that is no image; an older version's has no record. No `files`: it stays out.

    Returns the paths that the release should hold.
    """
    tally.other(fate if isinstance(fate, Output | Failure) else None)
    if files is None:
        return set()
    wrong = files.check(key, fate.written if isinstance(fate, Output) else None)
    known = list(findings)
    if fate is None and not known:
        wrong += _of_before(key, Code.VERIFY_OTHER)
    for finding in _merged(known, wrong):
        if isinstance(finding, Finding) and (
            not isinstance(fate, Output) or _speaks_of(finding, fate)
        ):
            tally.finding(finding)
    return {key}


def _of_before(key: str, code: Code) -> list[Finding]:
    """Return what is to be said of a file in which an older version didn't look for faces."""
    words = "made by a version that didn't look there: run the same command again"
    return [Finding(key, code, False, 1, 0, words)]


def _speaks_of(record: Record, output: Output) -> bool:
    return isinstance(record, Finding) and record.digest in (output.written, "")


def _merged(findings: Iterable[Record], failed: Iterable[Finding]) -> list[Record]:
    """Put what is known to be wrong in the place of what a quicker or earlier look said."""
    by_code = {one.code: one for one in findings if isinstance(one, Finding)}
    for one in failed:
        if one.code not in by_code or by_code[one.code].passed:
            by_code[one.code] = one
    return [by_code[code] for code in sorted(by_code)]


def _remove_stale(sink: Sink, expected: set[str], ledger: Ledger) -> set[str]:
    """Remove what earlier runs wrote and nothing accounts for any more; return the names."""
    written = map(released_name, ledger.written())
    stale = {name for name in written if name not in expected and sink.holds(name)}
    if stale:
        forget_release(sink)  # an old manifest must not name what is gone
        sink.remove(sorted(stale))
    return stale


def _names_and_counts(there: set[str], expected: set[str], source: Source) -> Iterator[Finding]:
    """Compare the names in the release, and their number in each class, with the account."""
    for key in sorted(expected - there):
        yield Finding(key, Code.VERIFY_FILE_MISSING, False, 1, 0, "not in the release")
    for key in sorted(there - expected, key=os.fsencode):
        shown = os.fsencode(key).decode("utf-8", "backslashreplace")
        words = "in the release, but not from this source"
        yield Finding(shown, Code.VERIFY_FILE_UNEXPECTED, False, 1, 0, words)
    want, have = Counter(map(source.label, expected)), Counter(map(source.label, there))
    for label in sorted(want | have, key=os.fsencode):
        passed = want[label] == have[label]
        words = "" if passed else f"{have[label]} files instead of {want[label]}"
        shown = os.fsencode(label).decode("utf-8", "backslashreplace")
        yield Finding(shown, Code.VERIFY_COUNT, passed, have[label], want[label], words)


def _pairs(choices: Sequence[Choice], source: Source, sink: Sink) -> list[Pair]:
    """Make the small images for the private report; what can't be read any more is left out."""
    pairs: list[Pair] = []
    for choice in choices:
        try:
            before = codec.thumbnail(source.sample(choice.key).data, _THUMBNAIL_PX)
            after = codec.thumbnail(sink.read(choice.key), _THUMBNAIL_PX)
        except SampleError:
            continue  # its finding or refusal is listed; only the image of it is missing
        pairs.append(Pair(choice.key, before, after, choice.caption))
    return pairs


def _write_pages(report: Report, pairs: Sequence[Pair], sink: Sink, private: Path) -> None:
    page = render(report, private=True, pairs=pairs)
    write_atomically(private / "report.html", page.encode())
    summary = json.dumps(report.summary(), indent=2, ensure_ascii=False) + "\n"
    pages = {"report.html": render(report, private=False), "summary.json": summary}
    for name, text in pages.items():
        with sink.writing(name) as file:
            file.write(text.encode())
