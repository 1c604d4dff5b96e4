"""The vocabulary of review: items, leases, answers, people.

An image that waits for people is an *item*. Lending it to one person is a *lease*; what that
person sends back is an *answer*; what follows from all answers is a `sfumato.types.Decision`.
Boxes are float pixels of the upright image, x1 and y1 exclusive, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sfumato.types import Box, Face, Kind

Verdict: TypeAlias = Literal["accept", "correct", "unsure"]
# Whether a person saw the whole image, or only crops around the proposed boxes.
Scope: TypeAlias = Literal["whole", "crops"]
Role: TypeAlias = Literal["reviewer", "adjudicator", "manager"]
# What a person is sent of an image: all of it, a magnified part, one face in the gallery.
Extent: TypeAlias = Literal["whole", "crop", "gallery"]
# Why an item is in the queue. sample: drawn at random, to estimate what is missed. gold: its
# truth is known; a reviewer can't tell it from the others. adjudication: people disagreed.
Reason: TypeAlias = Literal["risk", "sample", "gold", "adjudication", "tutorial"]

MOST_MARKS: Final = 1000  # boxes in one answer; more is refused


@dataclass(frozen=True, slots=True)
class Mark:
    """A box that a person sees or has drawn.

    `proposal` is the id of the proposed box that it was made from ("" if it was drawn anew), so
    that an adjusted box is told from a removed and an added one. `score` of a proposal in [0, 1],
    `origin` the detector that proposed it.
    """

    box: Box
    kind: Kind = "face"
    proposal: str = ""
    score: float | None = None
    origin: str = ""

    @classmethod
    def of(cls, face: Face, proposal: str = "") -> Mark:
        """Return a face as people see it."""
        return cls(face.box, face.kind, proposal, face.score, face.origin)

    def face(self, origin: str, score: float) -> Face:
        """Return this box as a face of an origin."""
        return Face(self.box, score, origin, self.kind)


@dataclass(frozen=True, slots=True)
class Item:
    """An image in the queue.

    Smaller `rank` is served first. `stratum` is where it was drawn from ("" if not drawn).
    `whole` says that the whole image must be seen (else crops around `proposals` may do).
    """

    key: str
    digest: str
    width: int
    height: int
    label: str
    proposals: tuple[Mark, ...]
    rank: int
    reason: Reason
    replicas: int
    stratum: str = ""
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Person:
    """A reviewer: `id` is a random pseudonym, the only thing that records carry."""

    id: str
    role: Role
    name: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """An item lent to a person until `expires` (seconds since 1970).

    `token` is random, unguessable, and all that a browser learns of the image's name. `marks`
    are what the person starts from: `shown`, or the draft saved last (`version` > 0). It stays
    when it isn't `open` any more, since it ran out or was answered.
    """

    token: str
    key: str
    digest: str
    width: int
    height: int
    marks: tuple[Mark, ...]
    shown: tuple[Mark, ...]
    expires: float
    version: int = 0
    whole: bool = True
    adjudication: bool = False
    gallery: bool = False
    open: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person said of one image; `seconds` is the time with the image in view.

    `scope` "crops" means that only crops around the proposals were seen: such an answer confirms
    or rejects boxes and says nothing about faces elsewhere.
    """

    verdict: Verdict
    marks: tuple[Mark, ...]
    seconds: float = 0.0
    scope: Scope = "whole"


@dataclass(frozen=True, slots=True)
class Given:
    """One person's stored answer, for statistics. `gold`: the item's truth, if it is known.

    `proposals` are the boxes that were shown (of a gold question: the spoiled ones).
    `adjudication` tells the answer that settles a dispute from those that it is about.
    """

    key: str
    digest: str
    person: str
    answer: Answer
    proposals: tuple[Mark, ...]
    gold: tuple[Mark, ...] | None = None
    adjudication: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work is: of one person (or, asked for nobody, of all), and in all.

    `answered` counts every answer, gold questions too, and `left` falls by one with each: neither
    tells a gold question from another. `all_answered` and `all_left` count what the campaign
    needs (images times replicas), without gold. `tutorial`: the next images are a tutorial.
    """

    answered: int
    left: int
    all_answered: int
    all_left: int
    tutorial: bool = False
