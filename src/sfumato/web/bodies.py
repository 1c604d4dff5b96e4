"""Read what a browser sends, strictly: every doubt is a refusal with a sentence and a code.

JSON (RFC 8259) without what parsers disagree on: no names twice, no NaN or Infinity, no
numbers beyond a double. Nothing here descends further than the interface does, and what is too
deep for Python's own parser is no JSON for us. Nothing that was sent is repeated in a sentence.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

from sfumato.boxes import clip, misplaced
from sfumato.review.vocabulary import MOST_MARKS, Answer, Mark
from sfumato.types import Box
from sfumato.web.refusals import Refusal

MOST_LEASES: Final = 8
GALLERY: Final = 50
_SLACK: Final = 1.0  # pixels outside the image that are cut off and not refused
_SAME: Final = 0.01  # pixels: a box that was sent back as it came
_LONGEST_S: Final = 86_400.0
_LAST_VERSION: Final = 2**31 - 1
_ID = re.compile(r"[pn](?:0|[1-9][0-9]{0,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Frame:
    """What boxes are checked against: the upright image's size, and what was proposed."""

    width: int
    height: int
    proposals: Mapping[str, Mark]


def parse(body: bytes) -> dict[str, Any]:
    """Return the object in the body.

    Raises:
        Refusal: 400 NOT_JSON for anything but one JSON object as described above.
    """
    try:
        found = json.loads(
            body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError, 5,000 digits
        raise Refusal(400, "NOT_JSON", "The body must be one JSON object.") from error
    if not isinstance(found, dict):
        raise Refusal(400, "NOT_JSON", "The body must be one JSON object.")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)


def wanted(body: Mapping[str, Any]) -> tuple[int, bool]:
    """Return how many leases are asked for, and whether for the gallery: POST /api/next.

    Raises:
        Refusal: 422 for names, types and numbers that the interface doesn't have.
    """
    _only(body, {"count", "gallery"})
    gallery = body.get("gallery", False)
    if not isinstance(gallery, bool):
        raise _wrong("“gallery” must be true or false.")
    most = GALLERY if gallery else MOST_LEASES
    return _whole(body.get("count", 1), "“count”", 1, most), gallery


def draft(body: Mapping[str, Any], frame: Frame) -> tuple[int, tuple[Mark, ...]]:
    """Return version and marks: PUT /api/lease/<token>.

    Raises:
        Refusal: 422 as `wanted`, and for boxes as `marks`.
    """
    _only(body, {"version", "marks"})
    version = _whole(body.get("version"), "“version”", 0, _LAST_VERSION)
    return version, marks(body.get("marks"), frame)


def answer(body: Mapping[str, Any], frame: Frame) -> Answer:
    """Return the answer: POST /api/lease/<token>/answer.

    "accept" means that the proposals are right as they are, so its marks must be the proposals.

    Raises:
        Refusal: 422 as `draft`; VERDICT_MISMATCH for an "accept" with other boxes.
    """
    _only(body, {"verdict", "marks", "seconds", "scope"})
    seconds = _number(body.get("seconds", 0), "“seconds”")
    if not 0 <= seconds <= _LONGEST_S:
        raise _wrong("“seconds” must lie between 0 and 86400.")
    verdict, scope = body.get("verdict"), body.get("scope", "whole")
    if verdict not in ("accept", "correct", "unsure"):
        raise _wrong("“verdict” must be accept, correct or unsure.")
    if scope not in ("whole", "crops"):
        raise _wrong("“scope” must be whole or crops.")
    found = marks(body.get("marks"), frame)
    if verdict == "accept" and not _as_proposed(found, frame):
        raise Refusal(
            422, "VERDICT_MISMATCH", "“accept” needs the boxes as they were proposed: say correct."
        )
    return Answer(verdict, found, seconds, scope)


def _as_proposed(found: Sequence[Mark], frame: Frame) -> bool:
    if sorted(mark.proposal for mark in found) != sorted(frame.proposals):
        return False
    pairs = [(mark, frame.proposals[mark.proposal]) for mark in found]
    return all(
        mark.kind == proposed.kind
        and all(
            abs(a - b) <= _SAME for a, b in zip(mark.box, _inside(proposed.box, frame), strict=True)
        )
        for mark, proposed in pairs
    )


def marks(value: object, frame: Frame) -> tuple[Mark, ...]:
    """Check a list of marks; boxes up to a pixel outside the image are cut to it.

    The score of a proposal is the one that the server knows, whatever was sent.

    Raises:
        Refusal: 422 TOO_MANY_BOXES, WRONG_BOX or WRONG_BODY.
    """
    if not isinstance(value, list):
        raise _wrong("“marks” must be a list.")
    if len(value) > MOST_MARKS:
        raise Refusal(422, "TOO_MANY_BOXES", f"At most {MOST_MARKS} boxes can be sent.")
    ids: set[str] = set()
    proposals: set[str] = set()
    found: list[Mark] = []
    for each in value:
        mark, name = _mark(each, frame)
        if name in ids or mark.proposal in proposals:
            raise _wrong("Each mark must have an id of its own, and a proposal of its own.")
        ids.add(name)
        if mark.proposal:
            proposals.add(mark.proposal)
        found.append(mark)
    return tuple(found)


def _mark(value: object, frame: Frame) -> tuple[Mark, str]:
    if not isinstance(value, dict):
        raise _wrong("Each mark must be an object.")
    _only(value, {"id", "box", "kind", "proposal", "score"})
    name, proposal = value.get("id"), value.get("proposal", "")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise _wrong("The “id” of a mark must be p or n and a number.")
    if proposal != "" and (not isinstance(proposal, str) or proposal not in frame.proposals):
        raise _wrong("The “proposal” of a mark must be one of this image's, or empty.")
    if name.startswith("p") and name != proposal:
        raise _wrong("An “id” that begins with p belongs to the proposal of that name.")
    kind, score = value.get("kind", "face"), value.get("score")
    if kind not in ("face", "private"):
        raise _wrong("“kind” must be face or private.")
    if score is not None and not 0 <= _number(score, "“score”") <= 1:
        raise _wrong("“score” must be null or lie between 0 and 1.")
    box = _box(value.get("box"), frame)
    if proposal:
        return replace(frame.proposals[proposal], box=box, kind=kind), name
    return Mark(box, kind), name


def _box(value: object, frame: Frame) -> Box:
    if not isinstance(value, list) or len(value) != 4:
        raise Refusal(422, "WRONG_BOX", "A “box” must be a list of four numbers.")
    x0, y0, x1, y1 = (_number(each, "Each side of a box", "WRONG_BOX") for each in value)
    if not (x1 > x0 and y1 > y0):
        raise Refusal(422, "WRONG_BOX", "A box must have its left side left and its top on top.")
    low, right, bottom = -_SLACK, frame.width + _SLACK, frame.height + _SLACK
    outside = x0 < low or y0 < low or x1 > right or y1 > bottom
    if outside or misplaced((x0, y0, x1, y1), frame.width, frame.height):
        raise Refusal(422, "WRONG_BOX", "A box lies outside the image.")
    return _inside((x0, y0, x1, y1), frame)


def _inside(box: Box, frame: Frame) -> Box:
    return clip(box, frame.width, frame.height) or box


def crop(text: str, frame: Frame, most: int) -> tuple[int, int, int, int]:
    """Return the window of ?crop=x0,y0,x1,y1: whole pixels, at most `most` a side, cut to fit.

    Raises:
        Refusal: 422 WRONG_CROP.
    """
    wrong = Refusal(
        422, "WRONG_CROP", "“crop” must be left,top,right,bottom inside the image, not too large."
    )
    parts = text.split(",") if len(text) <= 100 else []
    try:
        x0, y0, x1, y1 = map(float, parts)
    except ValueError as error:  # also of more or fewer than four
        raise wrong from error
    low, right, bottom = -_SLACK, frame.width + _SLACK, frame.height + _SLACK
    # NaN fails every comparison.
    if not (low <= x0 < x1 <= right and low <= y0 < y1 <= bottom):
        raise wrong
    left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
    window = (left, top, min(frame.width, math.ceil(x1)), min(frame.height, math.ceil(y1)))
    sides = (window[2] - window[0], window[3] - window[1])
    if min(sides) < 1 or max(sides) > most:
        raise wrong
    return window


def _only(body: Mapping[str, Any], names: Collection[str]) -> None:
    if not body.keys() <= set(names):
        raise _wrong("There is a name that this request doesn't have.")


def _whole(value: object, what: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _wrong(f"{what} must be a whole number from {least} to {most}.")
    return value


def _number(value: object, what: str, code: str = "WRONG_BODY") -> float:
    """Return a finite float; bool is no number here, and 1e999 isn't finite."""
    if not isinstance(value, bool) and isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise Refusal(422, code, f"{what} must be a finite number.")


def _wrong(sentence: str) -> Refusal:
    return Refusal(422, "WRONG_BODY", sentence)
