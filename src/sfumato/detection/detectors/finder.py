"""The finder: propose low, look closer, decide. The detector of the profiles.

Each profile is a `Plan`: what proposes (`propose`), which crops are looked at (`second_look`),
and how the scores become a probability (`decision`). What costs little comes first: an image
in which nothing is proposed is done after one network, and a proposal that one crop settles
needs no other. docs/detection.md has recall, false boxes and cost of each.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sfumato.assets.weights import WEIGHTS
from sfumato.boxes import as_boxes, hulls, iou, suppress
from sfumato.detection.detectors import centerface, second_look, yunet
from sfumato.detection.detectors.decision import Decision, Model, Probabilities, Trust
from sfumato.detection.detectors.devices import CPU
from sfumato.detection.detectors.images import as_rgb
from sfumato.detection.detectors.second_look import (
    CLOSE,
    NEAR,
    NEAR_BY_YUNET,
    STRETCHED,
    WIDE,
    Look,
)
from sfumato.detection.detectors.session import Network, find
from sfumato.errors import UsageError
from sfumato.types import Box, Boxes, Face, Pixels

NAME: Final = "finder-1"
# Below this probability a proposal isn't worth a person's eye.
CANDIDATE: Final = 0.008
SAME = 0.45  # IoU above which two boxes propose the same face
MOST = 500  # proposals of one image; a stadium has 200


@dataclass(frozen=True, slots=True)
class Source:
    """A network that proposes: at which scale, from which score on."""

    network: Network
    long_side: int
    floor: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How a profile searches.

    `first` is the look that every proposal gets, `further` are those that the undecided get.
    The decision takes the scores of the sources, of `first` and of `further`, in this order.
    Faces are covered from the probability `threshold` on unless another is asked for.
    """

    sources: tuple[Source, ...]
    further: tuple[Look, ...]
    decision: Decision
    threshold: float
    first: Look = STRETCHED


# Quick, and sees the smallest faces when an image is enlarged; takes animals for people least.
_YUNET, _CENTERFACE = partial(Source, yunet.NETWORK), partial(Source, centerface.NETWORK_8BIT)
_FURTHER: Final = (NEAR, CLOSE, WIDE, NEAR_BY_YUNET)
_DOUBT: Final = (0.03, 0.97)
# Of what YuNet sees from 0.6 on and CenterFace in no crop, one in fourteen is a face (imagenet).
_TRUST: Final = Trust(score=0.6, chance=0.08)
# The numbers of the decisions are what `python benchmarks/fit_decision.py PROFILE` prints; for
# "high" with --set blind --set imagenet --set grey.
PLANS: Final[Mapping[str, Plan]] = MappingProxyType(
    {
        "fast": Plan(
            sources=(_YUNET(576, 0.35),),
            further=(),
            decision=Decision(
                early=Model((0.9324, 1.9036), -0.7977),
                late=Model((0.9324, 1.9036), -0.7977),
                doubt=_DOUBT,
                trust=_TRUST,
            ),
            threshold=0.01,
        ),
        "default": Plan(
            sources=(_YUNET(960, 0.18), _YUNET(320, 0.35)),
            further=_FURTHER,
            decision=Decision(
                early=Model((0.5033, 0.3141, 1.3202), 0.5381),
                late=Model((0.1548, 0.1104, 0.3924, 0.3906, 0.393, 0.4449, 0.4116), 0.5655),
                doubt=_DOUBT,
                trust=_TRUST,
            ),
            threshold=0.08,
        ),
        "high": Plan(
            sources=(
                _YUNET(960, 0.15),
                _YUNET(640, 0.25),
                _YUNET(320, 0.35),
                _CENTERFACE(640, 0.08),
                _CENTERFACE(960, 0.09),
            ),
            further=_FURTHER,
            decision=Decision(
                early=Model((0.2229, 0.169, 0.23, 0.2218, 0.4252, 1.1748), 2.0487),
                late=Model(
                    (0.0915, 0.0707, 0.0911, 0.0935, 0.238, 0.4303, 0.4324, 0.4433, 0.4553, 0.3916),
                    1.5961,
                ),
                doubt=(0.005, 0.995),
                trust=_TRUST,
            ),
            threshold=0.025,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Finder:
    """Find faces with both networks, at low thresholds, and look at each proposal again.

    `profile` names a plan; `threshold` is the probability from which a proposal counts as a
    face, in (0, 1]. The score of a face is the probability. `ValueError` if they can't be used.
    `device` can only be "cpu", from which the scores came that the decision was fitted to;
    `UsageError` for another.
    """

    profile: str = "default"
    threshold: float = math.nan  # that of the plan
    device: str = CPU

    def __post_init__(self) -> None:
        if self.profile not in PLANS:
            raise ValueError(f"there is no profile {self.profile!r}: choose {', '.join(PLANS)}")
        if math.isnan(self.threshold):
            object.__setattr__(self, "threshold", PLANS[self.profile].threshold)
        if not 0.0 < self.threshold <= 1.0:
            raise ValueError(f"threshold must lie in (0, 1], got {self.threshold}")
        if self.device != CPU:
            raise UsageError(
                f"The finder (profiles {', '.join(PLANS)}) runs on the processor only, not on "
                f"{self.device!r}: leave the device out, or name detectors that can, as in "
                "--detector centerface@640:0.3 --detector yunet@960:0.53 --device cuda."
            )

    @property
    def name(self) -> str:
        """Return the versioned name that faces carry as their origin."""
        return NAME

    @property
    def spec(self) -> str:
        """Return the specification from which `registry.parse` makes this detector."""
        return f"finder@{self.profile}:{self.threshold}"

    @property
    def weights_sha256(self) -> str:
        """Return the SHA-256 in hex of the networks' weights, the plan and its coefficients."""
        plan = PLANS[self.profile]
        networks = [one.network for one in plan.sources]
        networks += [one.network for one in (plan.first, *plan.further)]
        files = {network.file for network in networks}
        parts = [*(WEIGHTS[file].sha256 for file in sorted(files)), settings(plan)]
        return hashlib.sha256("\n".join(parts).encode("ascii")).hexdigest()

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        """Find the faces of each upright RGB image, (height, width, 3); most probable first."""
        return [faces for faces, _ in self.search(images)]

    def search(self, images: Sequence[Pixels]) -> list[tuple[list[Face], list[Face]]]:
        """Find the faces of each image, and the candidates: what only a person can tell."""
        return [self._sorted(image, None) for image in images]

    def detect_near(self, image: Pixels, regions: Sequence[Box]) -> list[Face]:
        """Find the faces in and around some rectangles of an image, at its whole's scale."""
        faces, _ = self._sorted(image, regions)
        return faces

    def _sorted(self, image: Pixels, near: Sequence[Box] | None) -> tuple[list[Face], list[Face]]:
        boxes, chances = judge(image, PLANS[self.profile], near)
        order = np.argsort(-chances, kind="stable")
        found = [
            Face(tuple(boxes[i].tolist()), float(chances[i]), NAME)
            for i in order.tolist()
            if chances[i] >= min(CANDIDATE, self.threshold)
        ]
        return (
            [face for face in found if face.score >= self.threshold],
            [face for face in found if face.score < self.threshold],
        )


def judge(
    image: Pixels, plan: Plan, near: Sequence[Box] | None = None
) -> tuple[Boxes, Probabilities]:
    """Return what is proposed in an image, (n, 4), and the probability of each to be a face."""
    image = as_rgb(image)
    proposed = propose(image, plan.sources, near)
    if not len(proposed.boxes):
        return proposed.boxes, np.zeros(0)
    seen = second_look.look_at(image, proposed.boxes, (plan.first,))
    early = np.concatenate((proposed.scores, seen.scores), axis=1)
    chances = plan.decision.early.probability(early)
    boxes = seen.boxes
    open_ones = plan.decision.undecided(chances)
    if len(open_ones) and plan.further:
        more = second_look.look_at(image, proposed.boxes[open_ones], plan.further)
        late = np.concatenate((early[open_ones], more.scores), axis=1)
        chances[open_ones] = plan.decision.late.probability(late)
        boxes[open_ones] = hulls(boxes[open_ones], more.boxes)
    return boxes, plan.decision.settled(chances, proposed.scores[:, 0])


def settings(plan: Plan) -> str:
    """Return all that a plan's results depend on besides weights and code, as one line."""
    sources = [(s.network.origin, s.long_side, s.floor) for s in plan.sources]
    looks = [(x.network.origin, x.view, x.stretch) for x in (plan.first, *plan.further)]
    return f"{NAME} {sources} {looks} {plan.decision}"


# The first look: where a face may be, at thresholds so low that little is missed.


@dataclass(frozen=True, slots=True)
class Proposals:
    """Boxes (n, 4) of one image, and what each source said of each, (n, sources).

    A score is that of the best box of the source that overlaps, 0 if there is none.
    """

    boxes: Boxes
    scores: NDArray[np.float32]


def propose(
    image: Pixels, sources: Sequence[Source], near: Sequence[Box] | None = None
) -> Proposals:
    """Join what the sources see anywhere in an image, or `near` some rectangles of it.

    Of boxes on the same face that of the earlier source stays: scores of different networks and
    scales don't compare, and the finest look at a face draws the best box.
    """
    seen: list[tuple[Boxes, NDArray[np.float32]]] = []
    for source in sources:
        found = find(
            image, source.network, long_side=source.long_side, threshold=source.floor, near=near
        )
        scores = np.asarray([face.score for face in found], dtype=np.float32)
        seen.append((as_boxes([face.box for face in found]), scores))
    boxes = np.concatenate([part for part, _ in seen])
    order = [scores - np.float32(2 * rank) for rank, (_, scores) in enumerate(seen)]
    kept = boxes[suppress(boxes, np.concatenate(order), SAME)[:MOST]]
    said = [
        np.where(iou(kept, part) > SAME, scores, np.float32(0)).max(axis=1, initial=0.0)
        for part, scores in seen
    ]
    return Proposals(kept, np.stack(said, axis=1))
