"""Answers of people to images, made by hand, for the tests of places, weights and merging."""

from __future__ import annotations

from collections.abc import Sequence

from sfumato.review.vocabulary import Answer, Given, Mark, Scope, Verdict
from sfumato.types import Box

DIGEST = "0" * 64


def box(x: float, y: float = 0.0, side: float = 10.0) -> Box:
    return (x, y, x + side, y + side)


def proposed(*places: Box) -> tuple[Mark, ...]:
    return tuple(Mark(place, "face", f"p{i}", 0.7) for i, place in enumerate(places))


def drawn(*places: Box) -> tuple[Mark, ...]:
    return tuple(Mark(place) for place in places)


def said(
    person: str,
    marks: Sequence[Mark] = (),
    shown: Sequence[Mark] = (),
    *,
    key: str = "a.jpg",
    verdict: Verdict = "correct",
    scope: Scope = "whole",
    gold: tuple[Mark, ...] | None = None,
) -> Given:
    answer = Answer(verdict, tuple(marks), 4.0, scope)
    return Given(key, DIGEST, person, answer, tuple(shown), gold)
