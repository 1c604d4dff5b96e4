from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# (2, n) each: the old pixels that n new ones lie between, and their weights
Neighbours: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32]]

def neighbours(size: int, new_size: int) -> Neighbours: ...
def enlarge(
    image: NDArray[np.uint8],
    planes: NDArray[np.float32],
    across: Neighbours,
    down: Neighbours,
    order: tuple[int, int, int],
) -> None: ...
