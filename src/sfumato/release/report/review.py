"""What people's review changed, and what it came to: for both copies of the report.

Boxes are compared image by image: what a detector proposed against what was decided. What
concerns the whole set (agreement, gold images, the estimate of what is still missed) comes from
the latest `Assessment`; there is no name and no pseudonym in either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field
from operator import add
from typing import Final

import numpy as np

from sfumato.boxes import as_boxes, iou
from sfumato.types import JSON, Decision, Detection, Face

# A box within rounding of the proposed one was confirmed; one that still overlaps it, adjusted.
_SAME: Final = 0.999
_ADJUSTED: Final = 0.45


@dataclass(frozen=True, slots=True)
class Changes:
    """Proposed boxes against decided ones, over some images.

    confirmed: decided as proposed. adjusted: moved or resized. added: no proposal was there.
    rejected: proposed, and no decided box is there. `private` of the decided boxes hold another
    private thing than a face.
    """

    images: int = 0
    confirmed: int = 0
    adjusted: int = 0
    added: int = 0
    rejected: int = 0
    private: int = 0

    def __add__(self, other: Changes) -> Changes:
        return Changes(*map(add, astuple(self), astuple(other)))

    @property
    def proposed(self) -> int:
        """Boxes that a detector proposed."""
        return self.confirmed + self.adjusted + self.rejected

    @property
    def decided(self) -> int:
        """Boxes that hold now."""
        return self.confirmed + self.adjusted + self.added

    def as_json(self) -> JSON:
        """Return the counts with their sums."""
        return {**asdict(self), "proposed": self.proposed, "decided": self.decided}


@dataclass(frozen=True, slots=True)
class ReviewFigures:
    """What the report says of the review; `assessment` is empty if nobody has made one."""

    changes: Changes = field(default_factory=Changes)
    assessment: JSON = field(default_factory=dict)

    @property
    def estimate(self) -> JSON | None:
        """The estimate of what is still missed (`review.estimation`), if there is one."""
        found: JSON | None = self.assessment.get("estimate")
        return found

    def as_json(self) -> JSON | None:
        """Return what summary.json holds; None if no image was decided on."""
        if not self.changes.images and not self.assessment:
            return None
        return {"boxes": self.changes.as_json(), **self.assessment}


def changes(proposed: Sequence[Face], decision: Decision) -> Changes:
    """Compare the proposals of one image with what was decided; best overlaps pair first."""
    overlap = iou(
        as_boxes([face.box for face in proposed]), as_boxes([face.box for face in decision.faces])
    )
    confirmed = adjusted = 0
    while overlap.size and overlap.max() > _ADJUSTED:
        row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
        exact = overlap[row, column] >= _SAME
        confirmed, adjusted = confirmed + int(exact), adjusted + int(not exact)
        overlap[row, :] = overlap[:, column] = 0
    paired = confirmed + adjusted
    return Changes(
        images=1,
        confirmed=confirmed,
        adjusted=adjusted,
        added=len(decision.faces) - paired,
        rejected=len(proposed) - paired,
        private=sum(face.kind == "private" for face in decision.faces),
    )


def of_image(detection: Detection | None, decision: Decision | None) -> Changes:
    """Return what a decision changed; nothing if it is of other bytes, in dispute, or not there."""
    if decision is None or detection is None or decision.basis == "provisional":
        return Changes()
    same = decision.digest == detection.digest
    return changes(detection.faces, decision) if same else Changes()
