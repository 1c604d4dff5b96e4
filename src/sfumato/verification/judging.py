"""The end of observing: each observer judges the whole set by what it has noted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from sfumato.errors import SfumatoError, UsageError
from sfumato.ledger.in_step import InStep
from sfumato.ledger.ledger import Ledger
from sfumato.recipe import OBSERVE, Recipe
from sfumato.types import Observation, Output
from sfumato.verification.observing import Judgement, Observer, check_plain, observers

_LOG: Final = logging.getLogger(__name__)
_GONE: Final = "Not measured: this observer, or this version of it, wasn't at hand."
_MEND: Final = "mend it, or run the same without it."


def judged(recipe: Recipe, ledger: Ledger) -> Iterator[tuple[str, Judgement]]:
    """Yield the name of each observer of a recipe and what it says of the release as it is now.

    Raises:
        UsageError: one can't judge; with what is published, nothing is said of this machine.
    """
    for name in recipe.observe:
        try:
            (observer,) = observers((name,))
        except UsageError as error:
            _LOG.warning("%s", error)
            yield name, Judgement(_GONE, {})
        else:
            yield name, _judgement(observer, _observations(recipe, name, ledger))


def _judgement(observer: Observer, observations: Iterator[Observation]) -> Judgement:
    try:
        judgement: object = observer.judge(observations)
    except SfumatoError:
        raise
    except Exception as error:  # whatever a package of somebody else raises
        _LOG.debug("%s", observer.name, exc_info=True)
        words = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"The observer {observer.name!r} can't judge ({words}): {_MEND}"
        ) from error
    if not isinstance(judgement, Judgement) or "sentence" in judgement.figures:
        raise UsageError(f"The observer {observer.name!r} returns no Judgement: {_MEND}")
    check_plain(judgement.figures, f"The observer {observer.name!r} gives as figures")
    return judgement


def _observations(recipe: Recipe, name: str, ledger: Ledger) -> Iterator[Observation]:
    """Yield what was noted of the images that are in the release, as they are there."""
    noted = InStep(ledger.latest(recipe.fingerprint(f"{OBSERVE}{name}"), ("observation",)))
    fates = InStep(ledger.latest(recipe.fingerprint("obfuscate"), ("output", "failure")))
    for key, kind in ledger.listing():
        fate, one = fates.last(key), noted.last(key) if kind == "image" else None
        if isinstance(fate, Output) and isinstance(one, Observation) and one.digest == fate.written:
            yield one
