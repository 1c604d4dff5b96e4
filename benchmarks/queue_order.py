"""How long the draw and the order of the queue take, and how much memory, on made-up detections.

    python benchmarks/queue_order.py --images 1500000

The memory is what the process grows by; the detections are made anew on every pass and take none.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np

from sfumato.review import planning, sampling
from sfumato.types import Detection, Face


class Images:
    """Detections made anew on every pass, so that they take no memory: 1,000 classes."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __iter__(self) -> Iterator[Detection]:
        rng = np.random.default_rng(0)
        scores = rng.random(4096).tolist()
        for i in range(self.number):
            score = scores[i % 4096]
            faces: tuple[Face, ...] = ()
            candidates: tuple[Face, ...] = ()
            if i % 6 == 0:
                faces = (Face((10, 10, 50, 60), 0.5 + score / 2, "finder@default:P"),)
            if i % 17 == 0:
                candidates = (Face((90, 20, 110, 50), score / 2, "finder@default:P"),)
            yield Detection(f"n{i % 1000:08d}/{i}.JPEG", "0" * 64, 500, 375, faces, candidates)


def peak_mb() -> float:
    """Return the most memory that the process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Draw, order, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1_500_000)
    parser.add_argument("--size", type=int, default=3000, help="images of the sample")
    given = parser.parse_args()
    images = Images(given.images)
    before, start = peak_mb(), time.perf_counter()
    made = sum(1 for _ in images)
    print(f"made {made:,} detections once: {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    drawn = sampling.draw(images, given.size, np.random.default_rng(0))
    print(f"draw, two passes: {time.perf_counter() - start:.1f} s, {peak_mb() - before:.0f} MB")
    start = time.perf_counter()
    items = sum(1 for _ in planning.order(images, drawn, rules=planning.Rules(least=0)))
    print(
        f"order, two passes: {time.perf_counter() - start:.1f} s for {items:,} items, "
        f"{peak_mb() - before:.0f} MB in all"
    )


if __name__ == "__main__":
    main()
