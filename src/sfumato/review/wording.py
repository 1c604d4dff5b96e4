"""What an estimate says: the sentences that an auditor can quote, and all of it as JSON."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any, Final

from sfumato.review.estimation import Corrected, Estimate, Figure, Part
from sfumato.types import JSON

NOT_MEASURED: Final = (
    "How many faces are still in there is not measured: people have checked no random sample."
)


def sentence(result: Estimate) -> str:
    """Say what was checked, what was missed and what is still in there; or "not measured"."""
    overall = result.overall
    if overall is None:
        return NOT_MEASURED
    whole = sum(part.population for part in result.strata if part.method == "counted")
    told = [_checked(overall, whole), _answer(overall, result.level, result.crowd)]
    if result.unmeasured:
        told.append(
            f"Of {_many(result.unmeasured, 'image')} in strata without a checked one nothing "
            "is said: not measured."
        )
    if result.corrected:
        told.append(_if_people_miss(result.corrected, result.level))
    elif overall.method != "counted":
        told.append("This takes it that people missed nothing in the images they checked.")
    return " ".join(told)


def assumptions(result: Estimate) -> tuple[str, ...]:
    """Say what the figures take for granted."""
    told = [
        (
            "the images of the sample were drawn at random and checked whole; those drawn and "
            "not checked, or of which people were unsure, are like the others of their stratum"
        ),
        f"no image holds many more missed faces than the fullest one seen, or {result.crowd}",
    ]
    if result.corrected:
        return (*told, result.corrected.assumption)
    return (*told, "people missed nothing in the images they checked")


def as_json(result: Estimate) -> JSON:
    """Return the estimate as JSON, figures and words; what isn't finite is null."""
    figures: JSON = plain(asdict(result))
    return {
        "measured": result.overall is not None,
        "sentence": sentence(result),
        "assumptions": list(assumptions(result)) if result.overall else [],
        **figures,
    }


def _checked(of: Part, whole: int) -> str:
    """Say who checked what; `whole` images lie in strata of which every one was checked."""
    besides = f", and {of.also_checked:,} for other reasons" if of.also_checked else ""
    found = (
        f"they found {_many(of.found_faces, 'face')} that had been missed, in "
        f"{_many(of.found_images, 'image')}"
        if of.found_faces
        else "they found no face that had been missed"
    )
    if of.method == "counted":
        return f"People checked all {_many(of.population, 'image')}; {found}."
    every = f"all {whole:,} of some strata, and of the others " if whole else ""
    drawn = f"{every}{of.checked - whole:,} drawn at random"
    return f"Of {_many(of.population, 'image')}, people checked {drawn}{besides}; {found}."


def _answer(of: Part, level: float, crowd: int) -> str:
    if of.method == "counted":
        return "What they found is corrected, so that none is left that they saw."
    sure = f"{level * 100:g} % interval"
    if not of.found_images:
        return (
            f"That doesn't mean none: up to {of.left_images.high:,.0f} images "
            f"({_percent(of.left_images.high / of.population)}) may still hold one (upper end of "
            f"the {sure}), up to {of.left_faces.high:,.0f} faces at {crowd} an image."
        )
    before = of.missed_images
    return (
        f"Before the correction, an estimated {before.value:,.0f} images ({sure} "
        f"{before.low:,.0f} to {before.high:,.0f}; {_percent(before.value / of.population)}, "
        f"{_percent(before.low / of.population)} to {_percent(before.high / of.population)}) held "
        f"missed faces. What was found is corrected; still in there are "
        f"{_figure(of.left_faces, 'faces')} in {_figure(of.left_images, 'images')}."
    )


def _if_people_miss(corrected: Corrected, level: float) -> str:
    return (
        f"If people see {_percent(corrected.recall.value)} of the faces there are, as of the ones "
        f"planted for them, these are {_figure(corrected.left_faces, 'faces')} in "
        f"{_figure(corrected.left_images, 'images')}, as {level * 100:g} % intervals."
    )


def _figure(of: Figure, word: str) -> str:
    """A figure with its interval; of an estimate of none only the upper end."""
    if of.value < 0.5:
        return f"up to {of.high:,.0f} {word}"
    return f"an estimated {of.value:,.0f} ({of.low:,.0f} to {of.high:,.0f}) {word}"


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    """A share in percent with two figures that count; never 0 for what isn't."""
    percent = 100 * share
    if percent >= 10:
        return f"{percent:.0f} %"
    return f"{percent:.2g} %" if percent < 1 else f"{percent:.1f} %"


def plain(value: Any) -> Any:
    """Return figures as JSON has them: None for what isn't finite."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
