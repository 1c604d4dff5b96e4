from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sfumato.errors import UsageError
from sfumato.stats.bootstrap import Group
from sfumato.study.analysis.answers import analyse
from sfumato.study.analysis.comparisons import difference, groups_of, questions, top1
from sfumato.study.analysis.estimates import contrast
from sfumato.study.analysis.matrix import Key, Matrix, matrices_of, matrix_of, read_matrices
from sfumato.study.analysis.measures import average_precision_values, calibration_values
from sfumato.study.analysis.pairs import candidates, pairs
from sfumato.study.analysis.remedies import NO_GAP, fieller, remedy
from sfumato.study.analysis.results import AnalysisChoice, StudyAnswer
from sfumato.study.analysis.supercategories import read_supercategories
from tests.study_predictions import (
    AFFECTED,
    CLASSES,
    FULL,
    LABELS,
    changed,
    outcome,
    outcomes,
    predictions,
    regions,
    run,
    shuffled,
    write_study,
)

QUICK = AnalysisChoice(rounds=20)
PAIR = (FULL[0], FULL[2])
COST = difference("cost", "gaussian", ("original",) * 2, ("gaussian",) * 2, "")


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return matrix_of(outcomes(FULL, models=("net", "other")), regions())


@pytest.fixture(scope="module")
def answers(matrix: Matrix) -> dict[tuple[str, str], StudyAnswer]:
    found = analyse([matrix], QUICK).parts[0].answers
    return {(one.question.kind, one.question.arm): one for one in found}


def test_every_question_that_the_arms_allow_is_asked(matrix: Matrix) -> None:
    asked = {(q.kind, q.arm) for q in questions(matrix)}
    assert asked == {
        ("cost", "gaussian"),
        ("cost", "reencoded"),
        ("cost", "random-gaussian"),
        ("beyond-reencoding", "gaussian"),
        ("faces", "gaussian"),
        ("shift", "gaussian"),
        ("shift", "random-gaussian"),
        ("shift-faces", "gaussian"),
        ("deployment", "gaussian"),
        ("interaction", "gaussian"),
        ("remedy", "remedy-gaussian"),
    }


@pytest.mark.slow
def test_figures_are_what_counting_gives(answers: dict[tuple[str, str], StudyAnswer]) -> None:
    one = answers["cost", "gaussian"]
    before, after = (
        [
            predictions(run(arm, arm, seed, model), **effect)
            for model in ("net", "other")
            for seed in range(3)
        ]
        for arm, _, effect in PAIR
    )
    hits = [np.mean([p.top5[:, 0] == p.labels for p in side]) for side in (before, after)]
    assert one.top1 is not None
    assert one.top1.before.value == pytest.approx(hits[0])
    assert one.top1.change.value == pytest.approx(hits[1] - hits[0])
    five = [
        np.mean([(p.top5 == p.labels[:, None]).any(1) for p in side]) for side in (before, after)
    ]
    assert one.top5 is not None
    assert one.top5.after.value == pytest.approx(five[1])
    errors = [
        np.mean(
            [calibration_values(p.label_rank == 0, p.top5_probability[:, 0]).mean() for p in side]
        )
        for side in (before, after)
    ]
    assert one.calibration is not None
    assert one.calibration.change.value == pytest.approx(errors[1] - errors[0], abs=1e-6)
    assert one.precisions is not None
    dog = next(row for row in one.precisions if row.name == "dog")
    assert all(p.logits is not None for p in before)
    expected = np.mean(
        [average_precision_values(p.labels == 0, np.asarray(p.logits)[:, 0]) for p in before]
    )
    assert dog.before == pytest.approx(expected, abs=0.02)
    seeds = [np.mean(p.top5[:, 0] == p.labels) for p in before[:3]]
    assert one.rows[0].errors[0] == pytest.approx(np.std(seeds, ddof=1) / 3**0.5)


@pytest.mark.slow
def test_classes_and_areas_are_parts_of_the_whole(
    answers: dict[tuple[str, str], StudyAnswer],
) -> None:
    one = answers["cost", "gaussian"]
    for rows in (one.classes, one.areas, one.affected):
        total = sum(row.found.n * row.found.value for row in rows)
        assert total / sum(row.found.n for row in rows) == pytest.approx(one.change.value)
    assert [row.found.n for row in one.affected] == [AFFECTED.sum(), (~AFFECTED).sum()]
    assert one.affected[0].found.value < one.affected[1].found.value
    assert sum(row.found.n for row in one.overlaps) == AFFECTED.sum()
    assert all(row.after - row.before == pytest.approx(row.found.value) for row in one.classes)
    assert any(row.is_small for row in one.classes)


def test_a_model_is_paired_with_itself_on_another_arm(matrix: Matrix) -> None:
    shift = difference("shift", "gaussian", ("original",) * 2, ("original", "gaussian"), "")
    groups = groups_of(matrix, shift, top1, ["net"])
    assert len(groups) == 1  # one group: each seed's difference
    before, after = (
        matrix.cells[Key("scratch", "net", "original", test)] for test in ("original", "gaussian")
    )
    for seed in range(3):
        assert np.array_equal(groups[0].values[seed], top1(after, seed) - top1(before, seed))
    assert len(groups_of(matrix, COST, top1, ["net"])) == 2


def test_probes_of_the_same_seed_are_paired_and_other_trainings_are_not() -> None:
    models = ["net", "other"]
    made = matrix_of(outcomes(PAIR, models=models, protocol="probe"))
    paired = groups_of(made, COST, top1, models)
    assert len(paired) == 1
    other = matrix_of(outcomes(PAIR, models=models))
    apart = groups_of(other, COST, top1, models)
    assert len(apart) == 4
    assert contrast(paired).value == pytest.approx(contrast(apart).value)
    unequal = matrix_of(
        [
            one
            for one in outcomes(PAIR, protocol="probe")
            if one.run.id[-1] != "2" or one.run.train_arm == "original"
        ]
    )
    assert len(groups_of(unequal, COST, top1, ["net"])) == 2


def test_the_interaction_is_a_difference_of_differences(
    matrix: Matrix, answers: dict[tuple[str, str], StudyAnswer]
) -> None:
    def mean(train: str, test: str) -> float:
        cells = [matrix.cells[Key("scratch", m, train, test)] for m in ("net", "other")]
        return float(np.mean([top1(cell, seed).mean() for cell in cells for seed in range(3)]))

    on_clear = mean("gaussian", "original") - mean("original", "original")
    on_obfuscated = mean("gaussian", "gaussian") - mean("original", "gaussian")
    one = answers["interaction", "gaussian"]
    assert one.change.value == pytest.approx(on_clear - on_obfuscated)
    assert one.change.low < one.change.value < one.change.high


def test_a_remedy_closes_a_share_of_the_gap(matrix: Matrix) -> None:
    found = remedy(matrix, "remedy-gaussian")
    assert found is not None
    assert found.share == pytest.approx(found.closed.value / found.gap.value)
    assert found.low < found.share < found.high
    assert remedy(matrix, "remedy-fill") is None
    none = matrix_of(
        outcomes([FULL[0], ("gaussian", "original", {}), ("remedy-gaussian", "original", {})])
    )
    flat = remedy(none, "remedy-gaussian")
    assert flat is not None
    assert flat.why == NO_GAP
    assert flat.summary()["share"] is None


def test_fieller_covers_a_ratio_as_often_as_it_says() -> None:
    # Known variances: the set of ratios that a z test wouldn't refuse, drawn 400 times.
    rng = np.random.default_rng(0)
    base = contrast([Group(1, rng.normal(size=(3, 10)))])
    hits = 0
    for _ in range(400):
        top, bottom = rng.multivariate_normal([1.0, 2.0], [[0.09, 0.03], [0.03, 0.16]])
        over = replace(base, value=top, se=0.3, df=1e6)
        under = replace(base, value=bottom, se=0.4, df=1e6)
        ends = fieller(over, under, 0.03)
        hits += ends is not None and ends[0] <= 0.5 <= ends[1]
    assert 0.92 < hits / 400 < 0.98


def test_a_swapped_pair_is_no_loss(matrix: Matrix) -> None:
    found = {pair.first: pair for pair in pairs(matrix, COST, ["net", "other"])}
    swapped = found["dog"]
    assert swapped.second == "husky"
    assert swapped.swap.value > 0.05
    assert swapped.changes[0].value < -0.05
    assert abs(swapped.together.value) < abs(swapped.changes[0].value)
    assert swapped.p_holm < 0.05
    halves = (swapped.changes[0].value + swapped.changes[1].value) / 2
    assert swapped.together.value == pytest.approx(halves)


def test_a_pair_is_what_counting_its_images_gives(matrix: Matrix) -> None:
    pair = next(p for p in pairs(matrix, COST, ["net"]) if p.first == "dog")
    inside = LABELS < 2
    order = np.argsort(np.array([f"{CLASSES[k]}/{i:03}.jpg" for i, k in enumerate(LABELS)]))
    inside = inside[order]

    def direction(arm: str) -> float:
        said = matrix.cells[Key("scratch", "net", arm, arm)].predicted[:, inside]
        return float(((said == 1) * 1.0 - (said == 0)).mean() / 2)

    assert pair.swap.value == pytest.approx(direction("gaussian") - direction("original"))
    said = matrix.cells[Key("scratch", "net", "gaussian", "gaussian")].predicted[:, inside]
    was = matrix.cells[Key("scratch", "net", "original", "original")].predicted[:, inside]
    assert pair.merged.value == pytest.approx(np.mean(said < 2) - np.mean(was < 2))


def test_candidates_are_disjoint_and_the_most_confused_first() -> None:
    flows = np.array([[5, 5, 0, 4], [3, 7, 6, 0], [0, 4, 6, 0], [0, 0, 0, 10]], float)
    labels = np.repeat(np.arange(4), 10)
    # 1 and 2 are confused 10 times; then 0 can only go with 3.
    assert [(j, k) for j, k, _ in candidates(flows, labels)] == [(1, 2), (0, 3)]


def test_results_do_not_depend_on_the_order_of_rows_or_runs() -> None:
    made = outcomes(PAIR)
    mixed = [shuffled(one, i) for i, one in enumerate(reversed(made))]
    one, other = (analyse([matrix_of(some)], QUICK).summary() for some in (made, mixed))
    assert one == other


def test_one_seed_has_figures_but_no_intervals() -> None:
    part = analyse([matrix_of(outcomes(PAIR, seeds=1))], QUICK).parts[0]
    one = next(a for a in part.answers if a.question.kind == "cost")
    assert "not estimable" in one.change.summary()["interval"]
    assert one.change.summary()["p"] is None
    assert not one.equivalence.holds
    assert one.rows[0].tests[0][1].n == len(LABELS)  # McNemar's test needs no second seed
    assert any("One seed only for net" in note for note in part.notes)
    assert all(np.isnan(row.p_holm) for row in one.classes)


def test_a_model_as_it_came_needs_no_seeds() -> None:
    made = outcomes([FULL[0], FULL[1]], seeds=1, protocol="as-is")
    part = analyse(matrices_of(made), QUICK).parts[0]
    one = next(a for a in part.answers if a.question.kind == "shift")
    assert one.change.is_estimable
    assert not any("seed" in note for note in part.notes)


@pytest.mark.parametrize(("seeds", "models", "said"), [(2, 1, True), (3, 1, False), (2, 2, False)])
def test_one_architecture_and_two_seeds_are_said(seeds: int, models: int, said: bool) -> None:
    names = tuple(f"net{number}" for number in range(models))
    part = analyse(matrices_of(outcomes(PAIR, seeds, names)), QUICK).parts[0]
    assert any("Take three seeds" in note for note in part.notes) == said


def test_fewer_than_thirty_affected_images_are_said() -> None:
    few = regions()
    share = np.where(np.arange(len(LABELS)) < 20, few.face_area_share, 0).astype(np.float32)
    part = analyse([matrix_of(outcomes(PAIR), replace(few, face_area_share=share))], QUICK).parts[0]
    assert part.affected == 5
    assert "Only 5 of 160 images are affected." in part.notes
    one = part.answers[0]
    assert any("Only 5 images have an obfuscated region" in note for note in one.notes)
    assert one.affected[0].summary()["note"] == "fewer than 30 images"


def test_what_is_not_known_is_not_measured() -> None:
    made = [changed(one, logits=None, confidence=None) for one in outcomes(PAIR)]
    one = analyse([matrix_of(made)], QUICK).parts[0].answers[0]
    assert one.calibration is None
    assert one.precisions is None
    assert one.summary()["average_precision"] is None
    assert any("logits were not kept" in note for note in one.notes)
    shallow = [changed(one, depth=1) for one in made]
    assert analyse([matrix_of(shallow)], QUICK).parts[0].answers[0].top5 is None


def test_runs_of_other_images_labels_or_classes_are_refused() -> None:
    good, other = outcome(run()), outcome(run("gaussian", "gaussian"))
    fewer = changed(other, images=(*other.images[:-1], "else.jpg"))
    with pytest.raises(UsageError, match=r"other images: the run net-.*gaussian.* lacks 1 of 161"):
        matrix_of([good, fewer])
    part = {n: getattr(other, n)[:100] for n in ("images", "labels", "predicted", "rank")}
    with pytest.raises(UsageError, match=r"lacks 60 of 160, such as 'bath/100\.jpg'"):
        matrix_of([good, changed(other, **part)])
    labels = other.labels.copy()
    labels[40] = 3
    with pytest.raises(UsageError, match=r"Labels don't match: 'cup/040\.jpg' is 'cup' .* 'mug'"):
        matrix_of([good, changed(other, labels=labels)])
    without = replace(other.run, classes=CLASSES[:-1])
    with pytest.raises(UsageError, match=r"gaussian.* lacks 1 of the classes .* 'horn'"):
        matrix_of([good, changed(other, run=without)])
    turned = replace(other.run, classes=CLASSES[::-1])
    with pytest.raises(UsageError, match="another order"):
        matrix_of([good, changed(other, run=turned)])
    with pytest.raises(UsageError, match=r"two runs .* same seed"):
        matrix_of([good, good])
    with pytest.raises(UsageError, match="no predictions"):
        matrix_of([])


def test_cells_without_a_common_seed_are_refused() -> None:
    made = [outcome(run(seed=0)), outcome(run(test="gaussian", seed=1))]
    with pytest.raises(UsageError, match="no model was tested on both"):
        analyse([matrix_of(made)], QUICK)


def test_architectures_that_lack_an_arm_are_named() -> None:
    made = [*outcomes(PAIR), *outcomes([FULL[0]], models=["alone"])]
    one = analyse([matrix_of(made)], QUICK).parts[0].answers[0]
    assert one.models == ("net",)
    assert one.notes[0].startswith("Without alone")


def test_a_folder_gives_what_its_runs_hold(tmp_path: Path, matrix: Matrix) -> None:
    found = read_matrices(write_study(tmp_path, cells=PAIR, models=["net"]))[0]
    assert found.images == matrix.images
    assert found.regions is not None
    key = Key("scratch", "net", "gaussian", "gaussian")
    assert np.array_equal(found.cells[key].predicted, matrix.cells[key].predicted)
    raw = predictions(run("gaussian", "gaussian"), loss=1.5, swap=0.6)
    place = {name: i for i, name in enumerate(raw.images)}
    rows = [place[name] for name in found.images]
    scores = found.cells[key].scores(0)
    assert scores.max(axis=1) == pytest.approx(raw.logit_max[rows], abs=1e-6)


def test_supercategories_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "super.csv"
    path.write_text(
        "class,supercategory\ndog,canine\nhusky,canine\ncup,vessel\nhusky,sled\nzebra,x\n"
    )
    (one,) = read_supercategories(path, [CLASSES])
    assert one.classes == {"canine": [0, 1], "vessel": [2], "sled": [1]}
    found = (
        analyse([matrix_of(outcomes(PAIR))], AnalysisChoice(supercategories=path, rounds=20))
        .parts[0]
        .answers[0]
    )
    assert [row.found.n for row in found.supercategories] == [40, 20, 20]
    path.write_text("class,supercategory\nn02110063,canine\n")
    with pytest.raises(UsageError, match="names none of the study's classes: it has 'n02110063'"):
        read_supercategories(path, [CLASSES])
    path.write_text("wnid,name\nx,y\n")
    with pytest.raises(UsageError, match="needs the columns class and supercategory"):
        read_supercategories(path, [CLASSES])
    with pytest.raises(UsageError, match="can't be read"):
        read_supercategories(tmp_path / "none.csv", [CLASSES])
