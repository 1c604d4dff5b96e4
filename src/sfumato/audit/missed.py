"""Which labelled faces are missed, and what that comes to by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from sfumato import boxes
from sfumato.audit.groups import Values, cut
from sfumato.audit.rates import Group, compare
from sfumato.audit.table import SAYS_NOT
from sfumato.stats.matching import shares
from sfumato.types import JSON, Box, Face


@dataclass(frozen=True, slots=True)
class Asked:
    """How boxes are grown, which share of a face they must cover, and how groups are tested."""

    expand: float
    share: float
    seed: int
    min_faces: int


def missed(
    faces: Mapping[str, Sequence[Box]], found: Mapping[str, Sequence[Face]], asked: Asked
) -> dict[str, list[bool]]:
    """Say of each labelled face whether less of it than the asked share lies under grown boxes."""
    grown = {key: [boxes.grow(face.box, asked.expand) for face in found[key]] for key in faces}
    return {
        key: [part < asked.share for part in shares(places, grown[key])]
        for key, places in faces.items()
    }


def compared(
    faces: Mapping[str, Sequence[Box]],
    found: Mapping[str, Sequence[Face]],
    values: Values,
    columns: Sequence[str],
    asked: Asked,
) -> tuple[JSON, list[Group]]:
    """Compare how often the faces of groups are missed; return all that as plain data too."""
    open_ones = missed(faces, found, asked)
    order = [(key, i) for key, places in faces.items() for i in range(len(places))]
    numbers = {key: number for number, key in enumerate(faces)}
    flags = np.array([open_ones[key][i] for key, i in order])
    groups = compare(
        {name: cut([values[key][i].get(name, "") for key, i in order]) for name in columns},
        flags,
        np.array([numbers[key] for key, _ in order]),
        seed=asked.seed,
        min_faces=asked.min_faces,
    )
    plain: JSON = {
        "covered_share": asked.share,
        "images": len(faces),
        "faces": len(order),
        "missed": int(flags.sum()),
        "rate": float(flags.mean()),
        "groups": [{**asdict(group), "differs": group.differs} for group in groups],
        "says_not": SAYS_NOT,
        "expand": asked.expand,
    }
    return plain, groups
