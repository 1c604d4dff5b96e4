"""How often the faces of each group are missed, beside all others, with what chance can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from sfumato.stats.bootstrap import FEWEST, ratio, resampled
from sfumato.stats.comparison import holm, permutation
from sfumato.stats.intervals import difference, wilson

LEVEL: Final = 0.05
_SMALLER: Final = " smaller groups"
_MOST_GROUPS: Final = 12
NOT_KNOWN: Final = "not known"


@dataclass(frozen=True, slots=True)
class Group:
    """One value of one column.

    `low` and `high` are the 95 % interval of `rate` = missed / faces; `interval` says how it was
    made. `difference` is the rate minus that of all other faces whose value is known, with its
    own interval. `p` is that of the permutation test, `corrected` by Holm over all tests; None
    where there is nothing to compare, or too few faces. `fewest_images` are those of the
    smaller side of the comparison.
    """

    column: str
    value: str
    faces: int
    missed: int
    images: int
    rate: float
    low: float
    high: float
    interval: Literal["wilson", "bootstrap"]
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    corrected: float | None = None
    fewest_images: int = 0

    @property
    def differs(self) -> bool:
        """Whether chance is a poor explanation: by the corrected test, and by the interval.

        The test alone can be moved by one image of many faces; drawing images anew leaves
        that image out often enough to show it. Of a handful of images neither is believed.
        """
        if self.corrected is None or self.difference_low is None or self.difference_high is None:
            return False
        if self.fewest_images < FEWEST:
            return False
        return self.corrected < LEVEL and not self.difference_low <= 0 <= self.difference_high


def compare(
    columns: Mapping[str, Sequence[str]],
    missed: NDArray[np.bool_],
    images: NDArray[np.intp],
    *,
    seed: int,
    min_faces: int,
) -> list[Group]:
    """Return the groups of all columns by name; all values follow the faces, "" is not known.

    So do `missed` and `images` (numbers).

    Groups are in the order of their names, faces of unknown value last. Groups of fewer than
    `min_faces` are counted and not tested; in a column of more than twelve groups they are put
    together.
    """
    groups: list[Group] = []
    for name, column in columns.items():
        values = np.array([value or NOT_KNOWN for value in column], dtype=object)
        groups += _column(name, values, missed, images, seed, min_faces)
    return _corrected(groups)


def _column(
    name: str,
    values: NDArray[np.object_],
    missed: NDArray[np.bool_],
    images: NDArray[np.intp],
    seed: int,
    min_faces: int,
) -> list[Group]:
    values = _pooled(values, min_faces)
    known = values != NOT_KNOWN
    names = [
        *sorted(set(values[known].tolist()), key=_order),
        *([NOT_KNOWN] * bool((~known).any())),
    ]
    groups = []
    for value in names:
        inside = values == value
        group = _counted(name, value, missed[inside], images[inside], seed)
        rest = known & ~inside
        if (
            not (value == NOT_KNOWN or value.endswith(_SMALLER))
            and min(inside.sum(), rest.sum()) >= min_faces
        ):
            group = _tested(group, inside[known], missed[known], images[known], seed)
        groups.append(group)
    return groups


def _pooled(values: NDArray[np.object_], min_faces: int) -> NDArray[np.object_]:
    """Return the values with small groups put together, where there are many groups."""
    counts = Counter(value for value in values.tolist() if value != NOT_KNOWN)
    small = {value for value, count in counts.items() if count < min_faces}
    if len(counts) <= _MOST_GROUPS or len(small) < 2:
        return values
    name = f"{len(small)}{_SMALLER}"
    return np.array([name if value in small else value for value in values], dtype=object)


def _order(value: str) -> tuple[int, float, str]:
    """Sort sizes and thirds as they follow, numbers by value, words by the alphabet."""
    first = {"<": 0, "up": 0, "above": 2, ">=": 2}.get(value.split(" ", maxsplit=1)[0])
    if first is not None:
        return (first, 0.0, value)
    try:
        return (1, float(value.split(" ", maxsplit=1)[0].split("-", maxsplit=1)[0]), value)
    except ValueError:
        return (1, 0.0, value)


def _counted(
    name: str, value: str, missed: NDArray[np.bool_], images: NDArray[np.intp], seed: int
) -> Group:
    _, number = np.unique(images, return_inverse=True)
    faces, misses = np.bincount(number), np.bincount(number, missed)
    total, hits = len(missed), int(missed.sum())
    if len(faces) == total:  # every face in an image of its own
        low, high = wilson(hits, total)
        kind: Literal["wilson", "bootstrap"] = "wilson"
    else:
        found = ratio(misses, faces, np.random.default_rng(seed))
        low, high, kind = found.low, found.high, "bootstrap"
    return Group(name, value, total, hits, len(faces), hits / total, low, high, kind)


def _tested(
    group: Group,
    inside: NDArray[np.bool_],
    missed: NDArray[np.bool_],
    images: NDArray[np.intp],
    seed: int,
) -> Group:
    _, number = np.unique(images, return_inverse=True)
    sides = [inside & missed, inside, ~inside & missed, ~inside]
    counts = np.array([np.bincount(number, side) for side in sides])
    rng = np.random.default_rng(seed)
    low, high = _gap(counts, rng)
    return replace(
        group,
        difference=float(missed[inside].mean() - missed[~inside].mean()),
        difference_low=low,
        difference_high=high,
        p=permutation(inside, missed, images, rng),
        fewest_images=int(min(np.count_nonzero(counts[1]), np.count_nonzero(counts[3]))),
    )


def _gap(counts: NDArray[np.int64], rng: np.random.Generator) -> tuple[float, float]:
    """Return the interval of a difference; rows: missed and faces of the group, and of the rest.

    Images are drawn anew, where that says something: not from a handful of them, and not where
    one side is all or nothing. There it follows from the intervals of the two shares.
    """
    sides = ratio(counts[0], counts[1], rng), ratio(counts[2], counts[3], rng)
    images = min(np.count_nonzero(counts[1]), np.count_nonzero(counts[3]))
    if images < FEWEST or any(side.value in {0.0, 1.0} for side in sides):
        return difference(*sides)
    here, faces, there, others = resampled([counts], rng)[0]
    drawn = (faces > 0) & (others > 0)
    gaps = here[drawn] / faces[drawn] - there[drawn] / others[drawn]
    low, high = np.percentile(gaps, [2.5, 97.5])
    return float(low), float(high)


def _corrected(groups: Sequence[Group]) -> list[Group]:
    """Correct all tests for their number; the two sides of one comparison are one test."""
    kinds = Counter(group.column for group in groups if group.value != NOT_KNOWN)
    tests: dict[tuple[str, str], list[float]] = {}
    for group in groups:
        if group.p is not None:
            tests.setdefault(_test(group, kinds), []).append(group.p)
    # Drawn apart, both sides differ by the drawing; the larger counts.
    values = {test: max(ps) for test, ps in tests.items()}
    corrected = dict(zip(values, holm(list(values.values())), strict=True))
    return [
        group
        if group.p is None
        else replace(group, p=values[_test(group, kinds)], corrected=corrected[_test(group, kinds)])
        for group in groups
    ]


def _test(group: Group, kinds: Counter[str]) -> tuple[str, str]:
    return (group.column, "" if kinds[group.column] == 2 else group.value)
