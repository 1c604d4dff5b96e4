"""What is still missed: intervals against SciPy and by hand, properties, and honesty."""

from __future__ import annotations

import importlib.util
import json
import sys
from math import ceil, comb, floor, inf
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfumato.errors import MissingExtra, UsageError
from sfumato.review import effort
from sfumato.review.estimation import Part, Recall, Stratum, estimate, missed_faces
from sfumato.review.wording import NOT_MEASURED, as_json, sentence
from sfumato.stats import intervals

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def overall(*strata: Stratum) -> Part:
    found = estimate(strata).overall
    assert found is not None
    return found


# the intervals


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (1, 20), (7, 50), (20, 20)])
def test_clopper_pearson_is_scipys_exact_interval(hits: int, trials: int) -> None:
    theirs = stats.binomtest(hits, trials).proportion_ci(method="exact")
    assert intervals.clopper_pearson(hits, trials) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize(("hits", "drawn", "population"), [(0, 5, 12), (2, 6, 15), (4, 4, 9)])
def test_hypergeometric_keeps_just_what_neither_tail_rules_out(
    hits: int, drawn: int, population: int
) -> None:
    def chance(k: int, seen: int) -> float:
        return comb(k, seen) * comb(population - k, drawn - seen) / comb(population, drawn)

    kept = [
        k
        for k in range(population + 1)
        if sum(chance(k, i) for i in range(hits, drawn + 1)) > 0.025
        and sum(chance(k, i) for i in range(hits + 1)) > 0.025
    ]
    assert intervals.hypergeometric(hits, drawn, population) == (kept[0], kept[-1])


def test_hypergeometric_of_a_huge_population_is_clopper_pearson() -> None:
    low, high = intervals.hypergeometric(3, 400, 10_000_000)
    exact = intervals.clopper_pearson(3, 400)
    assert (low / 1e7, high / 1e7) == pytest.approx(exact, rel=1e-3)


@given(st.integers(1, 300), st.data())
@settings(max_examples=10, deadline=None)
def test_hypergeometric_is_symmetric_and_grows_with_hits(
    population: int, data: st.DataObject
) -> None:
    drawn = data.draw(st.integers(1, population))
    hits = data.draw(st.integers(0, drawn))
    low, high = intervals.hypergeometric(hits, drawn, population)
    # Whole numbers: where all but a few were drawn, the point may lie between two of them.
    point = hits * population / drawn
    assert hits <= low <= ceil(point)
    assert floor(point) <= high <= population - drawn + hits
    mirrored = intervals.hypergeometric(drawn - hits, drawn, population)
    assert mirrored == (population - high, population - low)
    if hits < drawn:
        more = intervals.hypergeometric(hits + 1, drawn, population)
        assert more[0] >= low
        assert more[1] >= high


def test_hypergeometric_refuses_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="can't be"):
        intervals.hypergeometric(3, 2, 10)


@pytest.mark.parametrize("count", [0, 1, 4, 30])
def test_gamma_of_equal_weights_is_the_exact_poisson_interval(count: int) -> None:
    weight = 25.0
    low, high = intervals.gamma(count * weight, count * weight**2, (weight, weight**2))
    exact = (
        stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0,
        stats.chi2.ppf(0.975, 2 * count + 2) / 2,
    )
    assert (low / weight, high / weight) == pytest.approx(exact)


def test_gamma_is_fay_and_feuers_example() -> None:
    # Fay and Feuer's limits, written as they are: by chi-squared quantiles.
    weights, counts = np.array([3.0, 40.0, 7.5]), np.array([12, 1, 5])
    y, v, most = weights @ counts, weights**2 @ counts, 40.0
    low = v / (2 * y) * stats.chi2.ppf(0.025, 2 * y**2 / v)
    degrees = 2 * (y + most) ** 2 / (v + most**2)
    high = (v + most**2) / (2 * (y + most)) * stats.chi2.ppf(0.975, degrees)
    assert intervals.gamma(y, v, (most, most**2)) == pytest.approx((low, high))


def test_korn_graubard_of_one_large_stratum_is_clopper_pearson(benchmark: ModuleType) -> None:
    # n* = n - 1 by the variance's divisor: all but the same.
    low, high = benchmark.korn_graubard([(10**9, 500, 5)])
    assert (low, high) == pytest.approx(intervals.clopper_pearson(5 * 499 / 500, 499), rel=1e-4)
    assert benchmark.korn_graubard([(10**9, 500, 0)]) == intervals.clopper_pearson(0, 500)


def test_without_scipy_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtra, match=r"pip install 'sfumato\[review\]'"):
        estimate([Stratum("a", 100, 10)])


# the estimate


def test_what_is_left_is_what_the_unchecked_images_hold() -> None:
    found = overall(Stratum("a", 1000, 100, (1, 3)))
    assert found.left_images.value == pytest.approx(2 / 100 * 900)
    assert found.left_faces.value == pytest.approx(4 / 100 * 900)
    assert found.missed_images.value == pytest.approx(20)
    assert found.missed_faces.value == pytest.approx(40)
    low, high = intervals.hypergeometric(2, 100, 1000)
    assert (found.missed_images.low, found.missed_images.high) == (low, high)
    assert (found.left_images.low, found.left_images.high) == (low - 2, high - 2)
    assert found.method == "hypergeometric"


def test_strata_weigh_by_their_rates() -> None:
    found = overall(Stratum("a", 10_000, 100, (1,)), Stratum("b", 500, 100, (2,)))
    assert found.missed_images.value == pytest.approx(100 + 5)
    assert found.missed_faces.value == pytest.approx(100 + 10)
    assert found.method == "gamma"


def test_strata_drawn_at_one_rate_are_one_exact_sample() -> None:
    apart = overall(Stratum("a", 10_000, 100, (1,)), Stratum("b", 50_000, 500, (1, 2)))
    together = overall(Stratum("all", 60_000, 600, (1, 1, 2)))
    assert apart.method == "hypergeometric"
    assert apart.left_images == together.left_images


def test_none_found_is_never_none_left() -> None:
    result = estimate([Stratum("a", 1000, 999), Stratum("b", 90_000, 300)])
    assert result.overall is not None
    assert result.overall.left_images.low == 0
    assert result.overall.left_images.high > 90_000 * 0.0099  # 3 / 300 at the least
    assert result.overall.left_faces.high > result.overall.left_images.high
    assert "up to" in sentence(result)
    assert "estimated 0" not in sentence(result)
    assert "faces at 2 an image" in sentence(result)


def test_a_single_image_left_leaves_a_doubt() -> None:
    # Of two in all, one is the image not drawn with a chance of just 2.5 %: ruled out.
    assert intervals.hypergeometric(1, 79, 80) == (1, 1)
    found = overall(Stratum("a", 80, 79, (1,)))
    assert found.left_images.high == 1
    assert found.left_images.value == pytest.approx(1 / 79)


def test_risky_images_lower_what_is_left_and_estimate_nothing() -> None:
    plain = overall(Stratum("a", 5000, 200, (1, 1)))
    besides = overall(Stratum("a", 5000, 200, (1, 1), also_checked=40, also_missed=(2, 1, 1)))
    assert besides.left_images.high == plain.left_images.high - 3
    assert besides.left_faces.high == plain.left_faces.high - 4
    assert besides.missed_images.high == plain.missed_images.high
    assert besides.found_faces == 6
    many = overall(Stratum("a", 5000, 200, (), also_checked=300, also_missed=(1,) * 300))
    assert many.left_images.value == 0
    assert many.left_images.high >= 1
    assert many.missed_images.low == 300


def test_a_stratum_checked_whole_is_counted() -> None:
    result = estimate([Stratum("a", 50, 30, (2,), also_checked=20, also_missed=(1,))])
    assert result.overall is not None
    assert result.overall.method == "counted"
    assert result.overall.left_faces.high == 0
    assert result.overall.missed_faces.high == result.overall.missed_faces.low == 3
    assert "checked all 50 images" in sentence(result)


def test_without_a_sample_nothing_is_measured() -> None:
    nothing = estimate([Stratum("a", 50, 0, also_checked=7, also_missed=(1,))])
    assert nothing.overall is None
    assert sentence(nothing) == NOT_MEASURED
    assert "not measured" in NOT_MEASURED
    partly = estimate([Stratum("a", 5000, 100), Stratum("b", 70, 0)])
    assert partly.unmeasured == 70
    assert "Of 70 images in strata without a checked one nothing is said" in sentence(partly)


def test_groups_join_their_strata() -> None:
    result = estimate(
        [
            Stratum("dogs: nothing", 4000, 100, (1,), group="dogs"),
            Stratum("dogs: faces", 1000, 50, group="dogs"),
            Stratum("cats: nothing", 3000, 100, group="cats"),
        ]
    )
    assert [group.name for group in result.groups] == ["dogs", "cats"]
    assert [group.population for group in result.groups] == [5000, 3000]
    assert len(result.strata) == 3


def test_people_who_miss_faces_are_counted_for() -> None:
    strata = [Stratum("a", 10_000, 500, (1,) * 9)]
    plain, result = estimate(strata), estimate(strata, recall=Recall(90, 100))
    assert result.corrected is not None
    assert result.overall == plain.overall
    assert result.overall is not None
    assert result.corrected.left_faces.value == pytest.approx(180 / 0.9 - 9)
    assert result.corrected.left_faces.high > result.overall.left_faces.high
    assert result.corrected.left_faces.low >= result.overall.left_faces.low
    assert result.corrected.left_images.low == result.overall.left_images.low
    assert "planted" in sentence(result)
    with pytest.raises(UsageError, match="nothing can be corrected"):
        estimate(strata, recall=Recall(0, 10))


def test_the_sentence_says_what_was_done_and_what_is_left() -> None:
    told = sentence(estimate([Stratum("a", 40_000, 1000, (1, 2, 1))]))
    low, high = intervals.hypergeometric(3, 1000, 40_000)
    assert told.startswith(
        "Of 40,000 images, people checked 1,000 drawn at random; they found 4 faces that had "
        "been missed, in 3 images. Before the correction, an estimated 120 images (95 % "
        f"interval {low} to {high}; 0.3 %, "
    )
    assert f"an estimated 117 ({low - 3} to {high - 3}) images." in told


def test_json_has_the_sentence_and_no_nan() -> None:
    stored = as_json(estimate([Stratum("a", 4000, 100, (1,))], recall=Recall(9, 10)))
    assert json.loads(json.dumps(stored, allow_nan=False))["measured"] is True
    assert stored["sentence"].startswith("Of 4,000 images")
    assert any("easier to see" in text for text in stored["assumptions"])
    assert as_json(estimate([]))["measured"] is False


@pytest.mark.parametrize(
    "wrong",
    [
        {"checked": 11},
        {"checked": 5, "also_checked": 6},
        {"checked": 1, "missed_counts": (1, 1)},
        {"checked": 3, "missed_counts": (0,)},
        {"checked": -1},
    ],
)
def test_a_stratum_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a: "):
        Stratum("a", 10, **wrong)  # type: ignore[arg-type]


@given(
    st.lists(
        st.tuples(st.integers(1, 5000), st.floats(0, 1), st.lists(st.integers(1, 9), max_size=5)),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=8, deadline=None)
def test_intervals_hold_their_point_and_fit_together(
    drawn: list[tuple[int, float, list[int]]],
) -> None:
    strata = [
        Stratum(str(i), population, n := max(1, int(share * population)), tuple(counts[:n]))
        for i, (population, share, counts) in enumerate(drawn)
    ]
    of = overall(*strata)
    unchecked = sum(stratum.unchecked for stratum in strata)
    for figure in (of.missed_images, of.missed_faces, of.left_images, of.left_faces):
        assert 0 <= figure.low <= figure.value + 1e-9
        assert figure.value <= figure.high + 1e-9 < inf
    assert of.left_images.high <= unchecked
    assert (of.left_images.high >= 1) == (of.left_faces.high >= 1)
    assert of.left_faces.high >= of.left_images.high
    assert of.missed_images.low >= of.found_images


def test_a_face_is_missed_unless_the_covers_hold_most_of_it() -> None:
    face = (10.0, 10.0, 30.0, 30.0)
    assert missed_faces([face], [face], expand=0.25) == 0
    assert missed_faces([face], [(12.0, 12.0, 28.0, 28.0)], expand=0.25) == 0  # grown, it holds it
    assert missed_faces([face], [(24.0, 10.0, 44.0, 30.0)], expand=0.0) == 1
    assert missed_faces([face, (50.0, 50.0, 60.0, 60.0)], [face], expand=0.0) == 1


# how many more


def test_a_plan_is_as_narrow_as_wanted_and_no_larger() -> None:
    strata = [
        Stratum("nothing", 40_000, 400, (1,) * 4),
        Stratum("faces", 10_000, 100, (1,) * 5),
        Stratum("rare", 30, 0),
    ]
    planned = effort.plan(strata, 0.004)
    assert planned.half_width <= 0.004
    assert planned.more == sum(part.more for part in planned.strata)
    assert all(
        part.size - of.checked == part.more for part, of in zip(planned.strata, strata, strict=True)
    )
    assert all(part.size >= 20 for part in planned.strata)
    # Neyman: in proportion to the population and the deviation of one image.
    nothing, faces = planned.strata[:2]
    rates = [4.5 / 401, 5.5 / 101]
    wanted = 4 * np.sqrt(rates[0] * (1 - rates[0]) / (rates[1] * (1 - rates[1])))
    assert nothing.size / faces.size == pytest.approx(wanted, rel=0.01)
    assert effort.plan(strata, 0.002).more > planned.more
    wider = effort.plan(strata, 0.0041)
    assert 0 < wider.more < planned.more


def test_a_plan_that_is_followed_gives_the_width() -> None:
    strata = [Stratum("a", 100_000, 500, (1,) * 5)]
    planned = effort.plan(strata, 0.003)
    hits = round(planned.strata[0].size * 5.5 / 501)
    of = overall(Stratum("a", 100_000, planned.strata[0].size, (1,) * hits))
    got = (of.left_images.high - of.left_images.low) / 2 / 100_000
    assert got == pytest.approx(0.003, rel=0.03)


def test_a_plan_ends_with_all_images() -> None:
    planned = effort.plan([Stratum("a", 30, 0)], 1e-6)
    assert planned.more == 30
    assert planned.half_width == 0
    assert effort.plan([Stratum("a", 1000, 1000)], 0.01).more == 0


@pytest.mark.parametrize("wrong", [0.0, -0.1, 0.6, float("nan")])
def test_a_plan_needs_a_width(wrong: float) -> None:
    with pytest.raises(UsageError, match="half width"):
        effort.plan([Stratum("a", 30, 0)], wrong)


# honesty


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("estimator", BENCHMARKS / "estimator.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["estimator"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_95_percent_intervals_hold_the_truth_in_93_to_99_percent(benchmark: ModuleType) -> None:
    rows = benchmark.rows(benchmark.simulate(2000, seed=5))
    for figure in benchmark.FIGURES:
        of = {row["cut"]: row for row in rows if row["figure"] == figure}
        assert of["all rates"]["intervals"] == 2000
        assert 0.93 <= of["all rates"]["coverage"] <= 0.99, (figure, of["all rates"])
        for cut in ("0.1 to 0.3 %", "0.3 to 1 %", "1 to 3 %", "3 to 10 %"):
            assert of[cut]["intervals"] > 300
            assert of[cut]["coverage"] >= 0.93, (figure, of[cut])
        assert of["all rates"]["truth_above"] <= 0.025  # the end that a privacy officer reads


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_intervals_hold_the_truth_of_samples_drawn_by_key(benchmark: ModuleType) -> None:
    rows = benchmark.rows(benchmark.simulate(60, seed=6, draw=True))
    for row in rows:
        if row["cut"] == "all rates":
            assert row["intervals"] == 60
            assert row["coverage"] >= 0.88, row  # 0.95 less three standard errors


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_honesty_test_sees_an_interval_that_is_too_narrow(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the event that nobody saw, the upper end is too low: the simulation must say so."""
    honest = intervals.gamma

    def short(total: float, variance: float, heaviest: object, level: float) -> tuple[float, float]:
        return honest(total, variance, (0.0, 0.0), level)

    monkeypatch.setattr(intervals, "gamma", short)
    rows = benchmark.rows(benchmark.simulate(600, seed=5))
    of = {row["figure"]: row for row in rows if row["cut"] == "all rates"}
    assert of["left_faces"]["coverage"] < 0.93


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_intervals_hold_the_truth_if_people_miss_faces_at_a_known_rate(
    benchmark: ModuleType,
) -> None:
    rows = benchmark.rows(benchmark.imperfect(150, seed=7, recall=0.7))
    of = {row["figure"]: row["coverage"] for row in rows if row["cut"] == "all rates"}
    assert of["faces, corrected"] >= 0.93
    assert of["images, corrected"] >= 0.93
    assert of["faces, as if perfect"] < 0.9  # what the correction is for


def test_a_sentence_tells_strata_that_were_seen_whole_from_the_sample() -> None:
    strata = [Stratum("a", 24, 24, (1,)), Stratum("b", 36, 7)]
    told = sentence(estimate(strata))
    assert "Of 60 images, people checked all 24 of some strata, and of the others 7 drawn" in told
