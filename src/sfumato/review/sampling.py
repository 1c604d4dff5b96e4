"""Which images people check to learn what is still missed: a stratified random draw.

A stratum is a group (the class) and what the search found there: nothing,
doubtful (candidates only) or faces. Most is drawn where nothing was found: that is where nobody
looks again. Small classes are pooled by how often faces were found in them.

Each key has a random priority, a keyed hash of it (BLAKE2b), and a stratum's sample are the keys of
lowest priority: a simple random sample without replacement to whoever doesn't know the secret. So a
larger sample keeps the smaller one, in any order of the images, and those checked first are a
random sample as well.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import UsageError
from sfumato.review.estimation import Stratum
from sfumato.types import JSON, Detection

State: TypeAlias = Literal["nothing", "doubtful", "faces"]
Cell: TypeAlias = tuple[str, State]  # group and what was found
# Upper ends of the share of images with faces by which small groups are pooled.
_UNFOUND: Final = 0.8  # of a sample, drawn where no face was found
_LEAST: Final = 10  # images of each stratum, if it has as many
SMALL: Final = 500  # images of a group below which it is pooled
_MOST: Final = 50  # groups that stand by themselves; if more would, all are pooled
BANDS: Final = ((0.01, "faces in under 1 %"), (0.1, "faces in 1 to 10 %"), (1.1, "faces in 10 %+"))


@dataclass(frozen=True, slots=True)
class Drawn:
    """A stratum: how many images it has, and the keys drawn of it, first to be checked first."""

    name: str
    group: str
    state: State
    population: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """A sample. `secret` is what the priorities hang on; `groups` says how groups were pooled."""

    secret: bytes
    strata: tuple[Drawn, ...]
    groups: Mapping[str, str]

    def stratum_of(self, detection: Detection) -> str:
        """Return the name of the stratum that an image belongs to, drawn or not."""
        return _name(self.groups[detection.label], state_of(detection))

    def order(self) -> dict[str, tuple[str, float]]:
        """Return for each key its stratum, and how far back in this stratum's sample it stands.

        In [0, 1); checked in this order, all strata are sampled alike at any time.
        """
        return {
            key: (stratum.name, place / len(stratum.keys))
            for stratum in self.strata
            for place, key in enumerate(stratum.keys)
        }


def state_of(detection: Detection) -> State:
    """Say what was found in an image."""
    if detection.faces:
        return "faces"
    return "doubtful" if detection.candidates else "nothing"


def draw(detections: Iterable[Detection], size: int, rng: np.random.Generator) -> Draw:
    """Draw about so many images. `detections` are iterated twice: no iterator.

    Raises:
        UsageError: they are an iterator, a key comes twice, or fewer than one image a stratum
            is wanted.
    """
    secret = rng.bytes(16)
    frame = _Frame(detections, secret)
    groups = _pooled(frame.cells)
    populations = frame.populations(groups)
    return frame.draw(groups, share_out(populations, size))


def renew(drawn: Draw, detections: Iterable[Detection], size: int) -> Draw:
    """Return a draw of the images there are now: at least of `size`, no smaller than it was.

    Priorities stay. Of the same images, those drawn before stay, in their order, as the first; of
    others, most of them are drawn again.
    """
    frame = _Frame(detections, drawn.secret)
    before = {_cell(stratum): stratum for stratum in drawn.strata}
    same = not frame.groups - set(drawn.groups) and frame.populations(drawn.groups) == {
        cell: stratum.population for cell, stratum in before.items()
    }
    had = sum(len(stratum.keys) for stratum in drawn.strata)
    if not frame.cells or (same and size <= had):
        return drawn
    groups = drawn.groups if same else _pooled(frame.cells)
    populations = frame.populations(groups)
    sizes = share_out(populations, max(size, had, len(populations)))
    if same:
        sizes = {cell: max(wanted, len(before[cell].keys)) for cell, wanted in sizes.items()}
    return frame.draw(groups, sizes)


def tally(
    drawn: Draw,
    missed: Mapping[str, int],
    also: Mapping[str, Sequence[int]] | None = None,
) -> tuple[Stratum, ...]:
    """Return what was found in the sample, for `estimation.estimate`.

    `missed` has the number of missed faces (0: none) of each image that people have checked
    *whole*; a drawn key that isn't in it waits still. `also` has, by stratum, the same of
    images checked for another reason; together they may be the whole stratum.
    """
    strata = []
    for stratum in drawn.strata:
        seen = [missed[key] for key in stratum.keys if key in missed]
        others = list(also.get(stratum.name, ())) if also else []
        if len(seen) + len(others) == stratum.population:  # counted, not sampled
            seen, others = seen + others, []
        counted = Stratum(stratum.name, stratum.population, len(seen), group=stratum.group)
        strata.append(
            replace(
                counted,
                missed_counts=tuple(count for count in seen if count),
                also_checked=len(others),
                also_missed=tuple(count for count in others if count),
            )
        )
    return tuple(strata)


def as_json(drawn: Draw) -> JSON:
    """Return a draw as JSON. Keep it private: it has the secret, and keys of the source."""
    return {**asdict(drawn), "secret": drawn.secret.hex()}


def from_json(stored: JSON) -> Draw:
    """Return the draw that `as_json` has stored."""
    return Draw(
        bytes.fromhex(stored["secret"]),
        tuple(Drawn(**{**row, "keys": tuple(row["keys"])}) for row in stored["strata"]),
        stored["groups"],
    )


def priority(key: str, secret: bytes) -> int:
    """Return the random priority of a key, 64 bits."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8, key=secret).digest(), "big")


class _Frame:
    """All images that may be drawn: 12 bytes for each, its priority and its cell."""

    def __init__(self, detections: Iterable[Detection], secret: bytes) -> None:
        if isinstance(detections, Iterator):
            raise UsageError("a draw goes over the images twice: give a list, no iterator.")
        self._detections, self._secret = detections, secret
        numbers: dict[Cell, int] = {}
        priorities, cells = array("Q"), array("i")
        for detection in detections:
            cell = detection.label, state_of(detection)
            cells.append(numbers.setdefault(cell, len(numbers)))
            priorities.append(priority(detection.key, secret))
        self._numbers = numbers
        self._priorities = np.frombuffer(priorities, dtype=np.uint64)
        self._cells = np.frombuffer(cells, dtype=np.int32)
        sizes = np.bincount(self._cells, minlength=len(numbers)).tolist()
        self.cells: dict[Cell, int] = dict(zip(numbers, sizes, strict=True))
        self.groups = {name for name, _ in numbers}

    def populations(self, groups: Mapping[str, str]) -> dict[Cell, int]:
        """Return how many images each stratum has, by pooled group and state."""
        found: Counter[Cell] = Counter()
        for (name, state), images in self.cells.items():
            found[groups[name], state] += images
        return dict(sorted(found.items()))

    def draw(self, groups: Mapping[str, str], sizes: Mapping[Cell, int]) -> Draw:
        """Take so many images of lowest priority of each stratum."""
        populations = self.populations(groups)
        numbers = {cell: number for number, cell in enumerate(populations)}
        of_cell = np.array([numbers[groups[n], state] for n, state in self._numbers], np.int32)
        strata = of_cell[self._cells] if len(of_cell) else self._cells
        order = np.lexsort((self._priorities, strata))
        starts = np.cumsum([0, *populations.values()])
        picked = [order[starts[i] : starts[i] + sizes[cell]] for cell, i in numbers.items()]
        keys = self._keys(np.concatenate(picked) if picked else order)
        if len(set(keys.values())) < len(keys):
            raise UsageError("an image comes twice: give the latest detection of each key.")
        drawn = tuple(
            Drawn(_name(*cell), cell[0], cell[1], populations[cell], tuple(keys[i] for i in of))
            for cell, of in zip(populations, (part.tolist() for part in picked), strict=True)
        )
        return Draw(self._secret, drawn, dict(sorted(groups.items())))

    def _keys(self, places: NDArray[np.intp]) -> dict[int, str]:
        wanted = set(places.tolist())
        return {i: found.key for i, found in enumerate(self._detections) if i in wanted}


def _cell(stratum: Drawn) -> Cell:
    return stratum.group, stratum.state


def _name(group: str, state: State) -> str:
    found = {"nothing": "nothing found", "doubtful": "doubtful", "faces": "faces found"}[state]
    return f"{group or 'all'}: {found}"


def _pooled(cells: Mapping[Cell, int]) -> dict[str, str]:
    """Return for each group the one it counts in: itself, or the pool of its band."""
    totals: Counter[str] = Counter()
    faces: Counter[str] = Counter()
    for (name, state), images in cells.items():
        totals[name] += images
        faces[name] += images if state == "faces" else 0
    large = {name for name, images in totals.items() if images >= SMALL}
    alone = large if len(large) <= _MOST else set()
    if len(totals) == 1:
        alone = set(totals)
    return {
        name: name if name in alone else _band(faces[name] / images)
        for name, images in totals.items()
    }


def _band(share: float) -> str:
    return "pooled classes, " + next(name for end, name in BANDS if share < end)


def share_out(populations: Mapping[Cell, int], size: int) -> dict[Cell, int]:
    """Give each stratum its least, and the rest by population and by whether a face was found."""
    if size < len(populations):
        raise UsageError(
            f"a sample of {size} is too small: there are {len(populations)} strata, and each "
            "needs an image."
        )
    least = max(1, min(_LEAST, size // max(len(populations), 1)))
    sizes = {cell: min(least, images) for cell, images in populations.items()}
    while (rest := size - sum(sizes.values())) > 0:
        weights = _weights({c: populations[c] - sizes[c] for c in populations})
        if not weights:
            break
        for cell, weight in sorted(weights.items(), key=lambda item: (-item[1], item[0])):
            more = max(1, int(rest * weight))
            free = min(populations[cell] - sizes[cell], size - sum(sizes.values()))
            sizes[cell] += min(more, free)
    return sizes


def _weights(free: Mapping[Cell, int]) -> dict[Cell, float]:
    """Return what share of the next images each stratum with free ones gets."""
    sides: Counter[bool] = Counter()
    for (_, state), images in free.items():
        sides[state == "faces"] += images
    shares = {False: _UNFOUND if sides[True] else 1.0, True: 1 - _UNFOUND if sides[False] else 1.0}
    return {
        (name, state): shares[state == "faces"] * images / sides[state == "faces"]
        for (name, state), images in free.items()
        if images
    }
