"""The order of the queue: images by risk, with the random sample among the first.

The risk of an image says how likely a person's look changes what is covered, and how much a
mistake would show. It adds up, each part in [0, 1] and weighted by `WEIGHTS`:

- *open*: that at least one candidate is a face, 1 - prod(1 - score): it would stay uncovered;
- *doubt*: that at least one covered box is no face, 1 - prod(score);
- *disagreement*: the share of boxes that stand alone where several detectors looked: no box of
  another origin meets them;
- *size*: the longer side of the largest box that isn't certain, as a share of the image's, times
  its doubt (a candidate counts in full): a large face missed is seen by everybody;
- *class*: the share of its class's n checked images in which misses were found so far, as
  x / (n + 1): a class of which little was checked says little;
- *person*: a person was seen and no face. sfumato has no detector of persons: without the
  caller's answers (`persons`) this isn't measured, and adds nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfumato import boxes
from sfumato.errors import UsageError
from sfumato.review.sampling import Draw, priority
from sfumato.review.vocabulary import MOST_MARKS, Item, Mark
from sfumato.types import Detection, Face

_MEETS: Final = 0.3  # IoU from which on two detectors mean the same face


@dataclass(frozen=True, slots=True)
class Rules:
    """How the queue is made.

    Each image goes to `replicas` people. Every `every`-th place is one of the sample's until it
    is used up. Images of less than `least` risk that weren't drawn stay out (0: all come in).
    An image whose risk is below `crops` may be confirmed by crops if nothing in it is open.
    """

    replicas: int = 1
    every: int = 3
    least: float = 0.01
    crops: float = 0.5


@dataclass(frozen=True, slots=True)
class Known:
    """What is known besides the detections.

    `misses`: for a class, how many of its images were checked, and in how many of these faces
    had been missed. `persons`: whether a person is seen in the image of this key.
    """

    misses: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    persons: Mapping[str, bool] | None = None


class Risk(NamedTuple):
    """The parts of an image's risk, each in [0, 1]."""

    open: float = 0.0
    doubt: float = 0.0
    disagreement: float = 0.0
    size: float = 0.0
    missed_class: float = 0.0
    person: float = 0.0

    @property
    def total(self) -> float:
        """Their sum, each with its weight."""
        return sum(weight * part for weight, part in zip(WEIGHTS, self, strict=True))


WEIGHTS: Final = Risk(1.0, 0.5, 0.25, 0.5, 0.5, 0.5)


def risk(detection: Detection, known: Known = Known()) -> Risk:
    """Return the risk of one image."""
    faces, candidates = detection.faces, detection.candidates
    if not (faces or candidates or known.misses or known.persons):
        return Risk()  # most images of a large set
    doubts = [(face, 1 - face.score) for face in faces] + [(face, 1.0) for face in candidates]
    longer = max(detection.width, detection.height)
    images, missed = known.misses.get(detection.label, (0, 0))
    return Risk(
        open=1 - prod(1 - face.score for face in candidates),
        doubt=1 - prod(face.score for face in faces),
        disagreement=_disagreement((*faces, *candidates)),
        size=min(max((boxes.longer_side(f.box) / longer * d for f, d in doubts), default=0.0), 1.0),
        missed_class=missed / (images + 1),
        person=float(not faces and (known.persons or {}).get(detection.key, False)),
    )


def order(
    detections: Iterable[Detection],
    drawn: Draw,
    *,
    rules: Rules = Rules(),
    known: Known = Known(),
) -> Iterator[Item]:
    """Yield the items of the queue, in the order of `detections`; ranks are 0, 1, … without a gap.

    Detections are iterated twice; between, 21 bytes of each are kept. Of equal risk, the draw's
    random priority decides, so that the same draw gives the same queue.

    Raises:
        UsageError: `detections` are an iterator.
    """
    if isinstance(detections, Iterator):
        raise UsageError("the queue is made from the images twice: give a list, no iterator.")
    places = drawn.order()
    risks, ties, samples = array("f"), array("Q"), array("d")
    for detection in detections:
        risks.append(risk(detection, known).total)
        ties.append(priority(detection.key, drawn.secret))
        samples.append(places[detection.key][1] if detection.key in places else -1.0)
    totals = np.frombuffer(risks, dtype=np.float32)
    ranks = _ranks(
        totals, np.frombuffer(ties, dtype=np.uint64), np.frombuffer(samples, np.float64), rules
    )
    for detection, rank, total in zip(detections, ranks, totals, strict=True):
        if rank >= 0:
            stratum = places[detection.key][0] if detection.key in places else ""
            yield _item(detection, int(rank), float(total), stratum, rules)


def _disagreement(found: tuple[Face, ...]) -> float:
    origins = {face.origin for face in found}
    if len(origins) < 2:
        return 0.0
    places = boxes.as_boxes([face.box for face in found])
    meets = boxes.iou(places, places) >= _MEETS
    names = np.array([face.origin for face in found])
    others = names[:, None] != names[None, :]
    return float(1 - (meets & others).any(axis=1).mean())


def _ranks(
    risks: NDArray[np.float32],
    ties: NDArray[np.uint64],
    samples: NDArray[np.float64],
    rules: Rules,
) -> NDArray[np.int64]:
    """Return the rank of each image, -1 for those that stay out.

    The sample takes places every - 1, 2 every - 1, …, and what is left over comes at the end.
    """
    is_sample = samples >= 0
    sample = np.flatnonzero(is_sample)
    sample = sample[np.lexsort((ties[sample], samples[sample]))]
    others = np.flatnonzero(~is_sample & (risks >= rules.least))
    others = others[np.lexsort((ties[others], -risks[others]))]
    after = np.concatenate(
        [
            np.arange(1, len(sample) + 1) * (rules.every - 1) - 0.5,
            np.arange(len(others), dtype=np.float64),
        ]
    )  # behind how many others each one comes
    sequence = np.concatenate([sample, others])[np.argsort(after, kind="stable")]
    ranks = np.full(len(risks), -1, dtype=np.int64)
    ranks[sequence] = np.arange(len(sequence))
    return ranks


def _item(detection: Detection, rank: int, total: float, stratum: str, rules: Rules) -> Item:
    found = (*detection.faces, *detection.candidates)[:MOST_MARKS]
    sure = not detection.candidates and bool(detection.faces) and total < rules.crops
    return Item(
        key=detection.key,
        digest=detection.digest,
        width=detection.width,
        height=detection.height,
        label=detection.label,
        proposals=tuple(Mark.of(face, f"p{i}") for i, face in enumerate(found)),
        rank=rank,
        reason="sample" if stratum else "risk",
        replicas=rules.replicas,
        stratum=stratum,
        whole=bool(stratum) or not sure,
    )
