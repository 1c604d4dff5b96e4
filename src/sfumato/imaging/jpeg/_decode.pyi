import numpy as np
from numpy.typing import NDArray

def unstuffed(data: bytes | memoryview, words: NDArray[np.uint64]) -> tuple[int, ...]: ...
def same_bits(
    a: NDArray[np.uint64], at: int, b: NDArray[np.uint64], other: int, count: int
) -> bool: ...

class ScanReader:
    def __init__(
        self,
        words: NDArray[np.uint64],
        entries: NDArray[np.int32],
        tables: NDArray[np.int32],
        order: NDArray[np.int32],
        owners: NDArray[np.int32],
        coefficients: NDArray[np.int16],
        busy: NDArray[np.uint8],
        last_dc: NDArray[np.int32],
    ) -> None: ...
    def sequential(
        self,
        at: int,
        end: int,
        mcu: int,
        stop: int,
        positions: NDArray[np.int64],
        first_of_interval: bool = True,
    ) -> int: ...
    def dc_first(self, at: int, end: int, mcu: int, stop: int, low: int) -> int: ...
    def dc_refine(self, at: int, end: int, mcu: int, stop: int, low: int) -> int: ...
    def ac_first(
        self, at: int, end: int, mcu: int, stop: int, first: int, last: int, low: int
    ) -> int: ...
    def ac_refine(
        self, at: int, end: int, mcu: int, stop: int, first: int, last: int, low: int
    ) -> int: ...
