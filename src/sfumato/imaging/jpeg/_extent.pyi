import numpy as np
from numpy.typing import NDArray

def fill_steps(entries: NDArray[np.int32], steps: NDArray[np.int32]) -> None: ...
def passed_over(
    words: NDArray[np.uint64],
    entries: NDArray[np.int32],
    steps: NDArray[np.int32],
    tables: NDArray[np.int32],
    owners: NDArray[np.int32],
    at: int,
    end: int,
    mcus: int,
) -> int: ...
