import numpy as np
from numpy.typing import NDArray

def unfilter(rows: NDArray[np.uint8], step: int) -> bool: ...
