"""A campaign: the review of one searched source, from its detections to a queue.

Everything lies in the ledger's own database. A campaign belongs to one detection recipe: people
look at what these settings proposed. Setting it up again adds what is new and enlarges the sample;
nothing that is there is made anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from sfumato.annotations import box_files, groups_csv
from sfumato.annotations.name_match import pair
from sfumato.boxes import clip, misplaced
from sfumato.errors import UsageError
from sfumato.ledger.database import Database
from sfumato.ledger.ledger import Ledger
from sfumato.ledger.records import understood
from sfumato.recipe import Recipe
from sfumato.review import planning, sampling
from sfumato.review.intake import show_to
from sfumato.review.queue import Queue
from sfumato.review.remainder import checked
from sfumato.review.sampling import Draw
from sfumato.review.store import campaign as noted
from sfumato.review.store import note
from sfumato.review.urgency import misses, reorder, see_whole
from sfumato.review.vocabulary import Item, Mark
from sfumato.types import Detection

SAMPLE: Final = 500  # images drawn at random unless another number is wanted


@dataclass(frozen=True, slots=True)
class Plan:
    """What is put into the queue.

    `sample` images are drawn at random, to estimate what is missed (None: `SAMPLE`, or those
    that were drawn before); `rules` order the rest by risk. `gold` is a file with boxes of images
    whose faces are known, `persons` a table of images in which another detector saw a person (a
    column `path`).
    """

    sample: int | None = None
    seed: int = 0
    rules: planning.Rules = field(default_factory=planning.Rules)
    gold: Path | None = None
    persons: Path | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is in the queue now, and what of it this set-up has added."""

    added: int
    sample: int
    gold: int
    strata: int


class Found:
    """The detections of a ledger whose images are still there; may be iterated many times."""

    def __init__(self, ledger: Ledger, fingerprint: str) -> None:
        self._ledger = ledger
        self._fingerprint = fingerprint

    def __iter__(self) -> Iterator[Detection]:
        images = {key for key, kind in self._ledger.listing() if kind == "image"}
        for record in self._ledger.latest(self._fingerprint, ("detection",)):
            if isinstance(record, Detection) and record.key in images:
                yield record


def set_up(
    queue: Queue, database: Database, ledger: Ledger, recipe: Recipe, plan: Plan
) -> Prepared:
    """Fill the queue from what was found; in a campaign that has decisions, order it anew.

    Raises:
        UsageError: the ledger holds the review of other detections, or nothing was found to be
            looked at; or a gold file names images that aren't there.
    """
    fingerprint = recipe.fingerprint("detect")
    found = Found(ledger, fingerprint)
    of_these_settings(database, fingerprint)
    replicas = replicas_of(database)
    if plan.rules.replicas < replicas:
        raise UsageError(
            f"Each image goes to {replicas} people in this review: that number may grow, but "
            "what some were promised can't be taken back. Leave out --replicas."
        )
    truths = _truths(plan.gold, found) if plan.gold else {}
    persons = _persons(plan.persons, found) if plan.persons else None
    earlier = draw_of(database)
    drawn = _drawn(database, earlier, found, plan)
    note(database, "fingerprint", fingerprint)
    note(database, "replicas", str(plan.rules.replicas))
    if replicas < plan.rules.replicas:
        show_to(database, plan.rules.replicas)
    strata = {stratum.name: stratum.population for stratum in drawn.strata}
    learnt = misses(checked(ledger, fingerprint, queue.given(), recipe.obfuscate))
    known = planning.Known(learnt, persons)
    added = queue.fill(planning.order(found, drawn, rules=plan.rules, known=known), strata=strata)
    see_whole(database, drawn)
    if learnt or persons or earlier not in (None, drawn):
        reorder(database, planning.order(found, drawn, rules=plan.rules, known=known))
    queue.fill(_golden(truths, plan.rules.replicas))
    gold = queue.add_gold({key: marks for key, (_, marks) in truths.items()}) if truths else 0
    sample = sum(len(stratum.keys) for stratum in drawn.strata)
    return Prepared(added, sample, gold, len(strata))


def of_these_settings(database: Database, fingerprint: str) -> None:
    """Raise `UsageError` if the ledger holds the review of other detections."""
    if noted(database, "fingerprint") not in ("", fingerprint):
        raise UsageError(
            f"{database.name} holds the review of images that were searched with other settings: "
            "search them with those again, or give another --ledger."
        )


def replicas_of(database: Database) -> int:
    """Return how many people each image goes to; 1 if nothing was said yet."""
    with understood("the number of people of a review"):
        return int(noted(database, "replicas", "1"))


def draw_of(database: Database) -> Draw | None:
    """Return the random sample of the campaign; None if none was drawn."""
    text = noted(database, "draw")
    if not text:
        return None
    with understood("the sample of a review"):
        return sampling.from_json(json.loads(text))


def _drawn(database: Database, earlier: Draw | None, found: Found, plan: Plan) -> Draw:
    """Draw the sample, or take the one there is and draw more if more is wanted.

    It is drawn anew where the source holds other images by now: it would speak of the old ones.
    """
    if earlier is None:
        images = sum(1 for _ in found)
        if not images:
            raise UsageError(f"{database.name} knows of no searched images: `sfumato detect` them.")
        rng = np.random.default_rng(plan.seed)
        drawn = sampling.draw(found, min(plan.sample or SAMPLE, images), rng)
    else:
        drawn = sampling.renew(earlier, found, plan.sample or 0)
    if drawn != earlier:
        note(database, "draw", json.dumps(sampling.as_json(drawn)))
    return drawn


def _truths(path: Path, found: Found) -> dict[str, tuple[Detection, tuple[Mark, ...]]]:
    """Return images with their true boxes, cut to the image."""
    keys = [one.key for one in found]
    matched = box_files.load(path).match(keys)
    if matched.unused or matched.problems:
        names: Sequence[str] = [*matched.unused, *matched.problems]
        raise UsageError(
            f"{path} has {len(names)} entries that fit no image or can't be right, such as "
            f"{names[0]!r}: people would be judged by them. Mend the file."
        )
    truths = {}
    for one in found:
        if one.key in matched.faces and one.key not in matched.uncounted:  # else nobody knows
            size = one.width, one.height
            given = matched.sizes.get(one.key, size)
            boxes = [clip(face.box, *size) for face in matched.faces[one.key]]
            if given != size or any(misplaced(f.box, *size) for f in matched.faces[one.key]):
                fault = "a box outside it" if given == size else f"a size of {given[0]}×{given[1]}"
                raise UsageError(
                    f"{path} gives {one.key!r} {fault}, but the image has {size[0]}×{size[1]} "
                    "pixels: people would be judged by it. Mend the file."
                )
            marks = zip(boxes, matched.faces[one.key], strict=True)
            truths[one.key] = one, tuple(Mark(box, face.kind) for box, face in marks if box)
    return truths


def _golden(truths: Mapping[str, tuple[Detection, object]], replicas: int) -> Iterator[Item]:
    """Yield items of images with known faces: most have so little risk that they aren't queued.

    Those that are stay as they are.
    """
    for rank, (one, _) in enumerate(truths.values()):
        yield Item(
            key=one.key,
            digest=one.digest,
            width=one.width,
            height=one.height,
            label=one.label,
            proposals=tuple(map(Mark.of, one.faces)),
            rank=rank,
            reason="gold",
            replicas=replicas,
        )


def _persons(path: Path, found: Found) -> Mapping[str, bool]:
    names = {row.name for row in groups_csv.read(path).rows}
    pairing = pair(names, [one.key for one in found])
    if names and not pairing.names:
        raise UsageError(f"{path} names no image of the source, such as {min(names)!r}.")
    return dict.fromkeys(pairing.names, True)


def searched(ledger: Ledger, fingerprint: str) -> int:
    """Return how many images of the source were searched with these settings."""
    (row,) = ledger.database.rows(
        "SELECT COUNT(*) FROM listing AS l WHERE l.kind = 'image' AND EXISTS (SELECT 1 FROM "
        "records AS r WHERE r.fingerprint = ? AND r.kind = 'detection' AND r.key = l.key)",
        (fingerprint,),
    )
    return int(row[0])


def kinds(drawn: Draw) -> Counter[str]:
    """Return how many images were drawn by what was found in them."""
    counts: Counter[str] = Counter()
    for stratum in drawn.strata:
        counts[stratum.state] += len(stratum.keys)
    return counts
