"""Taking over what another ledger knows: faces that were found, and what was decided on them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

from sfumato.ledger.database import Where, is_url
from sfumato.ledger.ledger import Ledger, is_there
from sfumato.types import Detection, Record

_KINDS: Final = (("detection", "failure"), ("decision",), ("redetection",), ("assessment",))


def adopt(ledger: Ledger, other: Where, fingerprint: str) -> None:
    """Take over what another ledger says last with this fingerprint, where ours says otherwise.

    Reviews stay where they were made; what follows from them, the decisions, comes along. A
    ledger that isn't there, or is this one, says nothing new. Detections of a version that looked
    at less of the images stay behind: they are to be searched again.
    """
    if _same(other, ledger.where) or not is_there(other):
        return
    with Ledger(other, read_only=True) as theirs:
        less = theirs.has_searched_less()
        for kinds in _KINDS:
            ours = ledger.latest(fingerprint, kinds)
            fresh = list(_newer(theirs.latest(fingerprint, kinds), ours))
            if less:
                found = [record.key for record in fresh if isinstance(record, Detection)]
                behind = theirs.searched_less(fingerprint, found)
                fresh = [one for one in fresh if one.key not in behind]  # the latest of each key
            ledger.commit((fingerprint, record) for record in fresh)


def _same(one: Where, other: Where) -> bool:
    if is_url(one) or is_url(other):
        return str(one) == str(other)
    return os.path.realpath(one) == os.path.realpath(other)


def _newer(theirs: Iterable[Record], ours: Iterable[Record]) -> Iterator[Record]:
    """Yield their records, in the order of the keys, to which ours have no equal."""
    mine = iter(ours)
    head = next(mine, None)
    for record in theirs:
        while head is not None and head.key < record.key:
            head = next(mine, None)
        if head != record:
            yield record
