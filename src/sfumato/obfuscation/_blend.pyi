import numpy as np
from numpy.typing import NDArray

def fill_weights(
    weights: NDArray[np.uint8], dx: NDArray[np.float64], dy: NDArray[np.float64]
) -> None: ...
def blend(
    below: NDArray[np.uint8], cover: NDArray[np.uint8], weights: NDArray[np.uint8]
) -> None: ...
