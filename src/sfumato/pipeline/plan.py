"""What is left to do: a mark "done" is believed only of what lies in the release as it says.

Of each image of a shard that is marked as done, the file in OUT must hold the bytes that the
record speaks of, and a refusal must be one that would come again. What isn't so is done again,
image by image.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sfumato.errors import Code, SampleError
from sfumato.ledger.in_step import InStep
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.job import Contents, Job
from sfumato.pipeline.settings import software
from sfumato.recipe import only_looks
from sfumato.sources import Note
from sfumato.sources.doors import ImportedBoxes, Shard
from sfumato.sources.notes import is_as_noted
from sfumato.types import Detection, Failure, Output, Record, Redetection
from sfumato.verification.failing import OTHER_BYTES, last_failed, uncovered

# The same software refuses the same bytes again.
_OF_THE_BYTES: Final = frozenset(
    {
        Code.IMAGE_EMPTY,
        Code.IMAGE_UNRECOGNISED,
        Code.IMAGE_DECODE,
        Code.IMAGE_TOO_LARGE,
        Code.IMAGE_UNSUPPORTED,
        Code.IMAGE_ENCODE,
    }
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job would do: the source's content and the shards, or parts of them, that are left.

    `notes` are of files that had to be read to be believed; `uncovered` are faces that checks saw
    in the release, and that the job shall cover.
    """

    content: Contents
    left: tuple[Shard, ...]
    notes: tuple[Note, ...] = ()
    uncovered: tuple[Redetection, ...] = ()

    @property
    def images_left(self) -> int:
        """How many images the shards that are left hold."""
        return sum(len(shard.keys) for shard in self.left)


def make_plan(job: Job, stages: Sequence[str], ledger: Ledger | None, content: Contents) -> Plan:
    """Say which of the source's shards are left, and of those that are done, which images."""
    plan = Plan(content, content.shards)
    # Verification looks at what lies there now: what it found last time proves nothing.
    if ledger is None or only_looks(stages):
        return plan
    if job.cover_findings and "obfuscate" in stages:
        plan = replace(plan, uncovered=tuple(uncovered(ledger, job.recipe)))
    done = set.intersection(
        *(ledger.done(stage, job.recipe.fingerprint(stage)) for stage in stages)
    )
    if not job.resume or not done:
        return plan
    marked = [shard for shard in content.shards if shard.id in done]
    if "obfuscate" in stages:
        wrong, notes = _wrong_in_release(job, stages, marked, ledger, content.boxes)
        wrong |= {one.key for one in plan.uncovered}
        plan = replace(plan, notes=tuple(notes))
    else:
        fates = ledger.latest(job.recipe.fingerprint("detect"), ("detection", "failure"))
        refused = _Refusals(job, stages, ledger, content.boxes)
        wrong = {
            key
            for key, fate in _in_step(marked, fates)
            if not refused.stands(fate) or (isinstance(fate, Detection) and _differs(job, fate))
        }
    return replace(plan, left=tuple(_left(content.shards, done, wrong)))


def _left(shards: Iterable[Shard], done: set[str], wrong: set[str]) -> Iterator[Shard]:
    for shard in shards:
        keys = tuple(key for key in shard.keys if shard.id not in done or key in wrong)
        if keys:
            yield replace(shard, keys=keys)


def _in_step(
    shards: Iterable[Shard], fates: Iterable[Record]
) -> Iterator[tuple[str, Record | None]]:
    """Yield each key with its latest record."""
    known = InStep(fates)
    for shard in shards:
        for key in shard.keys:
            yield key, known.last(key)


def _wrong_in_release(
    job: Job,
    stages: Sequence[str],
    marked: Sequence[Shard],
    ledger: Ledger,
    boxes: Mapping[str, ImportedBoxes],
) -> tuple[set[str], list[Note]]:
    """Return the images that are done but not right, and notes of those that had to be read.

    The file isn't what the record says; the source's isn't any more; the refusal may be mended by
    now; people or checks decided on it since; a verification met other bytes than those that lie
    there now; or a version made it that didn't look for second images.
    """
    sink, fingerprint = job.release, job.recipe.fingerprint("obfuscate")
    refused = _Refusals(job, stages, ledger, boxes)
    known = InStep(ledger.notes())
    wrong: set[str] = set()
    unread: dict[str, str] = {}
    fates = ledger.latest(fingerprint, ("output", "failure"))
    for key, fate in _in_step(marked, fates):
        note = known.last(key)
        if not isinstance(fate, Output):
            wrong |= set() if refused.stands(fate) else {key}
        elif _differs(job, fate):
            wrong.add(key)
        elif not is_as_noted(sink, key, note, fate.written):
            unread[key] = fate.written
    found = {note.key: note for note in sink.notes(unread)}
    wrong |= {key for key, digest in unread.items() if _digest(found.get(key)) != digest}
    wrong |= ledger.redecided(job.recipe.fingerprint("detect"), fingerprint)
    wrong |= {
        key for key in ledger.unsearched(fingerprint, checked=False) if _can_be_read(job, key)
    }
    failed = last_failed(ledger, job.recipe.fingerprint("verify")) if "verify" in stages else {}
    wrong |= {
        key
        for key, some in failed.items()
        if any(one.code in OTHER_BYTES for one in some) and _can_be_read(job, key)
    }
    return wrong, [note for note in found.values() if note.key not in wrong and note.state]


def _differs(job: Job, known: Output | Detection) -> bool:
    """Say whether a file of the source holds other bytes than were read, its size and time kept.

    It is read only if the time at which it was last changed in any way, or its inode, moved on.
    What can't be read any more stays as it is, and so does what is one file with that in OUT.
    """
    state = job.source.state(known.key)
    if not known.state or known.state == state:
        return False
    if state and job.out is not None and state == job.out.state(known.key):
        return False
    try:
        return job.source.sample(known.key).digest != known.digest
    except SampleError:
        return False


def _can_be_read(job: Job, key: str) -> bool:
    """Say whether an image can be done again: else what lies in the release stays there."""
    try:
        job.source.sample(key)
    except SampleError:
        return False
    return True


def _digest(note: Note | None) -> str:
    return "" if note is None else note.digest


class _Refusals:
    """Which refusals would come again, so that the image needn't be tried."""

    def __init__(
        self, job: Job, stages: Sequence[str], ledger: Ledger, boxes: Mapping[str, ImportedBoxes]
    ) -> None:
        stage = "obfuscate" if "obfuscate" in stages else "detect"
        self._by_same_software = _refused_by_same_software(ledger, job.recipe.fingerprint(stage))
        self._boxes = boxes
        self._from_file = "detect" in stages and job.boxes is not None
        self._unlisted = job.recipe.detect.unlisted == "refuse"

    def stands(self, fate: Record | None) -> bool:
        """Say whether a record of an image holds; of refusals, whether it would come again."""
        if not isinstance(fate, Failure):
            return fate is not None
        if fate.code is Code.BOXES_MISSING and self._from_file:
            given = self._boxes.get(fate.key)
            return self._unlisted if given is None else given.problem != ""
        if fate.code is Code.REVIEW_MISSING:
            return True  # until there is a decision, which is newer
        return fate.code in _OF_THE_BYTES and fate.key in self._by_same_software


def _refused_by_same_software(ledger: Ledger, fingerprint: str) -> set[str]:
    rows = ledger.read(
        "SELECT records.key, runs.versions FROM records JOIN runs ON runs.seq = records.run "
        "WHERE records.fingerprint = ? AND records.kind = 'failure' "
        "ORDER BY records.key, records.seq",
        (fingerprint,),
    )
    now = json.dumps(software())
    last = {key: versions == now for key, versions in rows}
    return {key for key, same in last.items() if same}
