"""What a report says, as frozen data; `Report.summary` is the JSON that is published with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from sfumato.errors import Code
from sfumato.release.report.review import ReviewFigures
from sfumato.release.report.words import MISSED_FACES, not_measured
from sfumato.types import JSON, Failure, Finding
from sfumato.verification.observing import Judgement

LAYOUT: Final = 2  # of summary.json: raised when a field changes its meaning or goes

ReportVerdict: TypeAlias = Literal["passed", "failed", "refused", "unverified", "unfinished"]

_QUANTILES: Final = (
    ("min", 0.0),
    ("p05", 0.05),
    ("p25", 0.25),
    ("median", 0.5),
    ("p75", 0.75),
    ("p95", 0.95),
    ("max", 1.0),
)


@dataclass(frozen=True, slots=True)
class About:
    """Where a report comes from.

    `recipe` is `Recipe.published()`; `source` is the name of the source for the private copy (a
    name, never a path: two runs from different places give the same page).
    """

    recipe: JSON
    fingerprint: str
    source: str
    version: str


@dataclass(frozen=True, slots=True)
class Account:
    """Where every image went. `unfinished` ones have neither an output nor a failure yet."""

    copied: int = 0
    obfuscated: int = 0
    refused: int = 0
    unfinished: int = 0

    @property
    def images_in(self) -> int:
        """Every image of the source."""
        return self.copied + self.obfuscated + self.refused + self.unfinished

    @property
    def images_out(self) -> int:
        """The images of the release."""
        return self.copied + self.obfuscated

    def as_json(self) -> JSON:
        """Return the numbers with their sums, `in` and `out`."""
        return {"in": self.images_in, "out": self.images_out, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Others:
    """Files that are no images and were to be copied; `unchecked` ones are among the copied."""

    copied: int = 0
    unchecked: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class ClassCount:
    """The account of one class, and its faces.

    `searched` are the images whose faces are known and that aren't refused; `with_faces`
    those of them with at least one, `faces` their boxes.
    """

    label: str
    account: Account
    searched: int
    with_faces: int
    faces: int

    @property
    def share(self) -> float:
        """Share of the searched images that show a face, in [0, 1]."""
        return self.with_faces / self.searched if self.searched else 0.0

    def as_json(self) -> JSON:
        """Return the numbers."""
        counts = {"searched": self.searched, "with_faces": self.with_faces, "faces": self.faces}
        return {**self.account.as_json(), **counts}


@dataclass(frozen=True, slots=True)
class Check:
    """How often one check passed and failed."""

    code: Code
    passed: int
    failed: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram with quantiles of the values themselves (not of the bins).

    `counts[i]` values lie in [edges[i], edges[i + 1]); the first and the last bin also hold
    what lies beyond the edges. Quantiles are values that occur (inverted empirical CDF).
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    quantiles: tuple[tuple[str, float], ...]

    @classmethod
    def of(
        cls,
        values: ArrayLike,
        edges: tuple[float, ...],
        *,
        closed: Literal["left", "right"] = "left",
    ) -> Self:
        """Count values into bins; `closed` says which edge of a bin belongs to it."""
        found = np.sort(np.asarray(values, dtype=np.float64))
        side: Literal["left", "right"] = "right" if closed == "left" else "left"
        bins = np.clip(np.searchsorted(edges, found, side=side) - 1, 0, len(edges) - 2)
        counts = np.bincount(bins, minlength=len(edges) - 1)
        shares = [share for _, share in _QUANTILES]
        marks = np.quantile(found, shares, method="inverted_cdf").tolist() if found.size else []
        return cls(
            edges=edges,
            counts=tuple(int(n) for n in counts),
            quantiles=tuple(
                (name, float(x)) for (name, _), x in zip(_QUANTILES, marks, strict=False)
            ),
        )

    @property
    def total(self) -> int:
        """The number of values."""
        return sum(self.counts)

    def quantile(self, name: str) -> float | None:
        """Return a quantile such as "median"; None if there was no value."""
        return dict(self.quantiles).get(name)

    def as_json(self) -> JSON:
        """Return count, quantiles and bins; measured values with six digits."""
        quantiles = {name: float(f"{x:.6g}") for name, x in self.quantiles}
        edges = [float(f"{edge:.6g}") for edge in self.edges]
        return {"count": self.total, **quantiles, "edges": edges, "counts": list(self.counts)}


@dataclass(frozen=True, slots=True)
class FaceStatistics:
    """Statistics of the final boxes, as found or decided (not grown).

    `per_image`: (number of faces, images with that many), ascending. `size_px`: longer side.
    `relative_size`: longer side over the longer side of the image. `covered`: share of the
    area inside the grown boxes, of images with a face. `scores` by origin. `left`: what the
    strength check measured, over its limit (1: as much as is allowed); `limit` is that limit,
    None if there were several or none.
    """

    per_image: tuple[tuple[int, int], ...]
    size_px: Distribution
    relative_size: Distribution
    covered: Distribution
    scores: tuple[tuple[str, Distribution], ...]
    left: Distribution
    limit: float | None

    @property
    def searched(self) -> int:
        """Images whose faces are known and that aren't refused."""
        return sum(images for _, images in self.per_image)

    @property
    def images(self) -> int:
        """Images with at least one face."""
        return sum(images for faces, images in self.per_image if faces)

    @property
    def count(self) -> int:
        """Faces in all."""
        return sum(faces * images for faces, images in self.per_image)

    def as_json(self) -> JSON:
        """Return the counts and distributions."""
        return {
            "searched": self.searched,
            "images_with_faces": self.images,
            "faces": self.count,
            "per_image": {str(faces): images for faces, images in self.per_image},
            "size_px": self.size_px.as_json(),
            "relative_size": self.relative_size.as_json(),
            "covered": self.covered.as_json(),
            "scores": {origin: scores.as_json() for origin, scores in self.scores},
            "left_of_limit": {**self.left.as_json(), "limit": self.limit},
        }


@dataclass(frozen=True, slots=True)
class SecondImages:
    """The further images inside the files of the release: previews, films, gain maps, ….

    `files` held any, `images` in all; `removed` of them aren't in the release, the others were
    searched and show no face.
    """

    files: int = 0
    images: int = 0
    removed: int = 0

    def as_json(self) -> JSON:
        """Return the counts."""
        searched = self.images - self.removed
        return {"files": self.files, "images": self.images, "searched": searched,
                "removed": self.removed}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the two pages say. What only the private one may say isn't in `summary`.

    `failed` and `refused` are the first rows (by key) of all findings and failures; the full
    numbers are in `checks` and `refusals`. `candidates` are regions that may show a face and
    wait for a person's eye; only the private page counts them. `excluded` files are no part of the
    set by choice. `judged` is what observers say of the whole set, by their names.
    """

    about: About
    account: Account
    classes: tuple[ClassCount, ...]
    encodings: tuple[tuple[str, int], ...]
    refusals: tuple[tuple[Code, int], ...]
    checks: tuple[Check, ...]
    faces: FaceStatistics
    failed: tuple[Finding, ...]
    refused: tuple[Failure, ...]
    ignored: int
    ignored_names: tuple[str, ...]
    review: ReviewFigures = field(default_factory=ReviewFigures)
    candidates: int = 0
    others: Others = Others()
    excluded: int = 0
    second: SecondImages = field(default_factory=SecondImages)
    judged: tuple[tuple[str, Judgement], ...] = ()

    @property
    def verdict(self) -> ReportVerdict:
        """Say how the run ended; the worst thing counts."""
        if self.account.unfinished:
            return "unfinished"
        if any(check.failed for check in self.checks):
            return "failed"
        if self.account.refused or self.others.refused:
            return "refused"
        return "passed" if self._verified else "unverified"

    @property
    def _verified(self) -> bool:
        """Say whether every image of the release was looked at, and not only counted."""
        looked = sum(c.passed for c in self.checks if c.code is Code.VERIFY_BYTES_CHANGED)
        return bool(self.checks) and looked >= self.account.images_out

    @property
    def not_measured(self) -> list[JSON]:
        """What this run can't tell; see `words.not_measured`."""
        checked = {check.code: check.passed + check.failed for check in self.checks}
        obfuscated = self.account.obfuscated
        estimated = self.review.estimate is not None
        rows = not_measured(checked, reviewed=self.review.changes.images, obfuscated=obfuscated)
        return [row for row in rows if not (estimated and row["what"] == MISSED_FACES)]

    def classes_over(self, share: float) -> int:
        """Count the classes in which more than this share of the images shows a face."""
        return sum(1 for row in self.classes if row.share > share)

    def summary(self) -> JSON:
        """Return what OUT/summary.json holds: numbers and codes; no reason, source or person."""
        return {
            "layout": LAYOUT,
            "sfumato": self.about.version,
            "fingerprint": self.about.fingerprint,
            "verdict": self.verdict,
            "account": self.account.as_json(),
            "classes": {row.label: row.as_json() for row in self.classes},
            "classes_with_faces": {
                "classes": len(self.classes),
                "over_25_percent": self.classes_over(0.25),
                "over_50_percent": self.classes_over(0.5),
            },
            "encodings": dict(self.encodings),
            "refusals": {str(code): n for code, n in self.refusals},
            "findings": {
                str(check.code): {"passed": check.passed, "failed": check.failed}
                for check in self.checks
            },
            "faces": self.faces.as_json(),
            "second_images": self.second.as_json(),
            "review": self.review.as_json(),
            "other_files": asdict(self.others),
            "excluded": self.excluded,
            "ignored": {"count": self.ignored, "first": list(self.ignored_names)},
            "recipe": self.about.recipe,
            "not_measured": self.not_measured,
            **({"observed": dict(map(_judged_json, self.judged))} if self.judged else {}),
        }


def _judged_json(observer: tuple[str, Judgement]) -> tuple[str, JSON]:
    name, judgement = observer
    return name, {"sentence": judgement.sentence, **judgement.figures}


def account_line(summary: Mapping[str, object]) -> str:
    """Return the account in one line, from the summary or what was read back from summary.json."""
    account = summary["account"]
    if not isinstance(account, Mapping):
        raise TypeError(f"account must be a mapping, got {type(account).__name__}")
    line = (
        f"{account['in']} in, {account['out']} out: {account['copied']} copied, "
        f"{account['obfuscated']} obfuscated, {account['refused']} refused"
    )
    line += f", {account['unfinished']} unfinished" if account["unfinished"] else ""
    others = summary.get("other_files")
    if isinstance(others, Mapping) and any(others.values()):
        line += f"; other files: {others['copied']} copied"
        line += f" ({others['unchecked']} unchecked)" if others["unchecked"] else ""
        line += f", {others['refused']} not copied"
    return f"{line}; {summary['excluded']} excluded" if summary.get("excluded") else line
