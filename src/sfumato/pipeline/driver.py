r"""Running: what is left to do, an executor over it, and one commit for each shard.

    source --shard--> Work (detect, obfuscate, verify; in workers) --records--> ledger
                        \--> staged images --publish--> the release

A shard is published and then committed. Killed in between, it is done again and published
again with the same bytes. What the ledger marks as done for these settings is never redone, if
what lies in the release is still what the ledger says.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

from sfumato.errors import Code, LedgerError, UsageError
from sfumato.ledger.adoption import adopt
from sfumato.ledger.database import Where, named
from sfumato.ledger.known import attached
from sfumato.ledger.ledger import Ledger, is_there
from sfumato.ledger.records import recipe_from
from sfumato.pipeline.copying import COPIED, WITHHELD, checked_others, copy_others
from sfumato.pipeline.executors import Executor, Result
from sfumato.pipeline.job import (
    Contents,
    Job,
    address,
    check,
    check_place,
    check_release,
    observed,
    private_files,
    private_of,
)
from sfumato.pipeline.lock import check_free, held, locked
from sfumato.pipeline.plan import Plan, make_plan
from sfumato.pipeline.settings import software
from sfumato.pipeline.traces import Start
from sfumato.pipeline.work import Work
from sfumato.recipe import OBSERVE, Recipe, only_looks
from sfumato.release.finalize import finish, forget_release
from sfumato.release.report.data import Report
from sfumato.sources import Listing, Note, Sink, open_sink, open_source
from sfumato.sources.disk import fsync
from sfumato.sources.doors import Shard
from sfumato.types import Detection, Failure, Finding, Observation, Output, Record
from sfumato.verification.failing import checks_of

__all__ = ["STAGES", "Job", "Progress", "planned", "run", "search", "write_report"]

_LOG: Final = logging.getLogger(__name__)

# (images done, images in all)
Progress: TypeAlias = Callable[[int, int], None]

STAGES: Final = ("detect", "obfuscate", "verify")


def run(
    job: Job,
    stages: Sequence[str],
    executor: Executor,
    *,
    progress: Progress | None = None,
) -> Report:
    """Take every image through the stages; write the release, its manifest and its reports.

    Raises:
        UsageError: wrong folders, recipe or file of boxes; nothing was written.
        OutputError: the disk refuses; run the same again to go on.
    """
    stages = observed(job, stages)
    sink = job.release.begin()
    with _begun(job, stages, sink) as (ledger, content):
        plan = make_plan(job, stages, ledger, content)
        sink.sweep()
        copies = job.copy_other and plan.content.listing.others
        if "obfuscate" in stages and (plan.left or copies):
            forget_release(sink)
        _tell(plan, job, ledger)
        _take(plan, _work(job, stages, sink), job, executor, ledger, progress)
        sink.sweep()
        tidy = "obfuscate" in stages
        return finish(job.recipe, job.source, sink, ledger, job.private, tidy=tidy)


def search(job: Job, executor: Executor, *, progress: Progress | None = None) -> None:
    """Find the faces of every image and keep them in the ledger; raises as `run` does."""
    with _begun(job, ("detect",), None) as (ledger, content):
        plan = make_plan(job, ("detect",), ledger, content)
        work = _work(job, ("detect",), None)
        _take(plan, work, job, executor, ledger, progress)


def planned(job: Job, stages: Sequence[str]) -> Plan:
    """Check a job and plan it, as far as its ledger is there already; nothing is written."""
    content, stages = check(job), observed(job, stages)
    for folder in (job.private, *(() if job.out is None else job.out.places())):
        check_free(folder)
    if not is_there(job.ledger):
        return make_plan(job, stages, None, content)
    with Ledger(job.ledger, read_only=True) as ledger, ledger.alone():
        check_release(job, ledger)
        return make_plan(job, stages, ledger, content)


def write_report(out: str | os.PathLike[str], where: Where) -> Report:
    """Write the manifest and the reports of a release again, from its ledger.

    Raises:
        UsageError: there is no release in this folder.
    """
    release = open_sink(out, like=open_source(out))
    if not is_there(where) or not release.is_there():
        raise UsageError(f"There is no release in {out} with records in {named(where)}.")
    private = private_of(where, release.beside)
    with locked(private), held(release.places()), Ledger(where) as ledger, ledger.alone():
        made, checked = ledger.last_run("%obfuscate%"), ledger.last_run("%verify%")
        if made is None:
            raise UsageError(f"{ledger.name} knows of no release: make one with `sfumato run`.")
        check_place(release, ledger)
        source, recipe = open_source(made[0]), recipe_from(made[2])
        last = recipe if checked is None else recipe_from(checked[2])
        if last.fingerprint("obfuscate") == recipe.fingerprint("obfuscate"):
            recipe = last  # as it was checked last, perhaps with other detectors
        sink = open_sink(out, like=source)
        return finish(recipe, source, sink, ledger, private, tidy=False)


@contextmanager
def _begun(job: Job, stages: Sequence[str], sink: Sink | None) -> Iterator[tuple[Ledger, Contents]]:
    """Check everything, then open OUT and the ledger for this run alone, and note that it began.

    Until then nothing stays behind if something is wrong.
    """
    content = check(job)
    places = () if sink is None else sink.places()
    start = Start([job.private, *places], private_files(job))
    with start.tidied(), locked(job.private), start.tidied():
        if sink is not None:
            sink.make()
        with held(places), Ledger(job.ledger) as ledger, ledger.alone():
            check_release(job, ledger)
            for folder in {job.private, job.private.parent}:
                with suppress(PermissionError):  # who may write there may not list it
                    fsync(folder)
            for origin in job.detections:
                adopt(ledger, origin, job.recipe.fingerprint("detect"))
            _begin(job, stages, ledger)
            start.done = True
            yield ledger, content


def _work(job: Job, stages: Sequence[str], sink: Sink | None) -> Work:
    return Work(job.recipe, job.source, tuple(stages), sink, job.second_reader)


def _tell(plan: Plan, job: Job, ledger: Ledger) -> None:
    """Say where more is covered than people decided on or a file of boxes lists."""
    fingerprint = job.recipe.fingerprint("detect")
    keys = [record.key for record in plan.uncovered]
    decided = sum(1 for _ in ledger.latest_among(fingerprint, ("decision",), keys))
    listed = len(keys) - decided if job.recipe.detect.boxes else 0
    for count, what in ((decided, "people decided on"), (listed, "the file of boxes lists")):
        if count:
            _LOG.warning("In %d images, faces are covered besides what %s.", count, what)


def _take(
    plan: Plan,
    work: Work,
    job: Job,
    executor: Executor,
    ledger: Ledger,
    progress: Progress | None,
) -> None:
    """Take what is left through the stages and commit it, shard by shard."""
    if not job.resume:
        ledger.forget(shard.id for shard in plan.left)
    if "obfuscate" in work.stages:  # what was verified isn't what will lie there
        checks = checks_of(ledger, job.recipe)
        ledger.forget((shard.id for shard in plan.left), checks)
    found = job.recipe.fingerprint("detect")
    ledger.commit(((found, record) for record in plan.uncovered), notes=plan.notes)
    if job.boxes is not None:
        ledger.import_boxes(job.recipe.detect.boxes, plan.content.boxes)
    _file_listing(job, work.stages, plan.content.listing, work.sink, ledger)
    known = attached(plan.left, job.recipe, work.stages, ledger, fresh=not job.resume)
    _work_off(plan, known, work, executor, ledger, progress)


def _begin(job: Job, stages: Sequence[str], ledger: Ledger) -> None:
    settings = {**job.recipe.as_json(), "selection": job.selection.as_json()}
    if job.out is not None:
        settings["out"] = address(job.out)
    ledger.begin(
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        command="+".join(stage for stage in stages if not stage.startswith(OBSERVE)),
        source=job.source.url,
        fingerprint=job.recipe.fingerprint("verify"),
        recipe=json.dumps(settings, sort_keys=True),
        versions=json.dumps(software()),
    )


def _file_listing(
    job: Job, stages: Sequence[str], listing: Listing, sink: Sink | None, ledger: Ledger
) -> None:
    """Note what the source holds; what can't be reached is refused right away."""
    kinds = dict.fromkeys(listing.images, "image")
    kinds.update(dict.fromkeys((*listing.others, *listing.junk), "ignored"))
    kinds.update(dict.fromkeys(listing.excluded, "excluded"))
    records: list[Record] = list(listing.failures)
    others = {key: kind for key, kind in ledger.listing() if kind in (COPIED, WITHHELD)}
    copied = [key for key, kind in others.items() if kind == COPIED]
    if only_looks(stages):  # images as they are now; the rest as it was decided
        kinds.update({key: others[key] for key in listing.others if key in others})
        if sink is not None:
            there = [key for key in listing.others if others.get(key) == COPIED]
            records += checked_others(job, there, sink, ledger)
    elif sink is not None:
        # What a run of a version that kept no records has copied is ours as well.
        noted = {note.key for note in ledger.notes()} if copied else set()
        ledger.commit((), notes=[Note(key, "", "") for key in copied if key not in noted])
        if job.copy_other:
            fates, new = copy_others(job, stages, listing.others, sink, ledger)
            records += new
            kinds.update({o.key: COPIED if isinstance(o, Output) else WITHHELD for o in fates})
    kinds.update({failure.key: "refused" for failure in listing.failures})
    ledger.list_source(kinds)
    ledger.commit(_filed(records, stages, job.recipe))


def _work_off(
    plan: Plan,
    known: Iterator[Shard],
    work: Work,
    executor: Executor,
    ledger: Ledger,
    progress: Progress | None,
) -> None:
    total = sum(len(shard.keys) for shard in plan.content.shards)
    count = total - plan.images_left
    report = progress or (lambda done, of: None)
    report(count, total)
    shards = {shard.id: shard for shard in plan.left}
    arrived: defaultdict[str, dict[str, Result]] = defaultdict(dict)
    for result in executor.map(work, known):
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
    """Publish a shard's images, then its records: in this order, so that a kill loses nothing."""
    records = [record for result in results for record in result.records]
    notes: list[Note] = []
    if "obfuscate" in work.stages and work.sink is not None:
        outputs = [record for record in records if isinstance(record, Output)]
        # From here on, what lies there isn't known: it is neither believed nor anybody else's.
        ledger.commit((), notes=[Note(output.key, "", "") for output in outputs])
        work.sink.publish([output.key for output in outputs])
        notes += _notes(outputs, records, work.sink)
    done = [(stage, work.recipe.fingerprint(stage)) for stage in work.stages]
    filed = _filed(records, work.stages, work.recipe)
    span = (results[0].key, results[-1].key)
    ledger.commit(filed, done, shard=shard, span=span, notes=notes)


def _notes(outputs: Sequence[Output], records: Sequence[Record], sink: Sink) -> list[Note]:
    """Note what lies in the release now; what no check has read as it is now is read."""
    checked = {
        record.key
        for record in records
        if isinstance(record, Finding)
        and record.code is Code.VERIFY_BYTES_CHANGED
        and record.passed
    }
    unread = [one.key for one in outputs if one.key not in checked]
    read = {note.key: note.digest for note in sink.notes(unread)}
    digests = {one.key: one.written for one in outputs if one.key in checked} | read
    return sink.noted(digests)


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
        elif isinstance(record, Observation):
            yield recipe.fingerprint(f"{OBSERVE}{record.observer}"), record
        elif isinstance(record, Failure) and only_looks(stages):
            # The image is in the release; that it can't be checked is a finding.
            code, words = Code.VERIFY_UNREADABLE, f"{record.code}: {record.reason}"
            yield recipe.fingerprint("verify"), Finding(record.key, code, False, 1, 0, words)
        else:
            yield fate, record
