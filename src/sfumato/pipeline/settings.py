"""From what a user asks for to a recipe, and from a file of boxes to the ledger."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from sfumato import obfuscation
from sfumato.annotations import box_files
from sfumato.annotations.box_scale import scale_note
from sfumato.boxes import too_many
from sfumato.detection.detect import specifications
from sfumato.detection.detectors import registry
from sfumato.errors import UsageError
from sfumato.imaging import codec
from sfumato.imaging.codec.writing import OnUnsupported
from sfumato.imaging.jpeg import Policy
from sfumato.ledger.database import Where
from sfumato.ledger.ledger import Ledger, is_there
from sfumato.ledger.records import recipe_from, understood
from sfumato.recipe import DetectStep, ObfuscateStep, Recipe, VerifyStep
from sfumato.sources import Source
from sfumato.sources.doors import ImportedBoxes
from sfumato.sources.selection import Selection
from sfumato.verification.observing import observers
from sfumato.version import VERSION

_LOG: Final = logging.getLogger(__name__)

# Extras that read images: what was refused without one is tried again with it.
_OPTIONAL: Final = ("pi-heif", "pillow-heif")

Unlisted: TypeAlias = Literal["refuse", "faceless"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be chosen, with the defaults; `recipe` checks it and makes the recipe.

    `detectors` (specifications such as "yunet@640:0.5") replace the profile; `threshold` is one
    for all of them. With `boxes`, faces come from a file; `unlisted` says what an image is that
    the file doesn't name (None: "faceless" for CSV, which lists faces; "refuse" for the others,
    which list images). `metadata` says whose metadata go: those of edited files ("faces"), of
    "all" files, or of edited ones but for date, camera and copyright ("keep-safe").
    `verify_detectors` search the release (empty: as in detection, or the default profile if boxes
    came from a file). `device` is where networks run: "cpu", "cuda", or "cuda,cpu" for the first
    that is there; a specification that names one keeps it. With `require_review`, an image that
    nobody has decided on is refused. `include` and `exclude` are patterns of the files that are
    part of the set (`sfumato.sources.selection`). `observe` names what looks at the whole release
    (`sfumato.verification.observing`).
    """

    profile: str = "default"
    detectors: tuple[str, ...] = ()
    threshold: float | None = None
    boxes: Path | None = None
    unlisted: Unlisted | None = None
    method: str = "gaussian"
    expand: float = 0.25
    colour: tuple[int, int, int] | None = None
    on_unsupported: OnUnsupported = "refuse"
    metadata: Policy = "faces"
    require_review: bool = False
    verify_detectors: tuple[str, ...] = ()
    device: str = "cpu"
    max_pixels: int = codec.MAX_PIXELS
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    observe: tuple[str, ...] = ()

    def selection(self) -> Selection:
        """Return which files of the source are part of the set; raises `UsageError`."""
        return Selection(tuple(self.include), tuple(self.exclude))

    def recipe(self) -> Recipe:
        """Return the recipe.

        Raises:
            UsageError: a value is out of range, or a name is unknown.
        """
        cover = self.cover()
        if not 1 <= self.max_pixels < 2**31:
            raise UsageError(
                f"--max-pixels must lie between 1 and {2**31 - 1}, not {self.max_pixels}."
            )
        wanted = specifications(self.profile, detectors=self.detectors, threshold=self.threshold)
        device = _device(self.device)
        searched, weights = _full(wanted, device)
        again = self.verify_detectors or wanted  # as written: one with #cpu stays there
        detect = DetectStep(searched, weights, self.max_pixels)
        if self.boxes is not None:
            detect = DetectStep((), (), self.max_pixels, _digest(self.boxes), self._unlisted())
        return Recipe(detect, verify_step(again, device), cover, observed_by(self.observe))

    def cover(self) -> ObfuscateStep:
        """Return the step of a recipe that covers faces; raises `UsageError` for a wrong value."""
        obfuscation.make(self.method, expand=self.expand, colour=self.colour)
        if self.metadata not in get_args(Policy):
            words = f"{', '.join(get_args(Policy))}, not {self.metadata!r}"
            raise UsageError(f"metadata must be one of {words}.")
        return ObfuscateStep(
            self.method,
            float(self.expand),  # 1 from a notebook and 1.0 from the command line are one recipe
            self.colour,
            self.on_unsupported,
            # The published recipe is applied as it was published: once.
            0 if self.method == obfuscation.ImageNet.name else ObfuscateStep().looks,
            self.metadata,
            self.require_review,
        )

    def _unlisted(self) -> Unlisted:
        if self.unlisted is not None or self.boxes is None:
            return self.unlisted or "refuse"
        return "refuse" if box_files.names_faceless(self.boxes) else "faceless"


def verify_step(specs: Sequence[str], device: str = "") -> VerifyStep:
    """Return the step of a recipe that searches the release with these detectors."""
    return VerifyStep(*_full(specs, device))


def observed_by(names: Iterable[str], before: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the full names of observers, in order, with those of `before` that are still here.

    Raises:
        UsageError: there is none of a name.
    """
    named = {one.name for one in observers(tuple(names))}
    for name in before:
        try:
            named |= {one.name for one in observers((name,))}
        except UsageError as error:  # a check mustn't depend on what nobody asks for now
            _LOG.warning("Observer %r isn't asked: %s", name, error)
    return tuple(sorted(named))


def last_recipe(ledgers: Sequence[Where], stage: str, missing: str) -> Recipe:
    """Return the recipe of the last run that did this stage, from the first ledger that has one.

    Raises:
        UsageError: none has; `missing` is the sentence that says what to do.
    """
    if (last := _last_run(ledgers, stage)) is None:
        raise UsageError(missing)
    return recipe_from(last)


def last_selection(ledgers: Sequence[Where], stage: str) -> Selection:
    """Return which files were part of the set in the last run that did this stage; all if none."""
    last = _last_run(ledgers, stage)
    return Selection() if last is None else selection_of(last)


def _last_run(ledgers: Sequence[Where], stage: str) -> str | None:
    """Return the settings of the last run that did this stage, of the first ledger that has one."""
    for where in ledgers:
        if is_there(where):
            with Ledger(where, read_only=True) as ledger:
                last = ledger.last_run(f"%{stage}%")
            if last is not None:
                return last[2]
    return None


def selection_of(text: str) -> Selection:
    """Return the selection that a run has noted in the ledger, beside its recipe.

    Raises:
        LedgerError: it can't be understood.
    """
    with understood("the selection of a run"):
        return Selection.from_json(json.loads(text).get("selection", {}))


def _device(wanted: str) -> str:
    """Return the device that is used of those wanted, "" for the processor; say if it's another."""
    if wanted == "cpu":
        return ""
    from sfumato.detection.detectors import devices  # loads ONNX Runtime

    device = devices.choose(wanted)
    if device != wanted.partition(",")[0].strip():
        _LOG.warning("No %s here: networks run on %s.", wanted.partition(",")[0], device)
    return "" if device == devices.CPU else device


def _full(specs: Sequence[str], device: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return specifications with their defaults written out, and the weights' hashes."""
    made = [registry.parse(registry.adjusted(spec, device=device)) for spec in specs]
    return tuple(one.spec for one in made), tuple(one.weights_sha256 for one in made)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from error


def read_boxes(
    path: Path, keys: Sequence[str], recipe: Recipe, source: Source
) -> dict[str, ImportedBoxes]:
    """Return what a file says of the images of the source.

    It is said if names fit no image, or if most boxes lie outside their images.

    Raises:
        UsageError: the file can't be read, or it names images that aren't there while images
            that it doesn't name count as faceless: a misspelt name would expose a face.
    """
    matched = box_files.load(path).match(keys)
    if _digest(path) != recipe.detect.boxes:
        raise UsageError(f"{path} was changed just now: run the same command again.")
    if matched.unused and recipe.detect.unlisted == "faceless":
        raise UsageError(
            f"{path} names {len(matched.unused)} images that aren't in the source, such as "
            f"{matched.unused[0]!r}. Mend the names, or say --unlisted refuse."
        )
    if matched.unused:
        words = "%s names %d images that aren't in the source, such as %r."
        _LOG.warning(words, path, len(matched.unused), matched.unused[0])
    note = scale_note(source, matched.faces, recipe.detect.max_pixels)
    if note:
        _LOG.warning("%s: %s", path, note)
    given = {
        key: ImportedBoxes((), reason)
        if (reason := too_many(len(faces)))
        else ImportedBoxes(faces, "", matched.sizes.get(key))
        for key, faces in matched.faces.items()
    }
    given.update({key: ImportedBoxes((), problem) for key, problem in matched.problems.items()})
    return given


def software() -> dict[str, str]:
    """Return the versions of what the results may depend on.

    With them, what this version looks for: `Ledger.searched_less` tells older runs by it.
    """
    names = ["onnxruntime", "numpy", "pillow", "pyarrow", *["pi-heif"] * codec.reads_heic()]
    found = {"sfumato": VERSION, "python": platform.python_version()}
    found["searched"] = "second images, 16 bits, any orientation"
    found.update({name: version(name) for name in names})
    for name in _OPTIONAL:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
