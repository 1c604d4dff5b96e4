from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sfumato.study.analysis.estimates import standard_error
from sfumato.study.published import MODELS, averages


def test_the_published_averages_come_out() -> None:
    # As printed in the published table's last row; costs are rounded to three digits there.
    top1, top5 = averages("top1"), averages("top5")
    assert len(MODELS) == 15
    assert top1.original == pytest.approx(70.023, abs=5e-4)
    assert top1.means == pytest.approx((69.368, 69.126), abs=7e-4)
    assert top5.original == pytest.approx(89.048, abs=5e-4)
    assert top5.means == pytest.approx((88.630, 88.356), abs=7e-4)
    assert [-c.value for c in top1.changes] == pytest.approx([0.655, 0.897], abs=7e-4)
    assert [-c.value for c in top5.changes] == pytest.approx([0.418, 0.692], abs=7e-4)


def test_the_test_that_was_not_made() -> None:
    blurred, overlaid = averages("top1").changes
    assert -blurred.value / blurred.se == pytest.approx(12.9, abs=0.05)
    assert -overlaid.value / overlaid.se == pytest.approx(16.5, abs=0.05)
    costs = [model.top1_costs[0] for model in MODELS]
    assert np.std(costs, ddof=1) == pytest.approx(0.196, abs=1e-3)
    expected = stats.ttest_1samp([-cost for cost in costs], 0)
    assert blurred.p == pytest.approx(expected.pvalue)
    assert (blurred.low, blurred.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_standard_errors_were_too_large_by_the_root_of_two() -> None:
    # Three seeds: s/√3 with 3 - 2 in place of 3 - 1 below the squares.
    for seeds in ([56.0, 56.1, 55.9], [70.2, 70.5, 69.1]):
        assert stats.sem(seeds, ddof=2) / standard_error(seeds) == pytest.approx(2**0.5)
