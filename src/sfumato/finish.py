"""The end of a run: the account of every picture, the manifest, and the reports.

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

from sfumato import __version__, codec
from sfumato.errors import Code, OutputError, SampleError
from sfumato.formats.imagefolder import (
    PART_SUFFIX,
    FolderSink,
    label_of,
    read_steadily,
    write_atomically,
)
from sfumato.formats.manifest import FACES, MANIFEST, Table, face_rows, manifest_row
from sfumato.formats.others import RESERVED
from sfumato.ledger import Ledger
from sfumato.recipe import Recipe
from sfumato.report.data import About, Report
from sfumato.report.page import render
from sfumato.report.pairs import Choice, Pair
from sfumato.report.tally import Tally
from sfumato.types import Assessment, Failure, Finding, Output, Record

_THUMBNAIL_PX: Final = 480


def forget_release(root: Path) -> None:
    """Remove the manifest and the reports: from now on the folder is no finished release."""
    for name in ("manifest.parquet", *sorted(RESERVED - {"manifest.parquet"})):
        (root / name).unlink(missing_ok=True)


def finish(
    recipe: Recipe,
    source_name: str,
    sink: FolderSink,
    ledger: Ledger,
    private: Path,
    *,
    tidy: bool,
) -> Report:
    """Write manifest.parquet, faces.parquet, summary.json and the two reports.

    The report with originals goes to the folder `private`.

    With `tidy`, pictures that an earlier run wrote and that no longer belong to the release are
    removed first; a file that no run wrote is never removed, but found.

    Raises:
        OutputError: the disk refuses.
    """
    about = About(recipe.published(), recipe.fingerprint("verify"), source_name, __version__)
    tally = Tally(about)
    try:
        with (  # left in reverse: the manifest is renamed into place last
            Table(sink.root / "manifest.parquet", MANIFEST) as manifest,
            Table(sink.root / "faces.parquet", FACES) as faces,
        ):
            there = _names_in(sink.root)
            expected = _account(recipe, ledger, tally, manifest, faces, there)
            for assessment in ledger.latest(recipe.fingerprint("detect"), ("assessment",)):
                if isinstance(assessment, Assessment):
                    tally.assessed(assessment)
            if tidy:
                there -= _remove_stale(sink.root, expected, ledger)
            for finding in _names_and_counts(there, expected):
                tally.finding(finding)
            report = tally.report()
            _write_pages(report, _pairs(tally.choose(), sink), sink.root, private)
    except OSError as error:
        raise OutputError(
            f"Can't write to {sink.root}: {str(error.strerror or error).rstrip('.')}. Make room or "
            "mend that, then run the same command again to go on."
        ) from error
    return report


def _names_in(root: Path) -> set[str]:
    """Return the keys of all files in the release, a link to a folder counting as one."""
    names = (
        os.path.relpath(os.path.join(folder, name), root)
        for folder, folders, files in os.walk(root)
        for name in (*files, *(n for n in folders if os.path.islink(os.path.join(folder, n))))
        if not (folder == str(root) and (name in RESERVED or name.endswith(PART_SUFFIX)))
    )
    return {name.replace(os.sep, "/") for name in names}


def _account(
    recipe: Recipe, ledger: Ledger, tally: Tally, manifest: Table, faces: Table, there: set[str]
) -> set[str]:
    """Count every picture that the source holds; return the paths that the release should hold."""
    fate_print = recipe.fingerprint("obfuscate")
    fates = _InStep(ledger.latest(fate_print, ("output", "failure")))
    seen = _InStep(ledger.latest(recipe.fingerprint("detect"), ("detection",)))
    found = _InStep(ledger.findings(recipe.fingerprint("verify")))
    decided = _InStep(ledger.latest(recipe.fingerprint("detect"), ("decision",)))
    expected: set[str] = set()
    ignored: list[str] = []
    for key, kind in ledger.listing():
        if kind in ("ignored", "copied"):
            ignored.append(key)
            expected |= {key} if kind == "copied" else set()
            continue
        records, findings = seen.at(key) + decided.at(key), found.at(key)
        for fate in fates.at(key):
            if isinstance(fate, Output):
                if key in there:  # what was found in a file that is gone says nothing now
                    records += [finding for finding in findings if _speaks_of(finding, fate)]
                expected.add(key)
                faces.add(face_rows(fate))
            if isinstance(fate, Output | Failure):
                manifest.add([manifest_row(fate, fate_print)])
            records.append(fate)
        tally.add(key, label_of(key), records)
    tally.ignored(len(ignored), ignored)
    return expected


class _InStep:
    """A stream of records in the order of their keys, read in step with a list of keys."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = iter(records)
        self._head = next(self._records, None)

    def at(self, key: str) -> list[Record]:
        """Return the records of this key; those of smaller keys are passed over."""
        found: list[Record] = []
        while self._head is not None and self._head.key <= key:
            if self._head.key == key:
                found.append(self._head)
            self._head = next(self._records, None)
        return found


def _speaks_of(record: Record, output: Output) -> bool:
    return isinstance(record, Finding) and record.digest in (output.written, "")


def _remove_stale(root: Path, expected: set[str], ledger: Ledger) -> set[str]:
    """Remove what earlier runs wrote and nothing accounts for any more; return the keys."""
    removed: set[str] = set()
    for key in ledger.written():
        if key not in expected and (root / key).is_file():
            (root / key).unlink()
            _remove_empty((root / key).parent, root)
            removed.add(key)
    return removed


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _names_and_counts(there: set[str], expected: set[str]) -> Iterator[Finding]:
    """Compare the names in the release, and their number in each class, with the account."""
    for key in sorted(expected - there):
        yield Finding(key, Code.VERIFY_FILE_MISSING, False, 1, 0, "not in the release")
    for key in sorted(there - expected, key=os.fsencode):
        shown = os.fsencode(key).decode("utf-8", "backslashreplace")
        words = "in the release, but not from this source"
        yield Finding(shown, Code.VERIFY_FILE_UNEXPECTED, False, 1, 0, words)
    want, have = Counter(map(label_of, expected)), Counter(map(label_of, there))
    for label in sorted(want | have, key=os.fsencode):
        passed = want[label] == have[label]
        words = "" if passed else f"{have[label]} files instead of {want[label]}"
        shown = os.fsencode(label).decode("utf-8", "backslashreplace")
        yield Finding(shown, Code.VERIFY_COUNT, passed, have[label], want[label], words)


def _pairs(choices: Sequence[Choice], sink: FolderSink) -> list[Pair]:
    """Make the small pictures for the private report; what can't be read any more is left out."""
    pairs: list[Pair] = []
    for choice in choices:
        try:
            before = codec.thumbnail(read_steadily(sink.source / choice.key), _THUMBNAIL_PX)
            after = codec.thumbnail(read_steadily(sink.final(choice.key)), _THUMBNAIL_PX)
        except SampleError:
            continue  # its finding or refusal is listed; only the picture of it is missing
        pairs.append(Pair(choice.key, before, after, choice.caption))
    return pairs


def _write_pages(report: Report, pairs: Sequence[Pair], root: Path, private: Path) -> None:
    pages = {
        private / "report.html": render(report, private=True, pairs=pairs),
        root / "report.html": render(report, private=False),
        root / "summary.json": json.dumps(report.summary(), indent=2, ensure_ascii=False) + "\n",
    }
    for path, text in pages.items():
        write_atomically(path, text.encode(), owner_only=path.parent != root)
