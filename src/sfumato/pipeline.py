r"""Running: what is left to do, an executor over it, and one commit for each shard.

    source --shard--> Work (detect, obfuscate, verify; in workers) --records--> ledger
                        \--> staged pictures --publish--> the release

A shard is published and then committed. Killed in between, it is done again and published
again with the same bytes. What the ledger marks as done for these settings is never redone.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from sfumato.database import Where, is_url, named
from sfumato.errors import Code, LedgerError, OutputError, UsageError
from sfumato.finish import finish, forget_release
from sfumato.formats.imagefolder import FolderSink, ImageFolder, Listing
from sfumato.formats.others import copy_others
from sfumato.ledger import Ledger, is_there
from sfumato.lock import locked
from sfumato.private import SUFFIX
from sfumato.recipe import Recipe
from sfumato.records import recipe_from
from sfumato.report.data import Report
from sfumato.settings import give_boxes, software
from sfumato.types import (
    Detection,
    Executor,
    Failure,
    Finding,
    Output,
    Record,
    Result,
    Shard,
)
from sfumato.work import Work

# (pictures done, pictures in all)
Progress: TypeAlias = Callable[[int, int], None]

STAGES: Final = ("detect", "obfuscate", "verify")
# Why `obfuscate` refuses what `detect` hasn't seen as it is.
_UNSEARCHED: Final = frozenset({Code.BOXES_MISSING, Code.FILE_CHANGED})


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: a source, a recipe, and where the records and the release go.

    `out` is None when faces are only searched. `ledger` is a file or a ``postgresql://`` URL, and
    `detections` are other ledgers in which faces may have been found already. `link` is one of
    "auto", "copy" and "hard" (see `FolderSink`). With `overwrite`, a release made by another
    recipe is made anew; without `resume`, everything is done again. `boxes` is the file that the
    recipe's boxes come from.
    """

    source: Path
    recipe: Recipe
    ledger: Where
    out: Path | None = None
    link: str = "auto"
    copy_other: bool = False
    overwrite: bool = False
    resume: bool = True
    boxes: Path | None = None
    detections: tuple[Where, ...] = ()
    second_reader: bool = False

    @property
    def private(self) -> Path:
        """The folder of the lock, the private report and the ledger, if that is a file."""
        return private_of(self.ledger, self.out or self.source)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job would do: the source's content and the shards that are left."""

    listing: Listing
    shards: tuple[Shard, ...]
    left: tuple[Shard, ...]

    @property
    def pictures_left(self) -> int:
        """How many pictures the shards that are left hold."""
        return sum(len(shard.keys) for shard in self.left)


def private_folder(path: Path) -> Path:
    """Return the folder beside `path` that holds what is kept and not published."""
    return path.with_name(path.name + SUFFIX)


def private_of(ledger: Where, folder: Path) -> Path:
    """Return the folder of what isn't published: the ledger's, or one beside OUT (else SRC)."""
    return private_folder(folder) if is_url(ledger) else Path(ledger).parent


def run(
    job: Job,
    stages: Sequence[str],
    executor: Executor,
    *,
    progress: Progress | None = None,
) -> Report:
    """Take every picture through the stages; write the release, its manifest and its reports.

    Raises:
        UsageError: wrong folders or recipe; nothing was written.
        OutputError: the disk refuses; run the same again to go on.
    """
    if job.out is None:
        raise UsageError("A release needs an OUT folder.")
    with _opened(job) as ledger:
        _adopt(job, ledger)
        plan = make_plan(job, stages, ledger)
        sink = _sink(job, job.out)
        sink.sweep()
        if "obfuscate" in stages and plan.left:
            forget_release(sink.root)
        _take(plan, _work(job, stages, sink), job, executor, ledger, progress)
        sink.sweep()
        tidy = "obfuscate" in stages
        return finish(job.recipe, job.source.name, sink, ledger, job.private, tidy=tidy)


def search(job: Job, executor: Executor, *, progress: Progress | None = None) -> None:
    """Find the faces of every picture and keep them in the ledger; raises as `run` does."""
    with _opened(job) as ledger:
        plan = make_plan(job, ("detect",), ledger)
        _take(plan, _work(job, ("detect",), None), job, executor, ledger, progress)


def write_report(out: Path, where: Where) -> Report:
    """Write the manifest and the reports of a release again, from its ledger.

    Raises:
        UsageError: there is no release in this folder.
    """
    if not is_there(where) or not out.is_dir():
        raise UsageError(f"There is no release in {out} with records in {named(where)}.")
    private = private_of(where, out)
    with locked(private), Ledger(where) as ledger, ledger.alone():
        last = ledger.last_run("%obfuscate%") and ledger.last_run("%")
        if last is None:
            raise UsageError(f"{ledger.name} knows of no release: make one with `sfumato run`.")
        source = Path(last[0])
        sink = FolderSink(out, token="report", source=source)
        recipe = recipe_from(last[2])
        return finish(recipe, source.name, sink, ledger, private, tidy=False)


@contextmanager
def _opened(job: Job) -> Iterator[Ledger]:
    check_folders(job)
    with locked(job.private), Ledger(job.ledger) as ledger, ledger.alone():
        check_release(job, ledger)
        yield ledger


def _work(job: Job, stages: Sequence[str], sink: FolderSink | None) -> Work:
    fresh = not job.resume
    work = Work(job.recipe, job.source, job.ledger, tuple(stages), sink, fresh)
    return replace(work, second_reader=job.second_reader)


def _take(
    plan: Plan,
    work: Work,
    job: Job,
    executor: Executor,
    ledger: Ledger,
    progress: Progress | None,
) -> None:
    """Take what is left through the stages and commit it, shard by shard."""
    _begin(job, work.stages, ledger)
    if not job.resume:
        ledger.forget(shard.id for shard in plan.left)
    if job.boxes is not None:
        give_boxes(job.boxes, plan.listing.pictures, job.recipe, ledger)
    _file_listing(job, work.stages, plan.listing, work.sink, ledger)
    _work_off(plan, work, executor, ledger, progress)


def _adopt(job: Job, ledger: Ledger) -> None:
    """Take over what was found and decided in other ledgers with these settings."""
    for origin in job.detections:
        ledger.adopt(origin, job.recipe.fingerprint("detect"))


def make_plan(job: Job, stages: Sequence[str], ledger: Ledger | None) -> Plan:
    """List the source and say which shards are left.

    Raises:
        UsageError: the source holds no picture at all.
    """
    folder = ImageFolder(job.source)
    listing = folder.scan()
    if not listing.pictures and not listing.failures:
        raise UsageError(f"{job.source} holds no pictures: give the folder that holds them.")
    shards = tuple(folder.cut(listing.pictures))
    # Verification looks at what lies there now: what it found last time proves nothing.
    if ledger is None or not job.resume or list(stages) == ["verify"]:
        return Plan(listing, shards, shards)
    done = set.intersection(
        *(ledger.done(stage, job.recipe.fingerprint(stage)) for stage in stages)
    )
    if "obfuscate" in stages and done:
        unsearched = frozenset() if "detect" in stages else _UNSEARCHED
        done -= _lost(job, shards, done, ledger, unsearched)
    return Plan(listing, shards, tuple(shard for shard in shards if shard.id not in done))


def _lost(
    job: Job, shards: Sequence[Shard], done: set[str], ledger: Ledger, unsearched: frozenset[Code]
) -> set[str]:
    """Return the shards that are marked as done, but of whose pictures one isn't right any more.

    It went missing, or it was refused for want of its boxes, which it may have by now, or people
    decided on it since.
    """
    out = job.out or Path()
    fingerprint = job.recipe.fingerprint("obfuscate")
    missing = {
        record.key
        for record in ledger.latest(fingerprint, ("output", "failure"))
        if (isinstance(record, Output) and not os.path.lexists(out / record.key))
        or (isinstance(record, Failure) and record.code in unsearched)
    }
    missing |= ledger.redecided(job.recipe.fingerprint("detect"), fingerprint)
    return {s.id for s in shards if s.id in done and not missing.isdisjoint(s.keys)}


def check_folders(job: Job) -> None:
    """Make sure that the source exists and that nothing will be written into it.

    Raises:
        UsageError: the source is missing, or one folder lies inside the other.
    """
    if not job.source.is_dir():
        raise UsageError(f"{job.source} is not a folder: give the folder that holds the pictures.")
    source = Path(os.path.realpath(job.source))
    for name, path in (("OUT", job.out), ("The ledger's folder", job.private)):
        if path is None:
            continue
        real = Path(os.path.realpath(path))
        above = path == job.out and real in source.parents
        if real == source or source in real.parents or above:
            raise UsageError(
                f"{name} ({path}) and SRC ({job.source}) must lie apart: sfumato never writes "
                "into its source. Choose a folder beside it."
            )
    private, out = (Path(os.path.realpath(p)) for p in (job.private, job.out or job.source))
    if private == out or out in private.parents:
        raise UsageError(
            f"The ledger ({named(job.ledger)}) must not lie in OUT ({job.out}), which is "
            "published: choose another folder for it."
        )
    if job.out is not None and job.out.exists() and not job.out.is_dir():
        raise UsageError(f"{job.out} is a file: choose a folder for the release.")


def check_release(job: Job, ledger: Ledger) -> None:
    """Make sure that what lies in OUT comes from this recipe and source, or may be overwritten.

    Raises:
        UsageError: it doesn't, and `overwrite` wasn't said.
    """
    if job.out is None:
        return
    last = ledger.last_run("%obfuscate%")
    if last is None:
        if job.out.is_dir() and any(job.out.iterdir()):
            raise UsageError(
                f"{job.out} isn't empty and wasn't made by sfumato: choose another folder."
            )
        return
    source, _, recipe = last
    before = recipe_from(recipe).as_json()  # with what older ones didn't name
    now = job.recipe.as_json()
    changed = [
        f"{step}.{name}"
        for step in ("detect", "obfuscate")
        for name in now[step]
        if before[step][name] != now[step][name]
    ]
    if source != str(job.source):
        changed.append("source")
    if changed and not job.overwrite:
        raise UsageError(
            f"{job.out} was made by another recipe (different: {', '.join(changed)}): choose "
            "another folder, or make it anew with --overwrite."
        )


def _sink(job: Job, out: Path) -> FolderSink:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} can't be made: {error.strerror}.") from error
    return FolderSink(out, token=uuid.uuid4().hex[:8], source=job.source, link=job.link)


def _begin(job: Job, stages: Sequence[str], ledger: Ledger) -> None:
    ledger.begin(
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        command="+".join(stages),
        source=str(job.source),
        fingerprint=job.recipe.fingerprint("verify"),
        recipe=json.dumps(job.recipe.as_json(), sort_keys=True),
        versions=json.dumps(software()),
    )


def _file_listing(
    job: Job, stages: Sequence[str], listing: Listing, sink: FolderSink | None, ledger: Ledger
) -> None:
    """Note what the source holds; what can't be reached is refused right away."""
    failures = list(listing.failures)
    kinds = dict.fromkeys(listing.pictures, "picture")
    kinds.update(dict.fromkeys(listing.others, "ignored"))
    if list(stages) == ["verify"]:  # pictures as they are now; the rest as it was decided
        before = dict(ledger.listing())
        kinds.update({key: before.get(key, "ignored") for key in listing.others})
    elif sink is not None and job.copy_other:
        copied, refused = copy_others(listing.others, job.source, sink)
        kinds.update(dict.fromkeys(copied, "copied"))
        failures += refused
    kinds.update({failure.key: "refused" for failure in failures})
    ledger.list_source(kinds)
    ledger.commit(_filed(failures, stages, job.recipe))


def _work_off(
    plan: Plan, work: Work, executor: Executor, ledger: Ledger, progress: Progress | None
) -> None:
    total = sum(len(shard.keys) for shard in plan.shards)
    count = total - plan.pictures_left
    report = progress or (lambda done, of: None)
    report(count, total)
    shards = {shard.id: shard for shard in plan.left}
    arrived: defaultdict[str, dict[str, Result]] = defaultdict(dict)
    for result in executor.map(work, plan.left):
        count += 1
        report(count, total)
        got = arrived[result.shard]
        got[result.key] = result
        if len(got) == len(shards[result.shard].keys):
            ordered = [got[key] for key in shards[result.shard].keys]
            _commit(result.shard, ordered, work, ledger)
            del arrived[result.shard]
    if arrived:
        raise LedgerError(f"the executor left out keys of {len(arrived)} shards: report this.")


def _commit(shard: str, results: Sequence[Result], work: Work, ledger: Ledger) -> None:
    """Publish a shard's pictures, then its records: in this order, so that a kill loses nothing."""
    records = [record for result in results for record in result.records]
    if "obfuscate" in work.stages and work.sink is not None:
        work.sink.publish([record.key for record in records if isinstance(record, Output)])
    done = [(stage, work.recipe.fingerprint(stage)) for stage in work.stages]
    ledger.commit(_filed(records, work.stages, work.recipe), done, shard=shard)


def _filed(
    records: Sequence[Record], stages: Sequence[str], recipe: Recipe
) -> Iterator[tuple[str, Record]]:
    """Yield each record with the fingerprint of the settings that it depends on."""
    fate = recipe.fingerprint("obfuscate" if "obfuscate" in stages else "detect")
    for record in records:
        if isinstance(record, Detection):
            yield recipe.fingerprint("detect"), record
        elif isinstance(record, Finding):
            yield recipe.fingerprint("verify"), record
        elif isinstance(record, Failure) and list(stages) == ["verify"]:
            # The picture is in the release; that it can't be checked is a finding.
            code, words = Code.VERIFY_UNREADABLE, f"{record.code}: {record.reason}"
            yield recipe.fingerprint("verify"), Finding(record.key, code, False, 1, 0, words)
        else:
            yield fate, record
