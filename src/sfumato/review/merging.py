"""From several people's boxes of one image to one set of boxes, or to a question for a judge.

Places come from `places`, weights from `crowd`. A place shows something with a probability
from the weighted votes; its box is the weighted median of those who said yes, side by side; its
kind is their weighted vote. Where something stays in doubt, the decision is provisional: **until
somebody has judged, every box in doubt is covered**. A face that is missed is worse than a box too
many, so a box goes only when it is likely wrong.

What people and detectors gave is never changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from sfumato.review.crowd import Crowd, Weight, estimate
from sfumato.review.places import OVERLAP, Place, ReviewedImage, images
from sfumato.review.vocabulary import Given, Mark
from sfumato.types import Basis, Box, Decision

Word = TypeVar("Word", bound=str)

MERGED: Final = "human:merged"  # origin of a box that several people gave

# Why an image is in dispute.
UNSURE: Final = "too many were unsure"
TOO_LITTLE: Final = "nobody reliable has looked"
EXISTENCE: Final = "it is uncertain whether there is something"
SIDES: Final = "its sides are uncertain"

_TIE: Final = 1e-9  # sums of weights that differ by less are equal
_LEAST_PULL: Final = 0.01  # of somebody whose answers say nothing, if nobody else has spoken


@dataclass(frozen=True, slots=True)
class Merging:
    """When boxes are one, and when people agree.

    A place shows nothing below the probability `low`, something above `high`; between them it is
    in dispute and covered. So is a box whose sides are off by more than `spread` of its size: by
    the weighted mean distance of people's sides from it, or by the standard deviation to be
    expected of these people together. So is an image of which at least the share `unsure` of
    people were unsure, and one whose sure answers have a total weight (`Weight.value`) below
    `least`.
    """

    overlap: float = OVERLAP
    low: float = 0.2
    high: float = 0.8
    spread: float = 0.15
    unsure: float = 0.5
    least: float = 0.3


@dataclass(frozen=True, slots=True)
class Merged:
    """The boxes of one image; each mark's `score` is the probability that something is there.

    `doubtful` are those of `faces` that are in dispute; `why` says of what kind disputes are, () if
    there is none. A mark's `proposal` is what it was made from, if anything.
    """

    faces: tuple[Mark, ...]
    doubtful: tuple[Mark, ...] = ()
    why: tuple[str, ...] = ()

    @property
    def disputed(self) -> bool:
        """Whether somebody has to judge."""
        return bool(self.why)


def decide(
    given: Iterable[Given],
    *,
    adjudicators: Collection[str] = (),
    settings: Merging = Merging(),
    crowd: Crowd | None = None,
) -> Iterator[Decision]:
    """Yield what holds for each image that was answered, by key; see `images` for the rest.

    "provisional" are decisions that wait for an adjudicator: they cover every box in doubt, and
    hold if a release can't wait.

    `adjudicators` are the ids of people whose last word holds, whatever others said. A gold
    image's decision is its truth. Without `crowd`, weights are estimated from these answers.
    """
    answered = list(images(given, overlap=settings.overlap, adjudicators=adjudicators))
    weights = estimate(answered) if crowd is None else crowd
    for image in answered:
        yield _settled(image) or _decided(image, weights, settings)


def merged(image: ReviewedImage, crowd: Crowd, settings: Merging) -> Merged:
    """Merge an image whose places are known."""
    people = [one.person for one in image.given if one.answer.verdict != "unsure"]
    why = []
    if len(image.given) - len(people) >= settings.unsure * len(image.given):
        why.append(UNSURE)
    if sum(crowd.weight(person).value for person in people) < settings.least:
        why.append(TOO_LITTLE)
    faces: list[Mark] = []
    doubtful: list[Mark] = []
    places = [place for place in image.places if place.marks or place.proposal]
    for place, probability in zip(places, crowd.probabilities(places), strict=True):
        if probability <= settings.low:
            continue
        mark, spread = _box(place, crowd, probability)
        reasons = [EXISTENCE] if probability < settings.high or not place.votes else []
        reasons += [SIDES] if spread > settings.spread else []
        faces.append(mark)
        doubtful += [mark] if reasons else []
        why += reasons
    return Merged(tuple(faces), tuple(doubtful), tuple(dict.fromkeys(why)))


def _settled(image: ReviewedImage) -> Decision | None:
    """Return the decision where the truth is known: from gold, or from the last adjudication."""
    if image.truth is None:
        return None
    by = image.judged.person if image.judged else ""
    origin = f"human:{by or 'gold'}"
    faces = tuple(mark.face(origin, 1.0) for mark in image.truth)
    people = (by,) if by else ()
    return Decision(image.key, image.digest, faces, "adjudicated", people)


def _decided(image: ReviewedImage, crowd: Crowd, settings: Merging) -> Decision:
    result = merged(image, crowd, settings)
    people = tuple(one.person for one in image.given if one.answer.verdict != "unsure")
    faces = tuple(mark.face(MERGED, mark.score or 0.0) for mark in result.faces)
    basis: Basis = "provisional" if result.disputed else "merged"
    return Decision(image.key, image.digest, faces, basis, people)


# --- one place ----------------------------------------------------------------------------------


def _box(place: Place, crowd: Crowd, probability: float) -> tuple[Mark, float]:
    """Return a place's box with its probability as the score, and how far its sides differ.

    Those who said yes count by what their answers are worth, over σ: a reliable person's box
    decides, and of reliable people's the steadier one's. Without them, those who were unsure count
    the same, and without these it is the proposal.
    """
    yes = [vote for vote in place.votes if vote.yes]
    if yes:
        marks = [place.marks[vote.person] for vote in yes]
        pulls = [_pull(crowd.weight(vote.person), prompted=vote.prompted) for vote in yes]
    else:
        marks = list(place.marks.values())
        if not marks and place.proposal:
            marks = [place.proposal]
        pulls = [1.0] * len(marks)
    sides = np.array([mark.box for mark in marks], dtype=np.float64)
    box, spread = weighted_median(sides, np.array(pulls))
    sigma = [crowd.weight(vote.person).spread for vote in yes]
    spread = max(spread, sum(one**-2 for one in sigma) ** -0.5 if sigma else 0.0)
    kind = _heaviest([mark.kind for mark in marks], pulls)
    proposal = _heaviest([mark.proposal for mark in marks], pulls)
    return Mark(box, kind, proposal, probability), spread


def weighted_median(places: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[Box, float]:
    """Return the weighted median of each side of n boxes (n, 4), and how far they lie from it.

    Where two values share the median, it is the outer one. The distance is the largest of the four
    weighted mean distances, in parts of the box's width or height.
    """
    order = np.argsort(places, axis=0, kind="stable")
    ordered = np.take_along_axis(places, order, axis=0)
    rising = np.cumsum(weights[order], axis=0) / weights.sum()
    lower = (rising >= 0.5 - _TIE).argmax(axis=0)
    upper = (rising > 0.5 + _TIE).argmax(axis=0)
    x0, y0, x1, y1 = ordered[[*lower[:2], *upper[2:]], range(4)].tolist()
    box = (x0, y0, x1, y1)
    away = weights @ np.abs(places - np.array(box)) / weights.sum()
    return box, float((away / np.array([x1 - x0, y1 - y0] * 2)).max())


def _pull(weight: Weight, *, prompted: bool) -> float:
    worth = weight.informedness if prompted else weight.finds * weight.right
    return max(worth, _LEAST_PULL) / weight.spread


def _heaviest(values: Sequence[Word], weights: Sequence[float]) -> Word:
    """Return the value with the largest total weight; of equal ones the first by name."""
    totals: defaultdict[Word, float] = defaultdict(float)
    for value, weight in zip(values, weights, strict=True):
        totals[value] += weight
    most = max(totals.values())
    return min(value for value, total in totals.items() if total >= most * (1 - _TIE))
