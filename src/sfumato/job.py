"""A job: what to run, on which folders, and all that is checked before anything is written."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sfumato.database import Where, is_url, named
from sfumato.errors import Code, OutputError, UsageError
from sfumato.formats.imagefolder import ImageFolder, Listing
from sfumato.formats.selection import Globs, Selection
from sfumato.formats.walking import Apart
from sfumato.ledger import Given, Ledger, is_there
from sfumato.private import SUFFIX
from sfumato.recipe import Recipe
from sfumato.records import recipe_from, understood
from sfumato.settings import read_boxes, selection_of
from sfumato.types import Failure, Shard

_LOG: Final = logging.getLogger(__name__)
_ALL: Final = Selection()
_NONE: Final = Globs()


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: a source, a recipe, and where the records and the release go.

    `out` is None when faces are only searched. `ledger` is a file or a ``postgresql://`` URL, and
    `detections` are other ledgers in which faces may have been found already. `link` is one of
    "auto", "copy" and "hard" (see `FolderSink`). With `overwrite`, a release made by another
    recipe is made anew; without `resume`, everything is done again. `boxes` is the file that the
    recipe's boxes come from. `selection` says which files of the source are part of the set. With
    `copy_other`, other files are copied if they are harmless text; those that `unchecked` fits,
    whatever they hold. With `cover_findings`, what checks saw uncovered in the release is
    covered.
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
    cover_findings: bool = False
    selection: Selection = _ALL
    unchecked: Globs = _NONE

    @property
    def private(self) -> Path:
        """The folder of the lock, the private report and the ledger, if that is a file."""
        return private_of(self.ledger, self.out or self.source)


@dataclass(frozen=True, slots=True)
class Content:
    """What the source holds, cut into shards, and what a file of boxes says of it."""

    listing: Listing
    shards: tuple[Shard, ...]
    boxes: Mapping[str, Given]


def private_folder(path: Path) -> Path:
    """Return the folder beside `path` that holds what is kept and not published."""
    return path.with_name(path.name + SUFFIX)


def private_of(ledger: Where, folder: Path) -> Path:
    """Return the folder of what isn't published: the ledger's, or one beside OUT (else SRC)."""
    return private_folder(folder) if is_url(ledger) else Path(ledger).parent


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
    _check_apart(job)
    if job.out is not None and job.out.exists() and not job.out.is_dir():
        raise UsageError(f"{job.out} is a file: choose a folder for the release.")
    if not is_url(job.ledger) and Path(job.ledger).is_dir():
        raise UsageError(f"The ledger ({job.ledger}) is a folder: give a file, such as one in it.")


def _check_apart(job: Job) -> None:
    """Make sure that nothing private is kept in what is published, and the other way round.

    Raises:
        UsageError: OUT is named as private folders are, or the ledger lies in a finished release.
    """
    if job.out is not None and job.out.name.endswith(SUFFIX):
        raise UsageError(
            f"OUT ({job.out}) is named as the folders that are kept private: choose a name "
            f"that doesn't end in {SUFFIX}."
        )
    private = Path(os.path.realpath(job.private))
    for folder in (private, *private.parents):
        if all((folder / name).exists() for name in ("manifest.parquet", "faces.parquet")):
            raise UsageError(
                f"The ledger ({named(job.ledger)}) must not lie in {folder}, a release, which is "
                "published: choose another folder for it."
            )


def check(job: Job) -> Content:
    """Check all that can be checked before anything is written; return what the source holds.

    Raises:
        UsageError: wrong folders, no pictures, a file of boxes that can't be used, OUT isn't ours.
        OutputError: a folder can't be written to.
    """
    check_folders(job)
    folder = ImageFolder(job.source, _apart(job))
    whole = folder.scan()
    listing = job.selection.applied(whole)
    for pattern in job.selection.unused(whole):
        _LOG.warning("No file of %s fits %r: is it spelt right?", job.source, pattern)
    if not listing.pictures and not listing.failures:
        where = f", but for {len(listing.excluded)} that are excluded" if listing.excluded else ""
        raise UsageError(f"{job.source} holds no pictures{where}: give the folder that holds them.")
    boxes: dict[str, Given] = {}
    if job.boxes is not None:
        # Names of what is excluded are no misspelt ones.
        boxes, _ = read_boxes(job.boxes, whole.pictures, job.recipe, job.source)
    for place in (job.private, job.out):
        if place is not None:
            _check_writable(place)
    _check_report(job.private / "report.html")
    for origin in job.detections:
        if is_there(origin):
            Ledger(origin, read_only=True).database.close()  # it can be used
    if not is_there(job.ledger):
        check_release(job, None)
    return Content(listing, tuple(folder.cut(listing.pictures)), boxes)


def _apart(job: Job) -> Apart:
    """Return where no link of the source may lead: the release, and what is kept private.

    A folder of the ledger that isn't our own may hold other things: only our files count there.
    """
    private = Path(os.path.realpath(job.private))
    folders = [] if job.out is None else [Path(os.path.realpath(job.out))]
    if private.name.endswith(SUFFIX):
        return Apart((*folders, private))
    names = ["lock", "report.html"]
    if not is_url(job.ledger):
        names += [f"{Path(job.ledger).name}{ending}" for ending in ("", "-wal", "-shm")]
    return Apart(tuple(folders), tuple(private / name for name in names))


def _check_writable(place: Path) -> None:
    """Make sure that a folder can be written to, or made if it isn't there."""
    folder = place
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        why = "a file stands where a folder is needed"
    elif os.access(folder, os.W_OK | os.X_OK):
        return
    elif os.statvfs(folder).f_flag & os.ST_RDONLY:
        why = "the disk is read-only"
    else:
        why = "permission denied"
    raise OutputError(f"Can't write to {place}: {why}. Mend that, or choose another folder.")


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
    was the reason that pictures were refused.

    Raises:
        UsageError: it doesn't, and `overwrite` wasn't said.
    """
    if job.out is None:
        return
    last = None if ledger is None else ledger.last_run("%obfuscate%")
    if ledger is None or last is None:
        if job.out.is_dir() and any(job.out.iterdir()):
            raise UsageError(
                f"{job.out} isn't empty and wasn't made by sfumato: choose another folder."
            )
        return
    check_place(job.out, ledger)
    source, _, recipe = last
    before = recipe_from(recipe)  # with what older ones didn't name
    changed = _changed(before, job.recipe)
    if selection_of(recipe) != job.selection:
        changed.append("include, exclude")
    if source != str(job.source):
        changed.append("source")
    if changed == ["detect.boxes"] and _refused_for_boxes(before, job.recipe, ledger):
        return
    if changed == ["source"] and not job.overwrite:
        raise UsageError(
            f"{job.out} was made by another recipe (different: source): it was made from {source}. "
            "Give that folder, or make it anew by `sfumato run` with --overwrite."
        )
    if changed and not job.overwrite:
        raise UsageError(
            f"{job.out} was made by another recipe (different: {', '.join(changed)}): choose "
            "another folder, or make it anew with --overwrite."
        )


def check_place(out: Path, ledger: Ledger) -> None:
    """Make sure that a ledger's release may lie in OUT: what others put there is never replaced.

    The ledger beside OUT is its own. By another, OUT must be one that it had before, or finished:
    such a release may have been moved. Older versions noted no OUT; their ledgers are believed.

    Raises:
        UsageError: OUT is a folder of something else.
    """
    real, beside = os.path.realpath(out), private_folder(out)
    own = not is_url(ledger.where) and os.path.realpath(private_of(ledger.where, out)) == (
        os.path.realpath(beside)
    )
    if own or not out.is_dir() or not any(out.iterdir()) or (out / "manifest.parquet").exists():
        return
    runs = ledger.read("SELECT recipe FROM runs WHERE command <> 'detect' ORDER BY seq")
    with understood("the folder of a release"):
        known = [json.loads(text).get("out") for (text,) in runs]
    places = [place for place in known if place]
    if places and real not in places:
        raise UsageError(
            f"{out} isn't empty, and the release of the ledger {ledger.name} lies in "
            f"{places[-1]}: choose another folder, or another ledger."
        )


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
