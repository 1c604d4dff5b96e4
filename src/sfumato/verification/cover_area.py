"""How much more than the faces the covers change: their area against that of the boxes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from sfumato.boxes import covered
from sfumato.stats.bootstrap import ratio
from sfumato.types import JSON, Observation
from sfumato.verification.observing import Judgement, Released


class CoverArea:
    """Count the changed pixels of each image, and those inside its boxes as they were found.

    Images that were encoded again changed everywhere by a little: they don't count.
    """

    name: ClassVar[str] = "cover-area-1"

    def observe(self, image: Released) -> JSON | None:
        """Return how many pixels changed and how many lie inside boxes; None without faces."""
        output, before, after = image.output, image.before, image.after
        exact = output.action == "obfuscated" and output.encoding == "exact"
        if not exact or before.shape != after.shape or not output.faces:
            return None
        height, width = before.shape[:2]
        whole = (0.0, 0.0, float(width), float(height))
        inside = round(covered(whole, [face.box for face in output.faces]) * width * height, 1)
        if not inside:  # specks of boxes: a ratio to nothing says nothing
            return None
        changed = int(np.count_nonzero((before != after).any(axis=2)))
        return {"changed": changed, "boxes": inside}

    def judge(self, observations: Iterable[Observation]) -> Judgement:
        """Return the ratio of both sums over all images, with an interval, and the largest one."""
        changed, boxes = array("d"), array("d")
        for one in observations:
            changed.append(one.values["changed"])
            boxes.append(one.values["boxes"])
        if not len(boxes):
            return Judgement("Not measured: no image was covered block by block or exactly.", {})
        told = ratio(np.array(changed), np.array(boxes), np.random.default_rng(0), share=False)
        most = float(np.max(np.array(changed) / np.array(boxes)))
        figures = {"images": len(boxes), "ratio": told.value, "low": told.low, "high": told.high,
                   "most": most}  # fmt: skip
        return Judgement(
            f"The covers changed {told.value:.2f} times the area of the boxes that were found "
            f"(95 % interval {told.low:.2f} to {told.high:.2f}), in one image {most:.1f} times "
            f"({len(boxes):,} images that weren't encoded again).",
            figures,
        )
