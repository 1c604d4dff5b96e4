"""McNemar's test: two models on the same images, judged by the images on which they differ.

It takes both models as they are. That one training differs from another is no surprise: two
trainings on the *same* images do as well. So it stands beside the interval over seeds and
never in its place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sfumato.types import JSON


@dataclass(frozen=True, slots=True)
class McNemar:
    """The images that only one of two models gets right, and two p values for equal chances.

    `exact` is the binomial test; `mid_p` counts the observed case half, which brings its error
    close to what it promises (Fagerland, Lydersen and Laake 2013).
    """

    lost: int
    gained: int
    n: int
    exact: float
    mid_p: float

    def summary(self) -> JSON:
        """Return the test for `study.json`."""
        return {
            "lost": self.lost,
            "gained": self.gained,
            "n": self.n,
            "p_exact": self.exact,
            "p_mid": self.mid_p,
        }


def mcnemar(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> McNemar:
    """Compare two models: whether each gets each of n images right."""
    lost = int(np.count_nonzero(before & ~after))
    gained = int(np.count_nonzero(after & ~before))
    differ = lost + gained
    if not differ:
        return McNemar(0, 0, len(before), 1.0, 1.0)
    fewer = min(lost, gained)
    tail = float(special.bdtr(fewer, differ, 0.5))
    observed = tail - (float(special.bdtr(fewer - 1, differ, 0.5)) if fewer else 0.0)
    exact = min(1.0, 2 * tail)
    mid = 1 - observed if lost == gained else exact - observed
    return McNemar(lost, gained, len(before), exact, mid)
