from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from sfumato.stats.bootstrap import Group, bootstrap
from sfumato.study.analysis.estimates import (
    ONE_SEED,
    contrast,
    contrasts,
    equivalence,
    over_models,
    standard_error,
)
from sfumato.study.analysis.measures import mcnemar


def pair(seed: int = 0, n: int = 400, seeds: int = 3, loss: float = 0.1) -> list[Group]:
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.3, 1, n)
    return [
        Group(-1, rng.random((seeds, n)) < chance),
        Group(1, rng.random((seeds, n)) < chance - loss),
    ]


def test_the_value_is_the_difference_of_the_means() -> None:
    groups = pair()
    found = contrast(groups)
    assert found.value == pytest.approx(groups[1].values.mean() - groups[0].values.mean())
    assert found.low < found.value < found.high
    assert (found.n, found.trainings) == (400, 6)


def test_variance_is_that_of_seeds_and_of_images_by_textbook_mean_squares() -> None:
    # One group: rows are seeds, columns images; mean squares written out, cell by cell.
    y = np.random.default_rng(1).normal(size=(4, 30)) + np.linspace(0, 5, 30)
    rows, columns, grand = y.mean(axis=1), y.mean(axis=0), y.mean()
    ms_seed = 30 * sum((r - grand) ** 2 for r in rows) / 3
    ms_image = 4 * sum((c - grand) ** 2 for c in columns) / 29
    rest = sum((y[s, i] - rows[s] - columns[i] + grand) ** 2 for s in range(4) for i in range(30))
    ms_rest = rest / (3 * 29)
    expected = (ms_seed + max(0.0, ms_image - ms_rest)) / 120
    found = contrast([Group(1, y)])
    assert found.se**2 == pytest.approx(expected)
    seeds, images = ms_seed / 120, (ms_image - ms_rest) / 120
    # Degrees of freedom weighed by the shares of the variance: 3 of four seeds, 29 of 30 images.
    assert found.df == pytest.approx(expected / (seeds / 3 + images / 29))
    assert found.cautious_df == pytest.approx(found.df)
    half = stats.t.ppf(0.975, found.df) * expected**0.5
    assert found.high - found.value == pytest.approx(half)


def test_degrees_of_freedom_of_two_trainings_lie_between_those_of_each_and_their_sum() -> None:
    # No image adds anything, so the seeds' means alone count: three and five of them.
    means = [np.array([0.0, 1, 2]), np.array([0.0, 1, 1, 0, 3])]
    groups = [Group(w, np.tile(m[:, None], 20)) for w, m in zip((-1, 1), means, strict=True)]
    a, b = 1 / 3, 1.5 / 5  # s²/S, by hand
    found = contrast(groups)
    assert found.se**2 == pytest.approx(a + b)
    welch = (a + b) ** 2 / (a**2 / 4 + b**2 / 6) - 2
    assert found.df == pytest.approx(min(welch, 2 + 4)) == 6
    assert found.cautious_df == pytest.approx((a + b) ** 2 / (a**2 / 2 + b**2 / 4))
    one_sided = [groups[0], Group(0.2, groups[1].values)]
    b *= 0.2**2
    assert contrast(one_sided).df == pytest.approx((a + b) ** 2 / (a**2 / 4 + b**2 / 6) - 2)


def test_what_lies_between_strata_does_not_vary() -> None:
    # Two classes that differ much: textbook variance within each, of three models together.
    rng = np.random.default_rng(6)
    label = np.array([0] * 20 + [1] * 20)
    y = rng.normal(0, 1, 40) + rng.normal(0, 0.1, (3, 40)) + 10 * label
    y += rng.normal(0, 0.5, (3, 1)) + np.where(label, 1, -1) * rng.normal(0, 0.5, (3, 1))
    within, rest = 0.0, 0.0
    for k in (0, 1):
        z = y[:, label == k]
        within += 19 * z.mean(axis=0).var(ddof=1)
        rest += ((z - z.mean(axis=1, keepdims=True) - z.mean(axis=0) + z.mean()) ** 2).sum()
    seeds = y.mean(axis=1).var(ddof=1) / 3
    images = within / 38 / 40 - rest / (2 * 38) / (40 * 3)
    found = contrast([Group(1, y)], label)
    assert found.se**2 == pytest.approx(seeds + images)
    assert found.df == pytest.approx((seeds + images) / (seeds / 2 + images / 38))
    assert found.value == pytest.approx(contrast([Group(1, y)]).value)
    assert found.se < 0.6 * contrast([Group(1, y)]).se


def test_a_stratum_counts_as_its_images_do() -> None:
    # Strata of 6, 10 and 1 images: sum of n_k s_k² over n², the single image as the others' mean.
    y = np.random.default_rng(7).normal(0, np.repeat([5.0, 1, 1], [6, 10, 1]))
    variance = [y[:6].var(ddof=1), y[6:16].var(ddof=1)]
    total = 6 * variance[0] + 10 * variance[1]
    found = contrast([Group(1, y[None], fixed=True)], np.repeat([0, 1, 2], [6, 10, 1]))
    assert found.se**2 == pytest.approx(total * 17 / 16 / 17**2)
    assert found.df == 14


def test_strata_of_few_images_are_one() -> None:
    y = np.random.default_rng(8).normal(0, 1, 17)
    small = np.repeat([0, 1, 2, 3], [2, 3, 4, 8])  # the first three have nine images together
    joined = np.repeat([0, 3], [9, 8])
    first, second = (contrast([Group(1, y[None], fixed=True)], one) for one in (small, joined))
    assert first == second
    assert first.se**2 == pytest.approx((9 * y[:9].var(ddof=1) + 8 * y[9:].var(ddof=1)) / 17**2)
    assert contrast([Group(1, y[None], fixed=True)], np.arange(17)) == contrast(
        [Group(1, y[None], fixed=True)]
    )


@pytest.mark.parametrize("size", [1, 2, 6])
def test_strata_that_differ_from_one_another_alone_prove_nothing(size: int) -> None:
    """One class of nine lost all of its images, the others none: that may well be chance."""
    y = np.zeros(9 * size)
    y[:size] = -1
    found = contrast([Group(1, y[None], fixed=True)], np.repeat(np.arange(9), size))
    assert found.value == pytest.approx(-1 / 9)
    assert found.se == pytest.approx(float(np.std(y, ddof=1)) / len(y) ** 0.5)
    if size < 6:
        assert found.low < 0 < found.high
        assert found.cautious_p > 0.05


def test_strata_of_single_images_are_none() -> None:
    groups, parts = pair()[:1], np.repeat([0, 1], 200)
    strata = np.concatenate([np.arange(200) % 150, np.arange(200) % 2])
    found = contrasts(groups, parts, 2, strata)
    plain = contrasts(groups, parts, 2)
    assert found[0] == plain[0]  # 200 images of 150 strata
    assert found[1].se != plain[1].se
    inside = parts == 1
    alone = [Group(g.weight, g.values[:, inside], g.fixed) for g in groups]
    assert found[1].se == pytest.approx(contrast(alone, strata[inside]).se)


def test_many_seeds_of_unrelated_images_come_to_the_paired_t_test_over_seeds() -> None:
    # Where images add nothing of their own, only the seeds' means count.
    y = np.random.default_rng(2).normal(size=(8, 4000))
    y -= y.mean(axis=0)  # no image effect at all
    y += np.random.default_rng(3).normal(size=(8, 1))
    found = contrast([Group(1, y)])
    seeds = y.mean(axis=1)
    assert found.se == pytest.approx(stats.sem(seeds))
    assert found.df == pytest.approx(7)
    assert found.p == pytest.approx(stats.ttest_1samp(seeds, 0).pvalue)


def test_a_model_that_is_not_trained_anew_has_an_interval_over_images() -> None:
    y = np.random.default_rng(4).normal(0.1, 1, (1, 500))
    found = contrast([Group(1, y, fixed=True)])
    assert found.se == pytest.approx(stats.sem(y[0]))
    assert found.p == pytest.approx(stats.ttest_1samp(y[0], 0).pvalue)


def test_one_seed_has_no_interval_and_says_why() -> None:
    found = contrast([Group(1, np.ones((1, 50))), Group(-1, np.zeros((3, 50)))])
    assert found.value == 1
    assert found.why == ONE_SEED
    assert np.isnan([found.low, found.high, found.se, found.p]).all()
    assert found.summary()["interval"] == f"not estimable: {ONE_SEED}"
    assert found.summary()["low"] is None
    assert not equivalence(found, 2).holds
    assert np.isnan(bootstrap([Group(1, np.ones((1, 50)))], np.random.default_rng())).all()


def test_parts_are_what_each_is_alone() -> None:
    groups = pair()
    parts = np.arange(400) % 3 - 1
    found = contrasts(groups, parts, 2)
    for part in (0, 1):
        alone = contrast([Group(g.weight, g.values[:, parts == part]) for g in groups])
        assert found[part].value == pytest.approx(alone.value)
        assert found[part].se == pytest.approx(alone.se)
        assert found[part].df == pytest.approx(alone.df)
    assert contrasts(groups, np.full(400, -1), 1)[0].why == "fewer than two images"


def test_nothing_changed_is_not_certainty() -> None:
    same = np.ones((3, 50))
    found = contrast([Group(1, same), Group(-1, same)])
    assert (found.value, found.p) == (0, 1)
    # Clopper-Pearson of 0 in 50
    assert found.high == pytest.approx(stats.beta.ppf(0.975, 1, 50))
    assert found.low == -found.high


@pytest.mark.parametrize("flips", [1, 4])
def test_a_few_of_very_many_predictions_prove_nothing(flips: int) -> None:
    """15 networks, three seeds and 50,000 images: their variance is real, though below 1e-12."""
    groups = [Group(1 / 15, np.zeros((3, 50_000))) for _ in range(15)]
    for i in range(flips):
        groups[0].values[i % 3, 7 * i] = 1
    found = contrast(groups, np.arange(50_000) % 1000)
    assert found.value == pytest.approx(flips / 45 / 50_000)
    assert found.low < found.value < found.high < 1e-5
    assert found.cautious_p >= (0.3 if flips == 1 else 0.01)


def test_what_cancels_out_but_for_rounding_is_nothing() -> None:
    rng = np.random.default_rng(9)
    values = rng.random((3, 400))
    groups = [Group(w / 7, values[:1], fixed=True) for w in (1, 1, 1, -1, -1, -1)]
    found = contrast(groups)
    assert abs(found.value) < 1e-15
    assert (found.p, found.cautious_p) == (1, 1)


def test_seeds_that_agree_by_chance_do_not_make_an_interval_narrow() -> None:
    y = np.zeros((3, 40))
    y[0, 0], y[1, 1], y[2, 2] = 1, 1, 1  # the same mean in each seed
    found = contrast([Group(1, y)])
    assert found.se == pytest.approx(stats.sem(y.mean(axis=0)))
    assert found.df == 39


def test_equivalence_is_two_one_sided_tests() -> None:
    found = contrast(pair(loss=0.0))
    for margin in (0.01, 0.05, 0.2):
        test = equivalence(found, margin)
        upper = stats.t.cdf((found.value - margin) / found.se, found.cautious_df)
        lower = stats.t.sf((found.value + margin) / found.se, found.cautious_df)
        assert test.p == pytest.approx(max(upper, lower))
        assert test.p_no_worse == pytest.approx(lower)
        # The same as a 90 % interval inside the margin
        half = stats.t.ppf(0.95, found.cautious_df) * found.se
        assert test.holds == (-margin < found.value - half and found.value + half < margin)
    with pytest.raises(ValueError, match="positive"):
        equivalence(found, 0)


def test_models_as_a_sample_are_a_paired_t_test() -> None:
    differences = [0.2, 0.7, 0.5, 0.9]
    found = over_models(differences)
    expected = stats.ttest_1samp(differences, 0)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert over_models([0.4]).why == "fewer than two models"


def test_the_published_standard_error_was_a_root_of_two_too_large() -> None:
    values = [70.1, 69.8, 70.4]
    assert stats.sem(values, ddof=2) / standard_error(values) == pytest.approx(2**0.5)
    assert standard_error(values) == pytest.approx(stats.sem(values))
    assert np.isnan(standard_error([1.0]))


def test_mcnemar_is_the_binomial_test_of_what_differs() -> None:
    before = np.array([1] * 12 + [0] * 4 + [1] * 50 + [0] * 10, dtype=bool)
    after = np.array([0] * 12 + [1] * 4 + [1] * 50 + [0] * 10, dtype=bool)
    found = mcnemar(before, after)
    assert (found.lost, found.gained, found.n) == (12, 4, 76)
    assert found.exact == pytest.approx(stats.binomtest(4, 16).pvalue)
    tail = sum(stats.binom.pmf(k, 16, 0.5) for k in range(4)) + stats.binom.pmf(4, 16, 0.5) / 2
    assert found.mid_p == pytest.approx(2 * tail)
    even = mcnemar(before, ~before)
    assert even.exact <= 1
    assert mcnemar(before, before).exact == 1


def half_and_half() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return np.array([True, False] * 5), np.array([False, True] * 5)


def test_as_many_lost_as_gained_is_no_difference() -> None:
    found = mcnemar(*half_and_half())
    assert found.exact == 1
    assert found.mid_p == pytest.approx(1 - stats.binom.pmf(5, 10, 0.5))


def test_the_bootstrap_agrees_with_the_variance_that_they_draw_from() -> None:
    # 40 seeds: nothing is lost by drawing few of them. Images are hard for all models alike.
    rng = np.random.default_rng(5)
    hard = rng.normal(0, 1, 60)
    y = hard + rng.normal(0, 0.2, (40, 60))
    group = [Group(1, y)]
    low, high = bootstrap(group, np.random.default_rng(0), rounds=800)
    found = contrast(group)
    assert (high - low) / (found.high - found.low) == pytest.approx(1, abs=0.15)
