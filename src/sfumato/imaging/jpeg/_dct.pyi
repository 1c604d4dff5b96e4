from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_OF_COEFFICIENTS: np.dtype[np.void]
TOP_OPEN: int
LEFT_OPEN: int
BOTTOM_OPEN: int
RIGHT_OPEN: int

def inverse(
    coefficients: NDArray[Any],
    numbers: NDArray[np.int32],
    steps: NDArray[np.float32],
    rounded: NDArray[np.uint8],
) -> None: ...
def forward(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    numbers: NDArray[np.int32],
    steps: NDArray[np.float32],
    units: NDArray[np.float32],
    largest: NDArray[np.float32],
    coefficients: NDArray[Any],
    touched: NDArray[np.uint8],
    goes_on: int,
) -> None: ...
