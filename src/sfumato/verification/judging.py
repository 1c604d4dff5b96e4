"""The end of observing: each observer judges the whole set by what it has noted."""

from __future__ import annotations

from collections.abc import Iterator

from sfumato.errors import UsageError
from sfumato.ledger.in_step import InStep
from sfumato.ledger.ledger import Ledger
from sfumato.recipe import OBSERVE, Recipe
from sfumato.types import Observation, Output
from sfumato.verification.observing import Judgement, observers


def judged(recipe: Recipe, ledger: Ledger) -> Iterator[tuple[str, Judgement]]:
    """Yield the name of each observer of a recipe and what it says of the release as it is now."""
    for name in recipe.observe:
        try:
            (observer,) = observers((name,))
        except UsageError as error:
            yield name, Judgement(str(error), {})
        else:
            yield name, observer.judge(_observations(recipe, name, ledger))


def _observations(recipe: Recipe, name: str, ledger: Ledger) -> Iterator[Observation]:
    """Yield what was noted of the images that are in the release, as they are there."""
    noted = InStep(ledger.latest(recipe.fingerprint(f"{OBSERVE}{name}"), ("observation",)))
    fates = InStep(ledger.latest(recipe.fingerprint("obfuscate"), ("output", "failure")))
    for key, kind in ledger.listing():
        fate, one = fates.last(key), noted.last(key) if kind == "image" else None
        if isinstance(fate, Output) and isinstance(one, Observation) and one.digest == fate.written:
            yield one
