"""Files that are no images by name: copied on request, if they are harmless text.

What may be an image, or can't be told, isn't copied and is named. A pattern copies files
unchecked, on the word of whoever gave it; the manifest and the report say so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from sfumato.errors import Code, SampleError
from sfumato.sources import Sink, Source
from sfumato.sources.disk import is_part
from sfumato.sources.released_names import is_reserved
from sfumato.sources.selection import Globs
from sfumato.sources.text import TextScan
from sfumato.types import Failure, Finding, Output, Record


def stage_others(
    keys: Iterable[str],
    source: Source,
    sink: Sink,
    unchecked: Globs,
    states: Mapping[str, str],
) -> Iterator[Output | Failure]:
    """Stage labels, texts and the like for the release; yield what is to be published, or refused.

    A file is read once, in parts: what was looked through is what is written. What bears the name
    of one of the release's own files at the top, or of an unfinished one, is passed over. `states`
    go into the records.

    Raises:
        OutputError: the release can't be written.
    """
    for key in keys:
        if is_reserved(key) or is_part(key.rpartition("/")[2]):
            continue  # stays listed as ignored
        scan = None if unchecked.match(key) else TextScan(key)
        try:
            digest = sink.stage_parts(key, _looked_through(source.parts(key), scan))
        except SampleError as error:
            yield Failure(key, "copy", error.code, error.reason)
        else:
            yield Output(
                *(key, digest, digest, "copied", "identical", "", ()),
                content="unchecked" if scan is None else "other",
                state=states.get(key, ""),
            )


def check_others(
    records: Iterable[tuple[str, Record | None]], source: Source, sink: Sink
) -> Iterator[Finding]:
    """Look at the copied files of a release as they lie there now, each with its last record.

    A release of an older version has no records of them: its files are compared with the source.
    """
    for key, record in records:
        known = record if isinstance(record, Output) else None
        scan = TextScan(key) if known is None or known.content != "unchecked" else None
        try:
            before = _digest(source.parts(key), None)
            after = _digest(sink.parts(key), scan, refuse=False)
        except SampleError as error:
            if sink.holds(key):  # else `finish` says so
                yield _finding(key, Code.VERIFY_UNREADABLE, known, error.reason)
            continue
        written = before if known is None else known.written
        if after != written or before != written:
            words = "not the file that was copied" if after != written else "its source changed"
            yield _finding(key, Code.VERIFY_BYTES_CHANGED, known, words)
        objection = None if scan is None else scan.finish()
        yield _finding(key, Code.VERIFY_OTHER, known, _in_words(objection) if objection else "")


def passed(output: Output) -> Finding:
    """Return the finding of a file that was copied by this run."""
    return _finding(output.key, Code.VERIFY_OTHER, output, "")


def _finding(key: str, code: Code, output: Output | None, words: str) -> Finding:
    digest = "" if output is None else output.written
    return Finding(key, code, not words, float(bool(words)), 0.0, words, digest)


def _in_words(objection: str) -> str:
    return f"could hold an image or what is private: {objection}"


def _digest(parts: Iterable[bytes], scan: TextScan | None, *, refuse: bool = True) -> str:
    digest = hashlib.sha256()
    for part in _looked_through(parts, scan, refuse=refuse):
        digest.update(part)
    return digest.hexdigest()


def _looked_through(
    parts: Iterable[bytes], scan: TextScan | None, *, refuse: bool = True
) -> Iterator[bytes]:
    """Yield a file in parts; with `refuse`, raise `SampleError` for what `scan` objects to."""
    for part in parts:
        if scan is not None:
            scan.feed(part)
            _object(scan.objection, refuse=refuse)
        yield part
    if scan is not None:
        _object(scan.finish(), refuse=refuse)


def _object(objection: str | None, *, refuse: bool) -> None:
    if objection and refuse:
        raise SampleError(Code.OTHER_MAY_HOLD_FACES, f"not copied, {_in_words(objection)}")
