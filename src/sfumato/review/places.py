"""Where the boxes of several people lie on one another, and who said what of each place.

A *place* of an image holds at most one box of each person, at most one proposal, and at most one
true box if the truth is known. Who has a box there says yes; who saw the image and has none, no.
Nothing here depends on the order in which answers or boxes come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sfumato import boxes
from sfumato.review.vocabulary import Given, Mark
from sfumato.types import Box

OVERLAP: Final = 0.2  # IoU from which on boxes of two people may show the same
DUPLICATE: Final = 0.7  # IoU above which two boxes of one person are one
_FEW: Final = 64  # boxes that are all compared at once
_ROWS: Final = 256  # of the table of overlaps that are made at a time
# Sources of boxes that are no people.
_PROPOSALS: Final = -1
_TRUTH: Final = -2


@dataclass(frozen=True, slots=True)
class Vote:
    """What a person says of a place.

    `prompted` if that person was shown a proposal there, `whole` if the person saw all of the
    image. Who saw crops only says no to nothing but proposals.
    """

    person: str
    yes: bool
    prompted: bool
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Boxes of one image that lie on one another: by person, as proposed, and as is true.

    `marks` also holds boxes of people who were unsure, who have no vote.
    """

    marks: Mapping[str, Mark]
    votes: tuple[Vote, ...]
    proposal: Mark | None = None
    truth: Mark | None = None

    @property
    def proposed(self) -> bool:
        """Whether a detector saw something here."""
        return self.proposal is not None


@dataclass(frozen=True, slots=True)
class ReviewedImage:
    """All that people said of one image: each voter's last answer, by voter, and the places.

    `truth` are the true boxes if they are known: those of a gold image, or else `judged`, what an
    adjudicator said last of the whole image. A place without a true box is then none.
    """

    key: str
    digest: str
    given: tuple[Given, ...]
    places: tuple[Place, ...]
    truth: tuple[Mark, ...] | None = None
    judged: Given | None = None


def images(
    given: Iterable[Given],
    *,
    overlap: float = OVERLAP,
    adjudicators: Collection[str] = (),
) -> Iterator[ReviewedImage]:
    """Yield each image that was answered, by key; of a person's answers to it, the last counts.

    Adjudicators have no vote: what they say is the truth, unless they saw crops only.
    """
    answers: defaultdict[tuple[str, str], dict[str, Given]] = defaultdict(dict)
    for one in given:
        of_image = answers[one.key, one.digest]
        of_image.pop(one.person, None)  # so that the last one stands last
        of_image[one.person] = one
    for (key, digest), by_person in sorted(answers.items(), key=lambda item: item[0]):
        judged = [g for g in by_person.values() if g.person in adjudicators and _judges(g)]
        voters = [
            by_person[p] for p in sorted(by_person) if p not in adjudicators or _crops(by_person[p])
        ]
        truth = next((g.gold for g in by_person.values() if g.gold is not None), None)
        last = judged[-1] if judged else None
        if truth is None and last is not None:
            truth = last.answer.marks
        found = tuple(places(voters, truth, overlap=overlap))
        yield ReviewedImage(key, digest, tuple(voters), found, truth, last)


def places(
    given: Sequence[Given], truth: Sequence[Mark] | None = None, *, overlap: float = OVERLAP
) -> list[Place]:
    """Return the places of one image, each person's answer given once, in the order of boxes.

    Pairs of boxes are joined, the largest IoU first, down to `overlap`, unless a person would have
    two boxes in a place. So a low limit gives a badly placed box a home, and two faces that touch
    stay apart where one person has marked both. Boxes of one person with an IoU above 0.7 count as
    one, the larger one, as do proposals.
    """
    sources: list[tuple[int, Sequence[Mark]]] = [
        (number, one.answer.marks) for number, one in enumerate(given)
    ]
    sources.append((_PROPOSALS, [mark for one in given for mark in one.proposals]))
    sources.append((_TRUTH, truth or ()))
    entries = sorted(
        ((mark, source) for source, marks in sources for mark in distinct(marks)),
        key=lambda entry: (_order(entry[0]), entry[1]),
    )
    shown = [{mark.box for mark in one.proposals} for one in given]
    found = []
    for members in joined([mark.box for mark, _ in entries], [s for _, s in entries], overlap):
        by_source = {entries[i][1]: entries[i][0] for i in members}
        found.append(_place(by_source, given, shown))
    return found


def distinct(marks: Sequence[Mark]) -> list[Mark]:
    """Return a person's boxes without those that repeat a larger one of theirs."""
    ordered = sorted(set(marks), key=_order)
    places_ = boxes.as_boxes([mark.box for mark in ordered])
    if len(ordered) <= _FEW and (np.triu(boxes.iou(places_, places_), 1) <= DUPLICATE).all():
        return ordered
    kept = boxes.suppress(places_, boxes.area(places_), DUPLICATE)
    return [ordered[i] for i in sorted(kept.tolist())]


def joined(places_: Sequence[Box], sources: Sequence[int], overlap: float) -> list[list[int]]:
    """Return which boxes belong together, as lists of their indices in rising order.

    At most one box of each source is in a list. Of equal overlaps, the earlier boxes come first.
    """
    home = list(range(len(places_)))
    groups = {i: [i] for i in home}
    held = {i: {source} for i, source in enumerate(sources)}
    for i, j in _pairs(places_, sources, overlap):
        one, other = sorted((home[i], home[j]))
        if one == other or held[one] & held[other]:
            continue
        for moved in groups.pop(other):
            home[moved] = one
            groups[one].append(moved)
        held[one] |= held.pop(other)
    return [sorted(groups[first]) for first in sorted(groups)]


def _pairs(places_: Sequence[Box], sources: Sequence[int], overlap: float) -> list[tuple[int, int]]:
    """Return pairs of different sources that overlap so much, the most first.

    Boxes come sorted by their left sides, so each is compared with those that start before it ends.
    """
    if not places_:
        return []
    corners, source = boxes.as_boxes(places_), np.asarray(sources)
    lefts, found = corners[:, 0], []
    for start in range(0, len(corners), _ROWS):
        rows = corners[start : start + _ROWS]
        stop = int(np.searchsorted(lefts, rows[:, 2].max(), side="right"))
        table = boxes.iou(rows, corners[start:stop])
        i, j = np.nonzero(table >= overlap)
        apart = (j > i) & (source[start + i] != source[start + j])
        i, j = i[apart], j[apart]
        found.append(np.stack([-table[i, j].astype(np.float64), start + i, start + j], axis=1))
    rows_ = np.concatenate(found)
    order: NDArray[np.intp] = np.lexsort((rows_[:, 2], rows_[:, 1], rows_[:, 0]))
    return [(int(i), int(j)) for i, j in rows_[order, 1:].tolist()]


def _place(
    by_source: Mapping[int, Mark], given: Sequence[Given], shown: Sequence[Collection[Box]]
) -> Place:
    proposal = by_source.get(_PROPOSALS)
    votes = []
    for number, one in enumerate(given):
        if one.answer.verdict == "unsure":
            continue
        prompted = proposal is not None and _was_shown(proposal, one, shown[number])
        yes = number in by_source
        whole = one.answer.scope == "whole"
        if yes or prompted or whole:
            votes.append(Vote(one.person, yes, prompted, whole))
    marks = {given[s].person: mark for s, mark in sorted(by_source.items()) if s >= 0}
    return Place(marks, tuple(votes), proposal, by_source.get(_TRUTH))


def _was_shown(proposal: Mark, one: Given, shown: Collection[Box]) -> bool:
    """Return whether a person saw this proposal, or one of theirs that it stands for."""
    if proposal.box in shown:
        return True
    theirs = boxes.as_boxes([mark.box for mark in one.proposals])
    overlaps = boxes.iou(boxes.as_boxes([proposal.box]), theirs)
    return bool((overlaps > DUPLICATE).any())


def _judges(one: Given) -> bool:
    """Return whether an adjudicator's answer settles the image: sure, and of all of it."""
    return one.answer.verdict != "unsure" and one.answer.scope == "whole"


def _crops(one: Given) -> bool:
    return one.answer.scope == "crops"


def _order(mark: Mark) -> tuple[Box, str, str, float]:
    return (mark.box, mark.kind, mark.proposal, -1.0 if mark.score is None else mark.score)
