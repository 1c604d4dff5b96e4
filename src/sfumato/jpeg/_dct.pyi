import numpy as np
from numpy.typing import NDArray

def inverse(
    coefficients: NDArray[np.int16],
    numbers: NDArray[np.int32],
    steps: NDArray[np.float32],
    exact: NDArray[np.float32],
) -> None: ...
def forward(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    exact: NDArray[np.float32],
    numbers: NDArray[np.int32],
    steps: NDArray[np.float32],
    largest: NDArray[np.float32],
    coefficients: NDArray[np.int16],
    touched: NDArray[np.uint8],
) -> None: ...
