"""How steadily people place sides: found again from boxes made with known spreads."""

from __future__ import annotations

import numpy as np
import pytest

from sfumato.review.existence import Priors
from sfumato.review.localisation import settle, spreads
from sfumato.review.places import places
from tests.review_answers import box, drawn, said

PRIORS = Priors()


@pytest.mark.slow
@pytest.mark.parametrize("known", [0, 200])
def test_spreads_are_found_again_with_and_without_a_truth(known: int) -> None:
    rng = np.random.default_rng(0)
    sigma = np.array([0.03, 0.08, 0.2])
    place, person = (i.ravel() for i in np.indices((400, 3)))
    sides = rng.normal(0, sigma[person][:, None], (1200, 4))
    away = rng.normal(0, 1, (400, 4)) * (np.arange(400) >= known)[:, None]
    truths = np.where(np.arange(400) < known, 0.0, np.nan)
    table = np.stack([place, person], axis=1)
    found = settle(table, sides + away[place], truths, 3, Priors(firm=0.01))
    np.testing.assert_allclose(found, sigma, rtol=0.08)
    # The usual prior draws the steadiest towards 0.1, and changes no order.
    found = settle(table, sides + away[place], truths, 3, PRIORS)
    assert 0.03 < found[0] < 0.05 < found[1] < 0.09 < found[2]


def test_who_never_drew_beside_another_has_the_usual_spread() -> None:
    found = places([said("ann", drawn(box(0), box(40))), said("ben", drawn(box(80)))])
    assert spreads(found, {"ann": 0, "ben": 1}, PRIORS).tolist() == pytest.approx([0.1, 0.1])


def test_who_keeps_to_the_truth_is_steadier() -> None:
    gold = drawn(*(box(40 * i) for i in range(20)))
    shaky = drawn(*(box(40 * i + 2, 1) for i in range(20)))
    found = places([said("ann", gold), said("ben", shaky)], gold)
    ann, ben = spreads(found, {"ann": 0, "ben": 1}, PRIORS).tolist()
    assert ann < 0.04
    # Ben is off by 2 and by 1 of 10 pixels.
    assert ben == pytest.approx(np.sqrt((0.2**2 + 0.1**2) / 2), abs=0.01)
