"""Other files of a source on their way into the release, and those of a release looked at again.

What was copied and is still the same, there as here, isn't read again: its record notes size,
times and inode of the source's file, the ledger those of the release's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.job import Job
from sfumato.sources import Note, Sink
from sfumato.sources.notes import is_as_noted
from sfumato.sources.others import check_others, passed, stage_others
from sfumato.types import Failure, Finding, Output, Record
from sfumato.version import VERSION

# What the ledger's listing calls other files: copied, or named because they weren't.
COPIED = "copied"
WITHHELD = "withheld"


def copy_others(
    job: Job, stages: Sequence[str], others: Sequence[str], sink: Sink, ledger: Ledger
) -> tuple[list[Output | Failure], list[Record]]:
    """Publish the files that may be copied.

    Returns what became of each file, in order, and what the ledger doesn't know of that yet.

    Raises:
        OutputError: the release can't be written.
    """
    known = _known(job, others, ledger)
    same = dict(_unchanged(job, known, sink, ledger)) if job.resume else {}
    left = [key for key in others if key not in same]
    states = {key: _state(job, key) for key in left}  # before they are read
    staged = {one.key: one for one in stage_others(left, job.source, sink, job.unchecked, states)}
    copied = [one for one in staged.values() if isinstance(one, Output)]
    keys = [one.key for one in copied]
    ledger.commit((), notes=[Note(key, "", "") for key in keys])
    sink.publish(keys)
    ledger.commit((), notes=sink.notes(keys))
    records: list[Record] = [one for one in staged.values() if known.get(one.key) != one]
    if "verify" in stages:
        records += map(passed, copied)
    fates = {**same, **staged}
    return [fates[key] for key in others if key in fates], records


def _unchanged(
    job: Job, fates: Mapping[str, Record], sink: Sink, ledger: Ledger
) -> Iterator[tuple[str, Output]]:
    """Yield what was copied by the same rules, and is as it was, in the source and the release."""
    notes = {note.key: note for note in ledger.notes() if note.key in fates} if fates else {}
    for key, known in fates.items():
        wanted = "unchecked" if job.unchecked.match(key) else "other"
        if (
            isinstance(known, Output)
            and known.content == wanted
            and known.state == _state(job, key) != ""
            and is_as_noted(sink, key, notes.get(key), known.written)
        ):
            yield key, known


def _state(job: Job, key: str) -> str:
    """Return the state of a source's file, and by whose rules it is looked through."""
    state = job.source.state(key)
    return state and f"{VERSION} {state}"


def _known(job: Job, keys: Sequence[str], ledger: Ledger) -> dict[str, Record]:
    fingerprint = job.recipe.fingerprint("obfuscate")
    fates = ledger.latest_among(fingerprint, ("output", "failure"), keys)
    return {record.key: record for record in fates}


def checked_others(job: Job, keys: Sequence[str], sink: Sink, ledger: Ledger) -> Iterator[Finding]:
    """Yield what is found in copied files as they lie in the release now."""
    known = _known(job, keys, ledger)
    return check_others(((key, known.get(key)) for key in keys), job.source, sink)
