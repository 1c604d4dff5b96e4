"""People from a paid service, who work on our own page: a study on Prolific.

A provider *offers* work, which is free; *publishing* is a step of its own, the only one that may
spend money. Answers of people on our own page are in the queue already; `submissions` says who
worked for an offer and how it ended there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

State: TypeAlias = Literal["draft", "open", "closed"]
# working: has begun. done: says it is finished. accepted and refused: settled by us.
Progress: TypeAlias = Literal["working", "done", "accepted", "refused", "given up"]


@dataclass(frozen=True, slots=True)
class Work:
    """What is offered: `places` people look at `images` images each.

    `reward` is what one person gets, in hundredths of the service's currency (0 where nobody is
    paid); `minutes` how long it should take.
    """

    title: str
    description: str
    places: int
    images: int
    minutes: int = 0
    reward: int = 0

    def __post_init__(self) -> None:
        if self.places < 1 or self.images < 1 or self.minutes < 0 or self.reward < 0:
            raise ValueError(f"work needs people and images, and no negative pay: {self}")


@dataclass(frozen=True, slots=True)
class Offer:
    """Work that a provider holds. `cost` in hundredths, fees included; None: not known yet.

    `places` says how to reach it: links for people, a file, the page of a study.
    """

    id: str
    provider: str
    state: State
    places: tuple[str, ...]
    cost: int | None = 0
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """One person's work for an offer; `person` is the provider's own name for that person."""

    id: str
    person: str
    progress: Progress
    code: str = ""


class Provider(Protocol):
    """A source of people."""

    @property
    def name(self) -> str:
        """The name of the service."""
        ...

    def offer(self, work: Work) -> Offer:
        """Prepare the work; nobody is paid and nothing is spent."""
        ...

    def publish(self, offer: Offer, *, most: int) -> Offer:
        """Let people begin; refuses if it would cost more than `most` hundredths."""
        ...

    def submissions(self, offer: Offer) -> Iterator[Submission]:
        """Yield who works for it and how far each is."""
        ...

    def settle(self, submission: Submission, *, accepted: bool) -> None:
        """Accept a person's work, which pays where that is done, or refuse it."""
        ...

    def stop(self, offer: Offer) -> Offer:
        """Let nobody else begin."""
        ...
