"""What the ledger knows of the images of a shard: the driver attaches it, and workers open none.

So that a step is a function of the bytes and of what is known of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from sfumato.ledger.ledger import Ledger
from sfumato.recipe import Recipe, only_looks
from sfumato.sources.doors import Known, Shard
from sfumato.types import Decision, Detection, Failure, Output, Record, Redetection

_R = TypeVar("_R", bound=Record)


def attached(
    shards: Iterable[Shard], recipe: Recipe, stages: Sequence[str], ledger: Ledger, *, fresh: bool
) -> Iterator[Shard]:
    """Yield the shards with what these stages need to know of each of their images.

    It is asked for when a shard is taken. With `fresh`, what was detected earlier counts for
    nothing.
    """
    for shard in shards:
        if only_looks(stages):
            yield replace(shard, known=_published(shard.keys, recipe, ledger))
        else:
            again = fresh and "detect" in stages
            yield replace(shard, known=_found(shard.keys, recipe, stages, ledger, again=again))


def _published(keys: Sequence[str], recipe: Recipe, ledger: Ledger) -> tuple[Known, ...]:
    fingerprint = recipe.fingerprint("obfuscate")
    fates = ledger.latest_among(fingerprint, ("output", "failure"), keys)
    outputs = {fate.key: fate for fate in fates if isinstance(fate, Output)}
    return tuple(Known(output=outputs.get(key)) for key in keys)


def _found(
    keys: Sequence[str], recipe: Recipe, stages: Sequence[str], ledger: Ledger, *, again: bool
) -> tuple[Known, ...]:
    fingerprint = recipe.fingerprint("detect")

    def latest(kind: type[_R], name: str) -> dict[str, _R]:
        some = ledger.latest_among(fingerprint, (name,), keys if "obfuscate" in stages else ())
        return {record.key: record for record in some if isinstance(record, kind)}

    records = ledger.latest_among(fingerprint, ("detection", "failure"), () if again else keys)
    found = {record.key: record for record in records if isinstance(record, Detection | Failure)}
    less = set() if again else ledger.searched_less(fingerprint, keys)
    from_file = recipe.detect.boxes if "detect" in stages else ""
    imported = ledger.imported(from_file, keys) if from_file else {}
    decisions = latest(Decision, "decision")
    seen = latest(Redetection, "redetection")
    return tuple(
        Known(
            detection=found.get(key),
            searched_less=key in less,
            imported=imported.get(key),
            decision=decisions.get(key),
            redetection=seen.get(key),
        )
        for key in keys
    )
