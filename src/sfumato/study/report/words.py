"""One sentence a question, with its interval; and what a verdict means."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sfumato.release.report.charts.svg import signed
from sfumato.study.analysis.comparisons import RANDOM, REENCODED, REMEDY
from sfumato.study.analysis.estimates import Estimate
from sfumato.study.analysis.results import Answers, StudyAnswer
from sfumato.types import JSON

ALPHA: Final = 0.05
PROTOCOLS: Final = {
    "scratch": "trained from scratch",
    "finetune": "fine-tuned",
    "probe": "linear probe on frozen features",
    "as-is": "pretrained, not trained again",
    "brought": "predictions brought along",
}
_KINDS: Final = {
    "cost": ("Does recognition survive?", "Trained and tested on {arm}"),
    "shift": ("Does a model from clear images cope?", "Trained on original, tested on {arm}"),
    "beyond-reencoding": (
        "Is it more than encoding again?",
        "Trained and tested on {arm} rather than re-encoded",
    ),
    "faces": (
        "Is it the faces, or that anything is lost?",
        "With {arm} on the faces rather than on the same shapes elsewhere, in training and test",
    ),
    "shift-faces": (
        "Is it the faces, or that anything is lost?",
        "Trained on original, with {arm} on the faces rather than on the same shapes elsewhere",
    ),
    "deployment": (
        "What when such a model meets clear faces?",
        "Trained on {arm} rather than original and tested on original",
    ),
    "remedy": ("Does the remedy help?", "Trained with {arm} rather than on original, tested on it"),
}
# Arms that are controls have no headline of their own.
_CONTROLS: Final = (RANDOM, REENCODED, REMEDY)


@dataclass(frozen=True, slots=True)
class Headline:
    """A question, and the sentence that answers it; `tone` is good, bad, open or none."""

    question: str
    answer: str
    tone: str = "none"
    protocol: str = ""

    def summary(self) -> JSON:
        """Return it for `study.json`."""
        return {"protocol": self.protocol, "question": self.question, "answer": self.answer}


def headlines(part: Answers) -> list[Headline]:
    """Return the sentences about the runs of one protocol."""
    found = [_of_answer(one) for one in part.answers if _is_headline(one)]
    found += list(_interactions(part))
    found += list(_remedies(part))
    for one in main_answers(part):
        found += list(_details(one))
    made = [Headline(h.question, h.answer, h.tone, part.protocol) for h in dict.fromkeys(found)]
    order = list(dict.fromkeys(h.question for h in made))
    return sorted(made, key=lambda h: order.index(h.question))


def verdict(one: StudyAnswer) -> tuple[str, str]:
    """Return what a difference means against the margin, and its tone."""
    found, test = one.change, one.equivalence
    margin = f"{100 * test.margin:g} point{'' if test.margin == 0.01 else 's'}"
    if not found.is_estimable:
        return f"no test is possible: {found.why}", "open"
    if test.holds:
        some = ", though not nothing" if found.cautious_p < ALPHA else ""
        return f"equivalent within {margin} (TOST, p {p_words(test.p)}){some}", "good"
    if found.high < -test.margin:
        return f"a loss of more than {margin}", "bad"
    if test.no_worse:
        return f"no loss of {margin} or more (p {p_words(test.p_no_worse)})", "good"
    if found.cautious_p < ALPHA:
        return (
            f"a difference (p {p_words(found.cautious_p)}), and a loss of {margin} isn't ruled out",
            "bad",
        )
    return f"undecided: neither a difference nor equivalence within {margin} is shown", "open"


def with_interval(found: Estimate) -> str:
    """Write a difference in points with its interval."""
    value = f"{signed(100 * found.value)} points"
    if not found.is_estimable:
        return f"{value} (interval not estimable: {found.why})"
    return f"{value} (95 % interval {signed(100 * found.low)} to {signed(100 * found.high)})"


def p_words(p: float) -> str:
    """Write a p value with two digits, never as nothing."""
    if math.isnan(p):
        return "not estimable"
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"


def sizes(one: StudyAnswer) -> str:
    """Write how much a figure rests on."""
    trained = one.protocol != "as-is"
    seeds = sorted({len(row.seeds) for row in one.rows if trained})
    many = f", {'/'.join(map(str, seeds))} seed{'s' if seeds != [1] else ''}" if seeds else ""
    models = len(one.models)
    return f"n = {one.change.n:,} images, {models} architecture{'s' if models > 1 else ''}{many}"


def _is_headline(one: StudyAnswer) -> bool:
    kind, arm = one.question.kind, one.question.arm
    return kind in _KINDS and (kind == "remedy" or not arm.startswith(_CONTROLS))


def _of_answer(one: StudyAnswer) -> Headline:
    question, subject = _KINDS[one.question.kind]
    judged, tone = verdict(one)
    subject = subject.format(arm=one.question.arm)
    answer = f"{subject}, top-1 changes by {with_interval(one.change)}; {sizes(one)}: {judged}."
    return Headline(question, answer, tone)


def main_answers(part: Answers) -> list[StudyAnswer]:
    """Return the answers that are told in detail: trained and tested on it, else tested on it."""
    for kind in ("cost", "shift"):
        found = [one for one in part.of_kind(kind) if _is_headline(one)]
        if found:
            return found
    return []


def _interactions(part: Answers) -> Iterator[Headline]:
    for one in part.of_kind("interaction"):
        arm = one.question.arm
        if arm.startswith(_CONTROLS):
            continue
        found = one.change
        shown_p = f"p {p_words(found.cautious_p)}"
        told = (
            f"Training on {arm} rather than original changes top-1 on clear images by "
            f"{with_interval(found)} more than on {arm} images (the interaction; "
            f"n = {found.n:,} images)"
        )
        tone = "none"
        if not found.is_estimable:
            tone = "open"
        elif found.cautious_p >= ALPHA:
            told += ": none that can be told from chance"
        elif found.value < 0:
            told += f": the models fit the arm that they were trained on ({shown_p})"
            tone = "bad"
        else:
            told += f": they do better on the arm that they didn't learn from ({shown_p})"
        yield Headline("Does training on it make a model look for it?", f"{told}.", tone)


def _remedies(part: Answers) -> Iterator[Headline]:
    for one in part.remedies:
        if one.why:
            told = f"How much of the gap {one.arm} closes is not estimable: {one.why}."
            yield Headline("Does the remedy help?", told, "open")
            continue
        share, low, high = (
            f"{100 * x:.0f}".replace("-", "−") for x in (one.share, one.low, one.high)
        )
        told = (
            f"Of the gap on clear images, {with_interval(one.gap)}, {one.arm} closes {share} % "
            f"(95 % interval {low} to {high} %); n = {one.gap.n:,} images"
        )
        told += "." if one.low > 0 else ": that it closes any isn't shown."
        yield Headline("Does the remedy help?", told, "good" if one.low > 0 else "open")


def _details(one: StudyAnswer) -> Iterator[Headline]:
    yield from _classes(one)
    yield from _areas(one)
    if one.calibration is not None:
        told = with_interval(one.calibration.change)
        before, after = one.calibration.before.value, one.calibration.after.value
        yield Headline(
            "Are its confidences still right?",
            f"On {one.question.arm}, the calibration error (ECE, 15 bins) goes from "
            f"{100 * before:.2f} to {100 * after:.2f} points, by {told}; {sizes(one)}.",
        )


def _classes(one: StudyAnswer) -> Iterator[Headline]:
    tested = [row for row in one.classes if row.found.is_estimable]
    if not tested:
        return
    worse = [row for row in tested if row.p_holm < ALPHA and row.found.value < 0]
    better = [row for row in tested if row.p_holm < ALPHA and row.found.value > 0]
    swaps = [pair for pair in one.pairs if pair.p_holm < ALPHA]
    told = (
        f"On {one.question.arm}, {len(worse)} of {len(tested)} classes lose and {len(better)} gain "
        "top-1 (Holm, p < 0.05)"
    )
    if worse:
        first = min(worse, key=lambda row: row.found.value)
        told += f", most of all {first.name}: {with_interval(first.found)}, n = {first.found.n:,}"
    if one.pairs:
        told += f"; {len(swaps)} of {len(one.pairs)} confusable pairs swap"
        told += ", which is no loss where their sum stays" if swaps else ""
    yield Headline("Which classes pay?", f"{told}.", "bad" if worse else "none")


def _areas(one: StudyAnswer) -> Iterator[Headline]:
    if len(one.affected) < 2:
        return
    inside, outside = one.affected
    told = (
        f"On {one.question.arm}, images with an obfuscated region change by "
        f"{with_interval(inside.found)} (n = {inside.found.n:,}), those without by "
        f"{with_interval(outside.found)} (n = {outside.found.n:,})"
    )
    if inside.is_small:
        told += ": fewer than 30 affected images, too few to say more"
    yield Headline("Is it where the faces are?", f"{told}.", "open" if inside.is_small else "none")
