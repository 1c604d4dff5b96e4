"""How many faces are still in there, from a campaign's answers and decisions.

Only images that somebody saw whole, and that are decided, say what was missed. A face was missed
if most of it lies under no proposed box. An image in dispute counts if a box in doubt would be a
miss: to wait for its adjudicator would leave out the very images with misses. Else it waits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sfumato.boxes import as_boxes, iou
from sfumato.ledger.ledger import Ledger
from sfumato.recipe import ObfuscateStep
from sfumato.review import capture, estimation, sampling, wording
from sfumato.review.capture import Recapture
from sfumato.review.estimation import Estimate, Recall, Stratum
from sfumato.review.sampling import Draw
from sfumato.review.vocabulary import Given
from sfumato.types import JSON, Box, Decision, Detection

_PUBLISHED_GROWTH: Final = 0.1  # of the recipe `imagenet`, on each side
_SAME: Final = 0.45  # IoU from which on two boxes are one face


@dataclass(frozen=True, slots=True)
class Remainder:
    """The answer: what was counted in each stratum, the estimate, and beside it a recapture.

    `recapture` is None where no two people saw the same images whole, or added nothing. Of
    `disputed` images every box in doubt counts as a face, until somebody has decided.
    """

    strata: tuple[Stratum, ...]
    estimate: Estimate
    recapture: Recapture | None
    disputed: int = 0

    def as_json(self) -> JSON:
        """Return both figures, with the sentence that can be quoted and a short form of it."""
        found = wording.as_json(self.estimate)
        found["short"] = _short(self.estimate)
        found["disputed"] = self.disputed
        found["recapture"] = self.recapture.as_json() if self.recapture else None
        return found


def remainder(
    ledger: Ledger,
    fingerprint: str,
    drawn: Draw | None,
    given: Sequence[Given],
    *,
    step: ObfuscateStep | None = None,
    recall: Recall | None = None,
) -> Remainder:
    """Estimate what detection missed and what is left.

    `step` says how covered boxes are grown (None: as by default). `recall` is what people found of
    the faces of gold images; None leaves people's own misses out of it.
    """
    images = list(checked(ledger, fingerprint, given, step))
    strata = _strata(images, drawn) if drawn is not None else ()
    recapture = _recapture(images, given)
    disputed = sum(one.decision.basis == "provisional" for one in images)
    return Remainder(strata, estimation.estimate(strata, recall=recall), recapture, disputed)


@dataclass(frozen=True, slots=True)
class Checked:
    """An image that somebody saw whole, with its decision; no cover held its `missed` faces."""

    found: Detection
    decision: Decision
    missed: int

    @property
    def key(self) -> str:
        """The image's name."""
        return self.found.key


def checked(
    ledger: Ledger, fingerprint: str, given: Iterable[Given], step: ObfuscateStep | None = None
) -> Iterator[Checked]:
    """Yield the images of the source that somebody saw whole and that are decided."""
    step = step or ObfuscateStep()
    expand = _PUBLISHED_GROWTH if step.method == "imagenet" else step.expand
    keys = sorted(ledger.still_there({one.key for one in given if _saw_all(one)}))
    decisions = {one.key: one for one in ledger.latest_among(fingerprint, ("decision",), keys)}
    for found in ledger.latest_among(fingerprint, ("detection",), keys):
        decision = decisions.get(found.key)
        if not isinstance(found, Detection) or not isinstance(decision, Decision):
            continue
        if decision.digest == found.digest:
            covers = [face.box for face in found.faces]
            missed = estimation.missed_faces(_faces(decision), covers, expand=expand)
            if missed or decision.basis != "provisional":
                yield Checked(found, decision, missed)


def _saw_all(one: Given) -> bool:
    answer = one.answer
    return answer.scope == "whole" and answer.verdict != "unsure" and one.gold is None


def _strata(images: Iterable[Checked], drawn: Draw) -> tuple[Stratum, ...]:
    sampled = drawn.order()
    counts: dict[str, int] = {}
    others: defaultdict[str, list[int]] = defaultdict(list)
    for one in images:
        if one.key in sampled:
            counts[one.key] = one.missed
        else:
            others[drawn.stratum_of(one.found)].append(one.missed)
    return sampling.tally(drawn, counts, others)


def recall_of(given: Iterable[Given]) -> Recall | None:
    """Return how many faces people found of those that gold images were shown without.

    Faces that a proposal pointed at don't count: people who look for misses have none. None if
    there were no such faces.
    """
    planted = found = 0
    for one in given:
        shown = [mark.box for mark in one.proposals]
        marked = [mark.box for mark in one.answer.marks]
        sure = one.answer.verdict != "unsure" and one.answer.scope == "whole"
        for face in one.gold or () if sure else ():
            if face.kind == "face" and not near(face.box, shown):
                planted += 1
                found += near(face.box, marked)
    return Recall(found, planted) if planted else None


def _faces(decision: Decision) -> list[Box]:
    return [face.box for face in decision.faces if face.kind == "face"]


def _recapture(images: Iterable[Checked], given: Iterable[Given]) -> Recapture | None:
    """Compare what the first two people who saw an image whole added to its proposals.

    Both were shown the same proposals, so only what they added was found independently; and only
    what is decided to be a face counts.
    """
    looks: defaultdict[str, list[Given]] = defaultdict(list)
    for look in given:
        if _saw_all(look) and not look.adjudication:
            looks[look.key].append(look)
    found_by: Counter[tuple[bool, ...]] = Counter()
    for one in images:
        seen = [[mark.box for mark in look.answer.marks] for look in looks[one.key][:2]]
        if len(seen) == 2:
            proposed = [face.box for face in (*one.found.faces, *one.found.candidates)]
            added = [box for box in _faces(one.decision) if not near(box, proposed)]
            found_by.update(tuple(near(box, boxes) for boxes in seen) for box in added)
    both, first, second = (found_by[by] for by in ((True, True), (True, False), (False, True)))
    # Where nothing was added, it says nothing.
    return capture.chapman(both, first, second) if both + first + second else None


def near(box: Box, boxes: Sequence[Box]) -> bool:
    """Say whether one of the boxes is of the same face."""
    return bool(boxes) and bool(iou(as_boxes([box]), as_boxes(boxes)).max() >= _SAME)


def _short(result: Estimate) -> str:
    """Say the faces that are left in a few characters."""
    if result.overall is None:
        return "?"
    left = result.overall.left_faces
    if result.overall.method == "counted":
        return "0"
    if left.value < 0.5:
        return f"≤ {left.high:,.0f}"
    return f"{left.low:,.0f} to {left.high:,.0f}"
