"""A job: what to run, on which folders, and all that is checked before anything is written."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sfumato.errors import Code, UsageError
from sfumato.ledger.database import Where, is_url, named
from sfumato.ledger.ledger import Ledger, is_there
from sfumato.ledger.records import recipe_from, understood
from sfumato.pipeline.settings import read_boxes, selection_of
from sfumato.recipe import Recipe
from sfumato.sources import Listing, Sink, Source
from sfumato.sources.disk import check_no_folder, check_writable, part_of
from sfumato.sources.doors import ImportedBoxes, Shard
from sfumato.sources.private import SUFFIX
from sfumato.sources.selection import Globs, Selection
from sfumato.types import Failure

_LOG: Final = logging.getLogger(__name__)
_ALL: Final = Selection()
_NONE: Final = Globs()


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: a source, a recipe, and where the records and the release go.

    `out` is None when faces are only searched. `ledger` is a file or a ``postgresql://`` URL, and
    `detections` are other ledgers in which faces may have been found already. With `overwrite`, a
    release made by another recipe is made anew; without `resume`, everything is done again. `boxes`
    is the file that the recipe's boxes come from. `selection` says which files of the source are
    part of the set. With `copy_other`, other files are copied if they are harmless text; those that
    `unchecked` fits, whatever they hold. With `cover_findings`, what checks saw uncovered in the
    release is covered.
    """

    source: Source
    recipe: Recipe
    ledger: Where
    out: Sink | None = None
    copy_other: bool = False
    overwrite: bool = False
    resume: bool = True
    boxes: Path | None = None
    detections: tuple[Where, ...] = ()
    second_reader: bool = False
    cover_findings: bool = False
    selection: Selection = _ALL
    unchecked: Globs = _NONE

    @property
    def release(self) -> Sink:
        """OUT, of a job that makes or checks a release.

        Raises:
            UsageError: it has none.
        """
        if self.out is None:
            raise UsageError("A release needs an OUT folder.")
        return self.out

    @property
    def private(self) -> Path:
        """The folder of the lock, the private report and the ledger, if that is a file."""
        return private_of(self.ledger, (self.out or self.source).beside)


@dataclass(frozen=True, slots=True)
class Contents:
    """What the source holds, cut into shards, and what a file of boxes says of it."""

    listing: Listing
    shards: tuple[Shard, ...]
    boxes: Mapping[str, ImportedBoxes]


def observed(job: Job, steps: Sequence[str]) -> tuple[str, ...]:
    """Return these steps, and with a verification also what the recipe observes."""
    return (*steps, *job.recipe.steps[3:]) if "verify" in steps else tuple(steps)


def private_of(ledger: Where, beside: Path) -> Path:
    """Return the folder of what isn't published: the ledger's, or else the one `beside`."""
    return beside if is_url(ledger) else Path(ledger).parent


def check_folders(job: Job) -> None:
    """Make sure that nothing will be written into the source, or published that is private.

    Raises:
        UsageError: one folder lies inside the other.
    """
    outs = () if job.out is None else job.out.places()
    sources = [(place, Path(os.path.realpath(place))) for place in job.source.places()]
    for name, path in (*(("OUT", out) for out in outs), ("The ledger's folder", job.private)):
        real = Path(os.path.realpath(path))
        for place, source in sources:
            above = path in outs and real in source.parents
            if real == source or source in real.parents or above:
                raise UsageError(
                    f"{name} ({path}) and SRC ({place}) must lie apart: sfumato never writes "
                    "into its source. Choose a folder beside it."
                )
    private = Path(os.path.realpath(job.private))
    for out in outs:
        real = Path(os.path.realpath(out))
        if private == real or real in private.parents:
            raise UsageError(
                f"The ledger ({named(job.ledger)}) must not lie in OUT ({out}), which is "
                "published: choose another folder for it."
            )
    _check_apart(job)
    if not is_url(job.ledger) and os.path.isdir(job.ledger):
        raise UsageError(f"The ledger ({job.ledger}) is a folder: give a file, such as one in it.")


def _check_apart(job: Job) -> None:
    """Make sure that nothing private is kept in what is published, and the other way round.

    Raises:
        UsageError: OUT is named as private folders are, or the ledger lies in a finished release.
    """
    if job.out is not None and job.out.url.endswith(SUFFIX):
        raise UsageError(
            f"OUT ({job.out.url}) is named as the folders that are kept private: choose a name "
            f"that doesn't end in {SUFFIX}."
        )
    private = Path(os.path.realpath(job.private))
    for folder in (private, *private.parents):
        if all(os.path.exists(folder / name) for name in ("manifest.parquet", "faces.parquet")):
            raise UsageError(
                f"The ledger ({named(job.ledger)}) must not lie in {folder}, a release, which is "
                "published: choose another folder for it."
            )


def check(job: Job) -> Contents:
    """Check all that can be checked before anything is written; return what the source holds.

    Raises:
        UsageError: wrong folders, no images, a file of boxes that can't be used, OUT isn't ours.
        OutputError: a folder can't be written to.
    """
    check_folders(job)
    whole = job.source.scan(_apart(job))
    listing = job.selection.applied(whole)
    for pattern in job.selection.unused(whole):
        _LOG.warning("No file of %s fits %r: is it spelt right?", job.source.url, pattern)
    if not listing.images and not listing.failures:
        where = f", but for {len(listing.excluded)} that are excluded" if listing.excluded else ""
        words = f"holds no images{where}: give the folder that holds them."
        raise UsageError(f"{job.source.url} {words}")
    boxes: dict[str, ImportedBoxes] = {}
    if job.boxes is not None:
        # Names of what is excluded are no misspelt ones.
        boxes = read_boxes(job.boxes, whole.images, job.recipe, job.source)
    check_writable(job.private)
    page = job.private / "report.html"
    for path in (*private_files(job), part_of(page)):
        check_no_folder(path, replaced=path != job.private / "lock")
    if job.out is not None:
        job.out.check()
    _check_report(page)
    for origin in job.detections:
        if is_there(origin):
            Ledger(origin, read_only=True).database.close()  # it can be used
    if not is_there(job.ledger):
        check_release(job, None)
    return Contents(listing, tuple(job.source.shards(listing.images)), boxes)


def _apart(job: Job) -> tuple[Path, ...]:
    """Return where no link of the source may lead: the release, and what is kept private.

    A folder of the ledger that isn't our own may hold other things: only our files count there.
    """
    private = Path(os.path.realpath(job.private))
    places = [] if job.out is None else [Path(os.path.realpath(one)) for one in job.out.places()]
    if private.name.endswith(SUFFIX):
        return (*places, private)
    return (*places, *(private / path.name for path in private_files(job)))


def private_files(job: Job) -> list[Path]:
    """Return the files that a run keeps and doesn't publish, whether they are there or not."""
    files = [job.private / "lock", job.private / "report.html"]
    if not is_url(job.ledger):
        files += [Path(f"{job.ledger}{ending}") for ending in ("", "-wal", "-shm")]
    return files


def _check_report(path: Path) -> None:
    """Make sure that the private report replaces none but one, in a folder that may be anybody's.

    Raises:
        UsageError: somebody's page lies there.
    """
    if path.parent.name.endswith(SUFFIX) or not os.path.lexists(path):
        return
    try:
        with path.open("rb") as file:
            if b"face obfuscation report</title>" in file.read(8192):
                return
    except OSError as error:
        _LOG.debug("%s can't be read: %s", path, error)
    raise UsageError(
        f"{path} isn't sfumato's, and the private report goes there, beside the ledger: choose "
        "another folder for the ledger."
    )


def check_release(job: Job, ledger: Ledger | None) -> None:
    """Make sure that what lies in OUT comes from this recipe and source, or may be overwritten.

    Without a ledger, OUT must be empty. The same box file, mended, needs no `overwrite` where it
    was the reason that images were refused.

    Raises:
        UsageError: it doesn't, and `overwrite` wasn't said.
    """
    if job.out is None:
        return
    last = None if ledger is None else ledger.last_run("%obfuscate%")
    if ledger is None or last is None:
        if not job.out.is_empty():
            raise UsageError(
                f"{job.out.url} isn't empty and wasn't made by sfumato: choose another folder."
            )
        return
    check_place(job.out, ledger)
    source, _, recipe = last
    before = recipe_from(recipe)  # with what older ones didn't name
    changed = _changed(before, job.recipe)
    if selection_of(recipe) != job.selection:
        changed.append("include, exclude")
    if source != job.source.url:
        changed.append("source")
    if changed == ["detect.boxes"] and _refused_for_boxes(before, job.recipe, ledger):
        return
    if changed == ["source"] and not job.overwrite:
        raise UsageError(
            f"{job.out.url} was made by another recipe (different: source): it was made from "
            f"{source}. Give that folder, or make it anew by `sfumato run` with --overwrite."
        )
    if changed and not job.overwrite:
        raise UsageError(
            f"{job.out.url} was made by another recipe (different: {', '.join(changed)}): choose "
            "another folder, or make it anew with --overwrite."
        )


def check_place(out: Sink, ledger: Ledger) -> None:
    """Make sure that a ledger's release may lie in OUT: what others put there is never replaced.

    The ledger beside OUT is its own. By another, OUT must be one that it had before, or finished:
    such a release may have been moved. Older versions noted no OUT; their ledgers are believed.

    Raises:
        UsageError: OUT is a folder of something else.
    """
    own = os.path.realpath(private_of(ledger.where, out.beside)) == os.path.realpath(out.beside)
    if (own and not is_url(ledger.where)) or out.is_empty() or out.holds("manifest.parquet"):
        return
    runs = ledger.read("SELECT recipe FROM runs WHERE command <> 'detect' ORDER BY seq")
    with understood("the folder of a release"):
        known = [json.loads(text).get("out") for (text,) in runs]
    places = [place for place in known if place]
    if places and address(out) not in places:
        raise UsageError(
            f"{out.url} isn't empty, and the release of the ledger {ledger.name} lies in "
            f"{places[-1]}: choose another folder, or another ledger."
        )


def address(out: Sink) -> str:
    """Return where a release lies: the real path of its folder, or else its URL."""
    return next(map(os.path.realpath, out.places()), out.url)


def _changed(before: Recipe, now: Recipe) -> list[str]:
    """Return the settings that a release depends on and that differ."""
    old, new = before.as_json(), now.as_json()
    return [
        f"{step}.{name}"
        for step in ("detect", "obfuscate")
        for name in new[step]
        if old[step][name] != new[step][name]
    ]


def _refused_for_boxes(before: Recipe, now: Recipe, ledger: Ledger) -> bool:
    """Say whether both take boxes from a file, and the one before was refused in part."""
    fates = ledger.latest(before.fingerprint("obfuscate"), ("output", "failure"))
    return (
        before.detect.boxes != ""
        and now.detect.boxes != ""
        and any(isinstance(fate, Failure) and fate.code is Code.BOXES_MISSING for fate in fates)
    )
