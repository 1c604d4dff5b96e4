"""The same in a few lines, for a notebook: `detect`, `obfuscate` and `run`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from sfumato import obfuscation
from sfumato.boxes import misplaced, union
from sfumato.detection.detect import SAME_FACE_IOU, specifications
from sfumato.detection.detectors import registry
from sfumato.errors import UsageError
from sfumato.imaging import codec
from sfumato.pipeline.driver import STAGES, Job, Progress
from sfumato.pipeline.driver import run as run_job
from sfumato.pipeline.executors.local import Local
from sfumato.pipeline.settings import Settings
from sfumato.release.report.data import Report
from sfumato.sources import open_sink, open_source
from sfumato.sources.reading import read_steadily
from sfumato.types import Box, Face, Pixels

# A path, encoded bytes, a Pillow image, or uint8 pixels: (h, w) grey or (h, w, 3) RGB.
Image: TypeAlias = str | os.PathLike[str] | bytes | Pillow.Image | NDArray[np.uint8]

_EIGHT_BITS = frozenset("1 L LA P PA RGB RGBA RGBX CMYK YCbCr".split())


def detect(
    image: Image,
    *,
    profile: str = "default",
    detectors: Sequence[str] = (),
    threshold: float | None = None,
) -> list[Face]:
    """Find the faces of one image, best score first.

    Boxes are float pixels of the upright image, as found (not grown). `profile` is "fast",
    "default", "high" or "clean-weights"; `detectors`, such as "yunet@640:0.5" or "onnx:FILE",
    replace it; `threshold` is one score for all of them.

    Raises:
        SampleError: the image can't be read.
        UsageError: unknown profile or detector, or an array of another shape.

    Example:
        >>> import numpy as np, sfumato
        >>> sfumato.detect(np.zeros((48, 64, 3), np.uint8))
        []
    """
    images = _renderings(image)
    specs = specifications(profile, detectors=tuple(detectors), threshold=threshold)
    groups = [one for detector in registry.made(specs) for one in detector.detect(images)]
    return union(groups, SAME_FACE_IOU)


def obfuscate(
    image: Image,
    faces: Iterable[Face | Box],
    *,
    method: str = "gaussian",
    expand: float = 0.25,
    colour: tuple[int, int, int] | None = None,
) -> Pixels:
    """Return the upright image as (h, w, 3) RGB with these faces covered; the input stays.

    `faces` are what `detect` returns, or plain boxes (x0, y0, x1, y1). `method` is "gaussian",
    "pixelate", "fill" (with a `colour`, or the mean) or "imagenet"; boxes are grown by `expand`
    of their width and height on each side. To edit files without touching anything else of
    them, use `run`.

    Raises:
        SampleError: the image can't be read.
        UsageError: unknown method, a value out of range, or a box that can't be right: not finite,
            empty, inverted, or less than half inside the image.
    """
    boxes = [face.box if isinstance(face, Face) else _box(face) for face in faces]
    pixels = _pixels(image)
    for box in boxes:
        if reason := misplaced(box, pixels.shape[1], pixels.shape[0]):
            raise UsageError(f"{reason[0].upper()}{reason[1:]}: is it one of another image?")
    covered = obfuscation.make(method, expand=expand, colour=colour)(pixels, boxes)
    return np.require(covered, requirements="W")  # what Pillow returns can't be written to


def run(
    src: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    settings: Settings | None = None,
    workers: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Make a face-obfuscated release `out` of the folder tree `src`; see `sfumato run --help`.

    `settings` are the choices of the command line (`sfumato.pipeline.settings.Settings`); `workers`
    the number of processes (0: one for each core); `progress` is called with (done, of).
    Interrupted, the same call goes on where it stopped.

    Returns the report: `report.account`, `report.verdict`, `report.summary()`.

    Raises:
        UsageError: wrong folders or settings; nothing was written.
        OutputError: the disk refuses.
    """
    chosen = settings or Settings()
    source = open_source(src)
    sink = open_sink(out, like=source)
    job = Job(
        source=source,
        recipe=chosen.recipe(),
        ledger=sink.beside / "ledger.sqlite",
        out=sink,
        overwrite=overwrite,
        boxes=chosen.boxes,
        selection=chosen.selection(),
    )
    return run_job(job, STAGES, Local(workers), progress=progress)


def _renderings(image: Image) -> list[Pixels]:
    """Return the first frame, and of a file also what other viewers show of it (16 bits, alpha)."""
    if isinstance(image, str | os.PathLike):
        image = read_steadily(Path(image))
    if not isinstance(image, bytes):
        return [_pixels(image)]
    decoded = codec.decode(image)
    return [decoded.frames[0], *decoded.views]


def _pixels(image: Image) -> Pixels:
    if isinstance(image, bytes):
        return codec.decode(image).frames[0]
    if isinstance(image, str | os.PathLike):
        return codec.decode(read_steadily(Path(image))).frames[0]
    if isinstance(image, Pillow.Image):
        return _pixels_of_pillow(image)
    try:
        pixels = np.asarray(image)
    except ValueError as error:
        raise UsageError(f"An image must be an array of uint8: {error}.") from error
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise UsageError(
            f"An image must be uint8 of shape (h, w) or (h, w, 3), not {pixels.dtype} of "
            f"{pixels.shape}."
        )
    return pixels


def _pixels_of_pillow(image: Pillow.Image) -> Pixels:
    """Return the upright RGB pixels, without alpha, as of a file."""
    if image.mode not in _EIGHT_BITS:
        raise UsageError(f"An image must have 8 bits a channel, not Pillow's mode {image.mode}.")
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _box(numbers: Box) -> Box:
    """Return a plain box as one that can be right: an inverted one would cover nothing."""
    try:
        x0, y0, x1, y1 = map(float, numbers)
        return Face((x0, y0, x1, y1), 1.0, "").box
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"A box must be (x0, y0, x1, y1), finite, with x1 > x0 and y1 > y0, not {numbers!r}."
        ) from error
