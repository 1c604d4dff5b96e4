"""Counting: records in, one image at a time, a `Report` out.

1.4 million images need little memory: a few numbers for each class and face, and a bounded
number of rows for the lists. The report doesn't depend on the order of the images.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Final, TypeVar

from sfumato.boxes import clip, covered, grow, longer_side
from sfumato.errors import Code
from sfumato.ledger.records import figures_from
from sfumato.release.report.data import (
    About,
    Account,
    Check,
    ClassCount,
    Distribution,
    FaceStatistics,
    Others,
    Report,
    SecondImages,
)
from sfumato.release.report.pairs import Choice, Shortlist, Smallest, used_of_limit
from sfumato.release.report.review import Changes, ReviewFigures, of_image
from sfumato.types import (
    JSON,
    Assessment,
    Box,
    Decision,
    Detection,
    Face,
    Failure,
    Finding,
    Output,
    Record,
)
from sfumato.verification.observing import Judgement

ROWS_SHOWN: Final = 1000

# Half octaves from 4 to 8192 px; the rest in steps that people read at a glance.
SIZE_EDGES: Final = tuple(4.0 * 2.0 ** (n / 2) for n in range(23))
RELATIVE_EDGES: Final = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
COVERED_EDGES: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SCORE_EDGES: Final = tuple(n / 20 for n in range(21))
LEFT_EDGES: Final = (*(n / 10 for n in range(11)), 2.0)  # last bin: over the limit
LEFT_CAP: Final = 1000.0  # times the limit: more, and what is no number, counts as this


_R = TypeVar("_R", bound=Record)


def _last(records: Sequence[Record], kind: type[_R]) -> _R | None:
    return next((one for one in reversed(records) if isinstance(one, kind)), None)


class Tally:
    """Counts the records of a run, image by image, in any order.

    Memory grows by 24 bytes a face, 16 bytes an image with a face and some hundred bytes a
    class; images without a face cost nothing.
    """

    def __init__(self, about: About) -> None:
        self._about = about
        self._cover = _cover(about)
        self._classes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._encodings: Counter[str] = Counter()
        self._refusals: Counter[Code] = Counter()
        self._checks: dict[Code, list[int]] = {}
        self._per_image: Counter[int] = Counter()
        self._sizes, self._relative = array("d"), array("d")
        self._covered, self._left = array("d"), array("d")
        self._limits: set[float] = set()
        self._scores: dict[str, array[float]] = {}
        self._failed: Smallest[Finding] = Smallest(ROWS_SHOWN, order=_finding_order)
        self._refused: Smallest[Failure] = Smallest(ROWS_SHOWN, order=_failure_order)
        self._ignored_names: Smallest[str] = Smallest(ROWS_SHOWN, order=str)
        self._ignored = 0
        self._excluded = 0
        self._others: Counter[str] = Counter()
        self._changes = Changes()
        self._assessment: JSON = {}
        self._candidates = 0
        self._second: Counter[str] = Counter()
        self._shortlist = Shortlist()
        self._judged: dict[str, Judgement] = {}

    def add(self, key: str, label: str, records: Sequence[Record]) -> None:
        """Count one image of the source, with all its records in the order they were made.

        The latest `Output` or `Failure` decides where it went; with neither it is unfinished.
        Final boxes are those of the output, else of the latest decision, else of the detection.
        """
        detection, decided = _last(records, Detection), _last(records, Decision)
        fates = [one for one in records if isinstance(one, Output | Failure)]
        fate = fates[-1] if fates else None
        findings = [one for one in records if isinstance(one, Finding)]
        self._count_fate(label, fate)
        for finding in findings:
            self.finding(finding)
        self._changes += of_image(detection, decided)
        final = None if isinstance(fate, Failure) else fate or decided or detection
        if final is not None:
            self._count_faces(label, final.faces, detection)
            # A person's decision settles what was doubtful.
            if detection is not None and decided is None:
                self._candidates += len(detection.candidates)
        if isinstance(fate, Output):
            self._shortlist.add(key, label, faces=fate.faces, findings=findings)

    def finding(self, finding: Finding) -> None:
        """Count a finding that is about the release and not about one image of the source."""
        self._checks.setdefault(finding.code, [0, 0])[not finding.passed] += 1
        if not finding.passed:
            self._failed.add(finding)
        if finding.code is Code.VERIFY_STRENGTH:
            self._left.append(min(used_of_limit(finding), LEFT_CAP))
            self._limits.add(finding.limit)

    def assessed(self, assessment: Assessment) -> None:
        """Take what the review of the whole set came to; the last one counts.

        Raises:
            LedgerError: its figures can't be understood.
        """
        self._assessment = figures_from(assessment.figures)

    def judged(self, observer: str, judgement: Judgement) -> None:
        """Take what an observer says of the whole set; what it finds wrong are findings."""
        self._judged[observer] = judgement
        for finding in judgement.findings:
            self.finding(finding)

    def other(self, fate: Output | Failure | None) -> None:
        """Count a file that is no image and was to be copied; None: it was, without a record."""
        if isinstance(fate, Failure):
            self._others["refused"] += 1
            self._refuse(fate)
        else:
            self._others["copied"] += 1
            self._others["unchecked"] += fate is not None and fate.content == "unchecked"

    def passed_over(self, key: str, kind: str) -> None:
        """Count a file that is no part of the set: "excluded", or no image by its name.

        Up to 1,000 of these names are listed.
        """
        if kind == "excluded":
            self._excluded += 1
        else:
            self._ignored += 1
            self._ignored_names.add(key)

    def choose(self) -> tuple[Choice, ...]:
        """Return the images (at most 24) that the private report shows before and after.

        Failed checks first, then those that passed the strength check most narrowly, then a
        spread over face sizes and classes; always the same for the same records.
        """
        return self._shortlist.choose()

    def report(self) -> Report:
        """Return what was counted so far."""
        classes = tuple(_class_count(label, row) for label, row in sorted(self._classes.items()))
        fates = sum(self._classes.values(), Counter[str]())
        return Report(
            about=self._about,
            account=_account(fates),
            classes=classes,
            encodings=tuple(sorted(self._encodings.items())),
            refusals=tuple(sorted(self._refusals.items())),
            checks=tuple(Check(code, *self._checks[code]) for code in sorted(self._checks)),
            faces=self._faces(),
            failed=tuple(self._failed.sorted()),
            refused=tuple(self._refused.sorted()),
            ignored=self._ignored,
            ignored_names=tuple(self._ignored_names.sorted()),
            review=ReviewFigures(self._changes, self._assessment),
            candidates=self._candidates,
            others=Others(**self._others),
            excluded=self._excluded,
            second=SecondImages(**self._second),
            judged=tuple(self._judged.items()),
        )

    def _count_fate(self, label: str, fate: Output | Failure | None) -> None:
        row = self._classes[label]
        if fate is None:
            row["unfinished"] += 1
        elif isinstance(fate, Failure):
            row["refused"] += 1
            self._refuse(fate)
        else:
            row[fate.action] += 1
            self._encodings[fate.encoding] += 1
            if fate.second_images:
                held, gone = fate.second_images, fate.second_images_removed
                self._second.update(files=1, images=held, removed=gone)

    def _refuse(self, failure: Failure) -> None:
        self._refusals[failure.code] += 1
        self._refused.add(failure)

    def _count_faces(self, label: str, faces: Sequence[Face], seen: Detection | None) -> None:
        self._classes[label].update(searched=1, with_faces=bool(faces), faces=len(faces))
        self._per_image[len(faces)] += 1
        for face in faces:
            # A person's name stays in the ledger.
            origin = "human" if face.origin.startswith("human:") else face.origin
            self._scores.setdefault(origin, array("d")).append(face.score)
            self._sizes.append(longer_side(face.box))
        if faces and seen is not None:
            longest = max(seen.width, seen.height)
            self._relative.extend(longer_side(face.box) / longest for face in faces)
            grown = [self._cover(face.box) for face in faces]
            self._covered.append(_covered_share(grown, seen.width, seen.height))

    def _faces(self) -> FaceStatistics:
        return FaceStatistics(
            per_image=tuple(sorted(self._per_image.items())),
            size_px=Distribution.of(self._sizes, SIZE_EDGES),
            relative_size=Distribution.of(self._relative, RELATIVE_EDGES),
            covered=Distribution.of(self._covered, COVERED_EDGES),
            scores=tuple(
                (origin, Distribution.of(scores, SCORE_EDGES))
                for origin, scores in sorted(self._scores.items())
            ),
            left=Distribution.of(self._left, LEFT_EDGES, closed="right"),
            limit=next(iter(self._limits)) if len(self._limits) == 1 else None,
        )


def _cover(about: About) -> Callable[[Box], Box]:
    """Return how the recipe grows a box."""
    settings = about.recipe.get("obfuscate", {})
    fraction = float(settings.get("expand", 0.0))
    if settings.get("method") != "imagenet":
        return lambda box: grow(box, fraction)

    def published(box: Box) -> Box:  # by a tenth of the longer side (blurring.py of Yang et al.)
        by = longer_side(box) / 10
        return (box[0] - by, box[1] - by, box[2] + by, box[3] + by)

    return published


def _covered_share(boxes: Sequence[Box], width: int, height: int) -> float:
    """Return the share of an image inside the union of boxes, in [0, 1]."""
    inside = [cut for box in boxes if (cut := clip(box, width, height)) is not None]
    if not any(_meet(a, b) for a, b in combinations(inside, 2)):
        # As in most images; arrays would take ten times as long.
        return sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in inside) / (width * height)
    return covered((0.0, 0.0, float(width), float(height)), inside)


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _account(fates: Counter[str]) -> Account:
    return Account(**{name: fates[name] for name in Account.__dataclass_fields__})


def _class_count(label: str, row: Counter[str]) -> ClassCount:
    return ClassCount(label, _account(row), row["searched"], row["with_faces"], row["faces"])


def _finding_order(finding: Finding) -> tuple[str, str, str, str]:
    return finding.key, finding.code, finding.detail, repr(finding.value)  # repr: NaN sorts too


def _failure_order(failure: Failure) -> tuple[str, str, str, str]:
    return failure.key, failure.code, failure.stage, failure.reason
