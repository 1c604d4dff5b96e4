"""The vocabulary: what flows between the parts of sfumato, and the protocols they meet at.

Coordinates, stated once: boxes are float pixels ``(x0, y0, x1, y1)`` of the *upright* image
(orientation applied), origin top left, x1 and y1 exclusive. Other conventions exist only
inside `sfumato.annotations`.

All data types are frozen, slotted and picklable. Records (`Detection`, `Decision`, `Redetection`,
`Output`, `Finding`, `Failure`, `Observation`) are append-only: a correction is a new record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import Code

Pixels: TypeAlias = NDArray[np.uint8]  # (height, width, channels), 0..255; RGB unless said
Boxes: TypeAlias = NDArray[np.float32]  # (n, 4) x0 y0 x1 y1
JSON: TypeAlias = dict[str, Any]
Box: TypeAlias = tuple[float, float, float, float]  # x0 y0 x1 y1
Action: TypeAlias = Literal["copied", "obfuscated"]
# identical: same bytes. exact: the same pixels outside the touched region (in a copied image,
# which has none, everywhere: only metadata went). reencoded: lossy outside too.
Encoding: TypeAlias = Literal["identical", "exact", "reencoded"]
# What a box holds: a face, or another private thing that is covered as well (a plate, a document).
Kind: TypeAlias = Literal["face", "private"]
# provisional: in dispute, every box in doubt covered, until an adjudicator has decided.
Basis: TypeAlias = Literal["merged", "adjudicated", "provisional"]
# What a file of the release is: an image, another file, or one that nobody looked through.
FileKind: TypeAlias = Literal["image", "other", "unchecked"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image as stored: `data` are the encoded bytes, `digest` their SHA-256 in hex.

    `key` is the path below the source with forward slashes. `label` is the class, as the source
    knows it ("": none). `state` is what the file's size, times and inode were before
    it was read, "" if nobody knows.
    """

    key: str
    label: str
    data: bytes
    digest: str
    state: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Face:
    """A face: box in upright pixels as found or drawn (never grown), score in [0, 1].

    `origin` is a versioned detector name ("yunet-2023mar"), "human:NAME" or "file".
    """

    box: Box
    score: float
    origin: str
    kind: Kind = "face"

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if not (all(map(isfinite, self.box)) and x1 > x0 and y1 > y0):
            raise ValueError(f"box must be finite with x1 > x0 and y1 > y0, got {self.box}")
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score must lie in [0, 1], got {self.score}")


@dataclass(frozen=True, slots=True)
class Detection:
    """The faces found in the bytes with this digest; width and height of the upright image.

    `candidates` may be faces but are too doubtful to cover unseen: they wait for a person's eye,
    are never covered, and never published. `state` and `label` are those of the sample.
    """

    key: str
    digest: str
    width: int
    height: int
    faces: tuple[Face, ...]
    candidates: tuple[Face, ...] = ()
    state: str = field(default="", compare=False)
    label: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """What holds for one image after review; `faces` replace what was found.

    `reviewers` are the pseudonyms of those whose reviews it rests on.
    """

    key: str
    digest: str
    faces: tuple[Face, ...]
    basis: Basis
    reviewers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Redetection:
    """Faces that a check saw uncovered in the release, and that are to be covered besides.

    `digest` is that of the source; all of them are in the latest record of a key. `detectors` are
    the specifications of those that saw them, and look at the covered image again.
    """

    key: str
    digest: str
    faces: tuple[Face, ...]
    detectors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the review of a whole set came to, as JSON text (`sfumato.review.assessment`).

    It speaks of no single image: `key` is empty. No name and no pseudonym is in it.
    """

    key: str
    figures: str


@dataclass(frozen=True, slots=True)
class Output:
    """One file of the release: what was read (`digest`), what was `written`, what was done.

    `ghosts` are boxes covered besides `faces`: a detector still saw a face in the covered one.
    `rejected` are boxes that a detector proposed and people said hold no face: not covered, and
    no finding if a detector sees a face there again. `state` is that of the sample.
    `second_images` are the further images that the file held (`codec.embedded_images`),
    `second_images_removed` those that aren't in what was written; the others were searched and
    show no face.
    """

    key: str
    digest: str
    written: str
    action: Action
    encoding: Encoding
    method: str
    faces: tuple[Face, ...]
    ghosts: tuple[Face, ...] = ()
    rejected: tuple[Face, ...] = ()
    content: FileKind = "image"
    state: str = ""
    second_images: int = 0
    second_images_removed: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check or attack on one image of the release.

    `value` is what was measured and `limit` what was allowed, in the unit that the check
    documents; `detail` says it in words, without image content. `digest` is the SHA-256 of the
    output it speaks of, `faces` are those that were seen in it.
    """

    key: str
    code: Code
    passed: bool
    value: float
    limit: float
    detail: str
    digest: str = ""
    faces: tuple[Face, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that is not in the release, and why. Fail closed: no silent loss."""

    key: str
    stage: str
    code: Code
    reason: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What an observer noted of one image of the release; `digest` is that of the output.

    `observer` is its name, `values` plain JSON.
    """

    key: str
    digest: str
    observer: str
    values: JSON


Record: TypeAlias = (
    Detection | Decision | Redetection | Assessment | Output | Finding | Failure | Observation
)


class Detector(Protocol):
    """Finds faces. Batch first; deterministic; boxes inside the image."""

    @property
    def name(self) -> str: ...

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]: ...


class Obfuscator(Protocol):
    """Returns a new array; outside all `reaches(boxes)` the pixels stay the same.

    Takes any number of channels, and boxes in the frame of the array it is given.
    """

    def __call__(self, image: Pixels, boxes: Sequence[Box]) -> Pixels: ...

    def reaches(self, boxes: Sequence[Box]) -> list[Box]:
        """The rectangles outside of which these faces together change nothing, in their order."""
        ...
