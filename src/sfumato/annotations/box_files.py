"""Face boxes in files: read what people bring (`--boxes`), write what was found (`faces export`).

The layouts are COCO, the list of ImageNet's face annotations ("princeton") and CSV. Which one a
file has is told by its content. An image that the file lists without a box was looked at and
has no face; an image that it doesn't list wasn't looked at.

Fail closed: a box that can't be right (not finite, empty, inverted; the published code skips
those silently) may stand for a face, so its whole image goes to `BoxFile.problems` and must
be refused.
"""

from __future__ import annotations

import math
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Final, TextIO, TypeAlias, TypeVar

from sfumato.annotations import boxes_csv, coco, princeton
from sfumato.annotations.entries import Entry, reading
from sfumato.annotations.name_match import pair
from sfumato.errors import OutputError, UsageError
from sfumato.types import Box, Detection, Face

Layout: TypeAlias = str  # a name of `LAYOUTS`


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a layout is read and written, and what a file of it begins with.

    `begins` is the first that isn't white space, empty for what nothing else is. With `faceless`
    a file names also the images in which no face is: one that it doesn't name wasn't looked at.
    """

    begins: bytes
    read: Callable[[Path], Iterator[Entry]]
    write: Callable[[TextIO, Iterable[Detection]], None]
    faceless: bool = True


LAYOUTS: Final[Mapping[Layout, Syntax]] = {
    "coco": Syntax(b"{", coco.read, coco.write),
    "princeton": Syntax(b"[", princeton.read, princeton.write),
    "csv": Syntax(b"", boxes_csv.read, boxes_csv.write, faceless=False),
}
_V = TypeVar("_V")
_plain = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Coordinates of a whole file that stay below this are fractions of the image, not pixels.
_FRACTIONS: Final = 2.0


@dataclass(frozen=True, slots=True)
class BoxFile:
    """The boxes of a file, by the file's own names of the images or, matched, by a source's keys.

    A name is either in `faces` (empty: no face) or, with the reason, in `problems`. `sizes` are
    the (width, height) of images, where the layout has them (COCO): one of another size upright has
    its boxes in another frame, and must be refused. `uncounted` are those of `faces` that a run
    covers too but that nobody must find: crowds, art, what is unclear. Of a matched file, `missing`
    are keys that it doesn't name, and `unused` are its names that no key took.
    """

    faces: Mapping[str, tuple[Face, ...]]
    problems: Mapping[str, str]
    sizes: Mapping[str, tuple[int, int]]
    uncounted: Mapping[str, tuple[Face, ...]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def match(self, keys: Sequence[str]) -> BoxFile:
        """Pair the names of the file with the keys of a source.

        Exact names first, then those that differ in spelling or in a root folder alone, and
        only where one pairing is possible; see `sfumato.annotations.name_match.pair`. Keys that
        could have several names are in `problems`.
        """
        pairing = pair(self.faces.keys() | self.problems.keys(), keys)

        def of(values: Mapping[str, _V]) -> dict[str, _V]:
            return {k: values[name] for k, name in pairing.names.items() if name in values}

        doubtful = dict.fromkeys(pairing.ambiguous, "several entries or images fit")
        used = set(pairing.names.values())
        return BoxFile(
            of(self.faces),
            {**of(self.problems), **doubtful},
            of(self.sizes),
            of(self.uncounted),
            tuple(key for key in keys if key not in pairing.names and key not in doubtful),
            tuple(name for name in (*self.faces, *self.problems) if name not in used),
        )


def load(path: Path) -> BoxFile:
    """Read a box file of any layout.

    Boxes come back as they are in the file, not rounded, not cut to the image. A score is 1.0
    where the file has none. An origin is kept if it is a plain word (letters, digits, `.`, `_`,
    `-`); a person's ("human:NAME") becomes "human", anything else "file". ImageNet's own file
    (1,431,093 images, 150 MB) takes about 10 s and 1 GB.

    Raises:
        UsageError: the file can't be read, is of no known layout, holds what isn't a number
            where one is needed, or gives fractions of the image instead of pixels.
    """
    faces: dict[str, tuple[Face, ...]] = {}
    found: dict[str, list[Face]] = {}
    uncounted: dict[str, list[Face]] = {}
    problems: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for entry in LAYOUTS[layout_of(path)].read(path):
        name, box, score, origin, size, kind, _ = entry
        faces.setdefault(name, ())
        if size is not None and sizes.setdefault(name, size) != size:
            problems.setdefault(name, f"two sizes, {sizes[name]} and {size}")
        if box is None:
            continue
        reason = fault(box, score)
        if reason is None:
            face = Face(box, score, public_origin(origin), kind)
            found.setdefault(name, []).append(face)
            if entry.uncounted:
                uncounted.setdefault(name, []).append(face)
        else:
            problems.setdefault(name, f"a box that can't be right: {reason}")
    _refuse_fractions(path, found, problems)
    faces.update((name, tuple(group)) for name, group in found.items())
    for name in problems:
        del faces[name]
    left_out = {name: tuple(group) for name, group in uncounted.items() if name in faces}
    return BoxFile(faces, problems, sizes, left_out)


def _refuse_fractions(
    path: Path, found: Mapping[str, Sequence[Face]], problems: dict[str, str]
) -> None:
    """Refuse a file of fractions, and in a file of pixels each image with boxes in fractions."""
    ends = {name: [max(map(abs, face.box)) for face in group] for name, group in found.items()}
    if ends and all(end <= _FRACTIONS for group in ends.values() for end in group):
        raise UsageError(f"{path}: all boxes end by pixel 2, so they seem fractions; give pixels")
    for name, group in ends.items():
        if min(group) <= 1:
            problems.setdefault(name, "a box within the first pixel: it seems given in fractions")


def layout_of(path: Path) -> Layout:
    """Tell the layout of a box file by what it begins with, white space left out.

    Raises:
        UsageError: the file can't be read or starts like none of them.
    """
    # A pipe could be read once, and we read twice.
    if os.path.exists(path) and not os.path.isfile(path):
        raise UsageError(f"{path}: expected a file with boxes (COCO, Princeton JSON or CSV)")
    with reading(path), path.open("rb") as stream:
        start = stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    for layout, syntax in LAYOUTS.items():
        if syntax.begins and start.startswith(syntax.begins):
            return layout
    if path.suffix.lower() == ".json":
        raise UsageError(f"{path}: expected JSON that starts with {{ (COCO) or [ (Princeton)")
    return next(layout for layout, syntax in LAYOUTS.items() if not syntax.begins)


def names_faceless(path: Path) -> bool:
    """Say whether a box file names the images without a face too, by its layout."""
    return LAYOUTS[layout_of(path)].faceless


def save(path: Path, detections: Iterable[Detection], *, layout: Layout) -> None:
    """Write the boxes as found (never grown), and the images without one, to a file.

    The same detections give the same bytes: images in the order of their keys, coordinates
    rounded to 0.01 pixel and scores to 0.000001, in the shortest digits. A box that rounding
    would empty keeps 0.01 pixel. Reviewers' names are left out: "human:NAME" becomes "human".
    The file appears whole or not at all. "princeton" has no place for scores and origins.

    Raises:
        UsageError: two detections share a key, or a key can't be written as UTF-8.
        OutputError: the disk refuses.
    """
    ordered = sorted(detections, key=attrgetter("key"))
    for one, other in pairwise(ordered):
        if one.key == other.key:
            raise UsageError(f"{path}: two sets of boxes for {one.key!r}: give the final one")
    with whole(path) as stream:
        LAYOUTS[layout].write(stream, map(_published, ordered))


@contextmanager
def whole(path: Path) -> Iterator[TextIO]:
    """Give a stream into a file that appears whole or not at all.

    Raises:
        UsageError: what is written can't be UTF-8.
        OutputError: the disk refuses.
    """
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("x", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError as error:
        reason = error.strerror or "unwritable"
        raise OutputError(f"{path} can't be written ({reason}): mend it, export again") from error
    except UnicodeEncodeError as error:
        raise UsageError(f"{path}: the name of an image isn't UTF-8: rename it") from error
    finally:
        with suppress(OSError):  # renamed by now, or never made
            part.unlink()


def public_origin(origin: str) -> str:
    """Return an origin that can be published: without a person's name, a plain word."""
    if origin.partition(":")[0] == "human":
        return "human"
    return origin if _plain.fullmatch(origin) else "file"


def _published(detection: Detection) -> Detection:
    return replace(detection, faces=tuple(map(_rounded, detection.faces)))


def _rounded(face: Face) -> Face:
    x0, y0, x1, y1 = map(float, face.box)
    (left, right), (top, bottom) = _rounded_span(x0, x1), _rounded_span(y0, y1)
    box: Box = (left, top, right, bottom)
    return Face(box, round(float(face.score), 6), public_origin(face.origin), face.kind)


def _rounded_span(start: float, end: float) -> tuple[float, float]:
    """Round both ends to 0.01, and move one on by as much if nothing would be left between."""
    first, last = round(start, 2) + 0.0, round(end, 2) + 0.0  # + 0.0 turns -0.0 into 0.0
    if last > first:
        return first, last
    if end > last:
        return first, max(round(last + 0.01, 2), math.nextafter(last, math.inf))
    return min(round(first - 0.01, 2), math.nextafter(first, -math.inf)), last


def fault(box: Box, score: float) -> str | None:
    """Say what is wrong with a box or its score; None if nothing is."""
    x0, y0, x1, y1 = box
    if not all(map(math.isfinite, box)):
        return "a coordinate isn't finite"
    if x0 >= x1:
        return f"x1 must exceed x0, got x0={x0:g} and x1={x1:g}"
    if y0 >= y1:
        return f"y1 must exceed y0, got y0={y0:g} and y1={y1:g}"
    if not 0.0 <= score <= 1.0:
        return f"the score must lie in [0, 1], got {score:g}"
    return None
