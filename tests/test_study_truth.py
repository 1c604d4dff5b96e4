"""A reduced run of benchmarks/study_truth.py: what was planted is found, and nothing else."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "study_truth.py"
DRAWS = 60
IMAGES = 200  # a class, where power isn't asked for; that is promised at the benchmark's 400


@pytest.fixture(scope="module")
def truth() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study_truth", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["study_truth"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def drawn(truth: ModuleType, name: str, images: int = IMAGES) -> tuple[Counter[str], float]:
    """Return how often each thing was so, and the share of class intervals that hold the truth."""
    counts: Counter[str] = Counter()
    held: list[bool] = []
    for draw in range(DRAWS):
        one = truth.analyse(truth.EFFECTS[name], np.random.default_rng([1, draw]), images)
        counts.update(what for what, so in one.counts.items() if so)
        held += one.classes
    return counts, float(np.mean(held)) if held else float("nan")


def at_most(count: int, share: float) -> bool:
    """Tell whether a count of DRAWS is no evidence (p < 0.001) for more than this share."""
    return bool(stats.binom.sf(count - 1, DRAWS, share) > 0.001)


def at_least(count: int, share: float) -> bool:
    """Tell whether a count of DRAWS is no evidence (p < 0.001) for less than this share."""
    return bool(stats.binom.cdf(count, DRAWS, share) > 0.001)


def test_the_tolerance_can_be_missed() -> None:
    assert at_most(3, 0.05)
    assert not at_most(11, 0.05)
    assert at_least(50, 0.9)
    assert not at_least(44, 0.9)


@pytest.mark.slow
def test_nothing_planted_nothing_found(truth: ModuleType) -> None:
    counts, held = drawn(truth, "nothing")
    assert at_most(counts["a class that is the same is found (Holm)"], 0.05)
    assert at_most(counts["a pair that doesn't swap is found (Holm)"], 0.05)
    assert at_most(counts["overall difference found (p < 0.05)"], 0.05)
    assert at_least(counts["overall interval holds the truth"], 0.95)
    assert 0.93 < held < 0.97  # of 2,400 intervals


@pytest.mark.slow
def test_a_difference_as_large_as_the_margin_is_not_called_equivalent(truth: ModuleType) -> None:
    counts, _ = drawn(truth, "as much as the margin")
    assert at_most(counts["called equivalent within 1 point"], 0.05)
    assert at_least(counts["overall interval holds the truth"], 0.95)


@pytest.mark.slow
def test_six_tenths_of_a_point_everywhere_are_found(truth: ModuleType) -> None:
    counts, _ = drawn(truth, "0.6 points everywhere", truth.IMAGES)
    assert at_least(counts["overall difference found (p < 0.05)"], 0.9)
    assert at_least(counts["overall interval holds the truth"], 0.95)


@pytest.mark.slow
def test_a_class_that_loses_is_found_and_no_other(truth: ModuleType) -> None:
    counts, held = drawn(truth, "one class loses 9 points", truth.IMAGES)
    assert at_least(counts["every class that differs is found (Holm)"], 0.9)
    assert at_most(counts["a class that is the same is found (Holm)"], 0.05)
    assert 0.93 < held < 0.97


@pytest.mark.slow
def test_a_pair_that_swaps_is_found_and_its_sum_stays(truth: ModuleType) -> None:
    counts, _ = drawn(truth, "a pair swaps 12 points")
    assert at_least(counts["the pair that swaps is found (Holm)"], 0.9)
    assert at_most(counts["a pair that doesn't swap is found (Holm)"], 0.05)
    assert at_least(counts["interval of a pair's sum holds the truth"], 0.95)
    assert at_least(counts["swap's interval holds the truth"], 0.95)
