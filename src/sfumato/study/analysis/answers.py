"""Everything that a study's predictions can answer, question by question, with what they can't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sfumato.stats.bootstrap import Group, bootstrap
from sfumato.stats.comparison import holm
from sfumato.study.analysis.comparisons import (
    REMEDY,
    Measure,
    Question,
    Term,
    groups_of,
    questions,
    top1,
    top5,
)
from sfumato.study.analysis.estimates import (
    FEWEST,
    Estimate,
    contrast,
    equivalence,
    over_models,
    standard_error,
)
from sfumato.study.analysis.matrix import Cell, Matrix
from sfumato.study.analysis.measures import calibration_values, mcnemar
from sfumato.study.analysis.pairs import pairs
from sfumato.study.analysis.precision import precisions
from sfumato.study.analysis.remedies import remedy
from sfumato.study.analysis.results import (
    Analysis,
    AnalysisChoice,
    Answers,
    CellRow,
    GridRow,
    Levels,
    ModelRow,
    StudyAnswer,
)
from sfumato.study.analysis.subsets import (
    AREA_EDGES,
    OVERLAP_EDGES,
    Difference,
    by_affected,
    by_membership,
    by_part,
    by_share,
)
from sfumato.study.analysis.supercategories import Membership, read_supercategories

DETAILED: Final = ("cost", "shift")  # questions that are answered class by class, too
DEPTH: Final = 5


def analyse(matrices: Sequence[Matrix], choice: AnalysisChoice | None = None) -> Analysis:
    """Answer what the runs of each protocol can answer.

    Raises:
        UsageError: two cells that belong together have no seed in common, or super-categories
            were asked for with a file that can't be used.
    """
    choice = choice or AnalysisChoice()
    families = read_supercategories(choice.supercategories, [one.classes for one in matrices])
    found = (_answers(*each, choice) for each in zip(matrices, families, strict=True))
    return Analysis(tuple(found), choice)


def _answers(matrix: Matrix, families: Membership, choice: AnalysisChoice) -> Answers:
    found = [answer(matrix, question, choice, families) for question in questions(matrix)]
    arms = sorted({key.train_arm for key in matrix.cells if key.train_arm.startswith(REMEDY)})
    remedies = [one for arm in arms if (one := remedy(matrix, arm)) is not None]
    return Answers(
        matrix.protocol,
        len(matrix.images),
        None if matrix.affected is None else int(matrix.affected.sum()),
        matrix.classes,
        matrix.dataset,
        tuple(_cell_row(cell, matrix.labels) for cell in matrix.cells.values()),
        tuple(_grid(matrix)),
        tuple(_corrected(found)),
        tuple(remedies),
        (*_notes(matrix), *([families.note] if families.note else [])),
    )


def answer(
    matrix: Matrix, question: Question, choice: AnalysisChoice, families: Membership
) -> StudyAnswer:
    """Answer one question; its p_holm is its own p until others stand beside it."""
    models = matrix.architectures(question.arms)
    groups = groups_of(matrix, question, top1, models)
    change = contrast(groups, matrix.labels)
    alone = [groups_of(matrix, question, top1, [model]) for model in models]
    changes = [contrast(one, matrix.labels).value for one in alone]
    base = StudyAnswer(
        matrix.protocol,
        question,
        tuple(models),
        None,
        change,
        change.p,
        equivalence(change, choice.margin),
        bootstrap(groups, np.random.default_rng(choice.seed), rounds=choice.rounds),
        over_models(changes),
        notes=tuple(_left_out(matrix, models)),
    )
    if [term.weight for term in question.terms] != [-1, 1]:  # no plain difference
        return base
    base = _with_levels(matrix, base)
    whole = _difference(matrix, base, groups)
    base = _with_regions(matrix, base, whole)
    return _with_classes(matrix, base, whole, families) if question.kind in DETAILED else base


def _with_levels(matrix: Matrix, base: StudyAnswer) -> StudyAnswer:
    cells = [matrix.cell(model, *arms) for model in base.models for arms in base.question.arms]
    confident = all(cell.confidence is not None for cell in cells)
    return replace(
        base,
        top1=_levels(matrix, base, top1),
        top5=_levels(matrix, base, top5) if _deep(matrix, cells) else None,
        calibration=_levels(matrix, base, calibration) if confident else None,
        rows=tuple(_model_row(matrix, base, model) for model in base.models),
    )


def _with_regions(matrix: Matrix, base: StudyAnswer, whole: Difference) -> StudyAnswer:
    if matrix.regions is None or matrix.affected is None:
        return replace(base, notes=(*base.notes, "By area: not measured, no regions were given."))
    notes = list(base.notes)
    affected = int(matrix.affected.sum())
    if affected < FEWEST:
        notes.append(
            f"Only {affected} images have an obfuscated region: fewer than {FEWEST} say next to "
            "nothing of what obfuscation does."
        )
    overlaps = by_share(whole, matrix.regions.overlap, OVERLAP_EDGES)
    if not overlaps:
        notes.append("By overlap with the object: not measured, no objects' boxes were given.")
    return replace(
        base,
        affected=tuple(by_affected(whole, matrix.affected)),
        areas=tuple(by_share(whole, matrix.regions.face_area_share, AREA_EDGES)),
        overlaps=tuple(overlaps),
        notes=tuple(notes),
    )


def _with_classes(
    matrix: Matrix, base: StudyAnswer, whole: Difference, families: Membership
) -> StudyAnswer:
    members = {name: np.isin(matrix.labels, classes) for name, classes in families.classes.items()}
    found = precisions(matrix, base.question, base.models)
    notes = base.notes
    if found is None:
        notes = (*notes, "Average precision: not measured, logits were not kept for all runs.")
    return replace(
        base,
        classes=tuple(by_part(whole, matrix.labels, matrix.classes)),
        supercategories=tuple(by_membership(whole, members, matrix.labels)),
        pairs=tuple(pairs(matrix, base.question, base.models)),
        precisions=None if found is None else tuple(found[0]),
        mean_precision=None if found is None else found[1],
        notes=notes,
    )


def calibration(cell: Cell, seed: int) -> NDArray[np.float64]:
    """Return the terms of the expected calibration error."""
    place = cell.seeds.index(seed)
    assert cell.confidence is not None, "asked for only where it is known"
    return calibration_values(cell.rank[place] == 0, cell.confidence[place])


def _levels(
    matrix: Matrix, base: StudyAnswer, measure: Measure, models: Sequence[str] | None = None
) -> Levels:
    models = base.models if models is None else models

    def of(question: Question) -> Estimate:
        return contrast(groups_of(matrix, question, measure, models), matrix.labels)

    before, after = (_one_sided(base.question, term) for term in base.question.terms)
    return Levels(of(before), of(after), of(base.question))


def _difference(matrix: Matrix, base: StudyAnswer, groups: Sequence[Group]) -> Difference:
    sides = [
        groups_of(matrix, _one_sided(base.question, term), top1, base.models)
        for term in base.question.terms
    ]
    before, after = (_image_means(side) for side in sides)
    return Difference(groups, before, after)


def _image_means(groups: Sequence[Group]) -> NDArray[np.float64]:
    total = np.zeros(groups[0].values.shape[1])
    for group in groups:
        total += group.weight * group.values.mean(axis=0)
    return total


def _model_row(matrix: Matrix, base: StudyAnswer, model: str) -> ModelRow:
    before, after = (matrix.cell(model, *arms) for arms in base.question.arms)
    deep = _deep(matrix, [before, after])
    shared = sorted(set(before.seeds) & set(after.seeds))
    tests = tuple(
        (seed, mcnemar(top1(before, seed) == 1, top1(after, seed) == 1)) for seed in shared
    )
    errors = [
        standard_error([float(top1(cell, seed).mean()) for seed in cell.seeds])
        for cell in (before, after)
    ]
    return ModelRow(
        model,
        tuple(sorted({*before.seeds, *after.seeds})),
        _levels(matrix, base, top1, [model]),
        _levels(matrix, base, top5, [model]) if deep else None,
        (errors[0], errors[1]),
        tests,
    )


def _one_sided(question: Question, term: Term) -> Question:
    return replace(question, terms=(Term(1, term.train, term.test),))


def _deep(matrix: Matrix, cells: Sequence[Cell]) -> bool:
    """Tell whether the five best classes are known, which says something from six classes on."""
    return len(matrix.classes) > DEPTH and all(cell.depth >= DEPTH for cell in cells)


def _cell_row(cell: Cell, labels: NDArray[Any]) -> CellRow:
    def over(measure: Measure) -> Estimate:
        values = np.stack([measure(cell, seed) for seed in cell.seeds])
        return contrast([Group(1, values, cell.fixed)], labels)

    return CellRow(
        cell.key,
        cell.seeds,
        over(top1),
        over(top5) if cell.depth >= DEPTH else None,
        over(calibration) if cell.confidence is not None else None,
    )


def _grid(matrix: Matrix) -> list[GridRow]:
    """Return each train and test arm, over the architectures that have all if there are any."""
    arms = sorted({(key.train_arm, key.test_arm) for key in matrix.cells})
    everywhere = matrix.architectures(arms)
    rows = []
    for train, test in arms:
        models = everywhere or matrix.architectures([(train, test)])
        question = Question("level", test, (Term(1, train, test),), "")
        groups = groups_of(matrix, question, top1, models)
        rows.append(GridRow(train, test, tuple(models), contrast(groups, matrix.labels)))
    return rows


def _corrected(answers: Sequence[StudyAnswer]) -> list[StudyAnswer]:
    """Return the answers with p corrected (Holm) for those that ask the same kind of question."""
    made = list(answers)
    for kind in {one.question.kind for one in made}:
        places = [
            i for i, one in enumerate(made) if one.question.kind == kind and one.change.is_estimable
        ]
        for i, p in zip(places, holm([made[i].change.cautious_p for i in places]), strict=True):
            made[i] = replace(made[i], p_holm=p)
    return made


def _left_out(matrix: Matrix, models: Sequence[str]) -> list[str]:
    every = {k.architecture for k in matrix.cells}
    missing = sorted(every - set(models))
    if not missing:
        return []
    return [f"Without {', '.join(missing)}: not trained or tested on all of these arms."]


def _notes(matrix: Matrix) -> list[str]:
    notes = []
    once = {k: c for k, c in matrix.cells.items() if len(c.seeds) < 2 and not c.fixed}
    if single := sorted({str(key.architecture) for key in once}):
        notes.append(
            f"One seed only for {', '.join(single)}: how trainings differ can't be told, so "
            "intervals are not estimable."
        )
    trained = {k.architecture: len(c.seeds) for k, c in matrix.cells.items() if not c.fixed}
    if list(trained.values()) == [2]:
        notes.append(
            "One architecture and two seeds: intervals may hold the truth in only 92 % "
            "(docs/study.md). Take three seeds."
        )
    empty = len(matrix.classes) - len(np.unique(matrix.labels))
    if empty:
        notes.append(f"{empty} of {len(matrix.classes)} classes have no image.")
    affected = matrix.affected
    if affected is None:
        notes.append("Which images are affected is not known: no regions were given.")
    elif affected.sum() < FEWEST:
        notes.append(f"Only {int(affected.sum())} of {len(matrix.images)} images are affected.")
    return notes
