"""Tell the large tables of TIFF that decoders need from pixels under the number of one."""

from __future__ import annotations

from typing import Final

import numpy as np

_SMALL: Final = 1536  # bytes: three curves of 256 values, two each; most tables are smaller
_OFFSETS: Final = frozenset((288, 289, 330))
_CURVES: Final = frozenset((291, 301, 320))
_CURVE_SIZES: Final = (131072, 393216)  # one or three of 65536 values
_DOUBLES: Final = frozenset((33550, 33922, 34264, 34736))  # positions on the earth
_FEW: Final = frozenset((532, 34856, 41484, 41730))  # a few numbers
_DOUBLE: Final = 12  # a type
_TINY, _HUGE = 1e-15, 1e15


def is_table(number: int, kind: int, value: bytes, order: str, size: int) -> bool:
    """Tell whether the value of a tag of tables can be one, in a file of so many bytes.

    Only large ones are doubted, and only where pixels would look different.
    """
    if len(value) <= _SMALL:
        return True
    if number in _OFFSETS:
        places = np.frombuffer(value[: len(value) // 4 * 4], order + "u4")
        return kind == 16 or bool((places <= size).all())
    if number in _CURVES:
        return len(value) in _CURVE_SIZES
    if number in _DOUBLES:
        numbers = np.abs(np.frombuffer(value[: len(value) // 8 * 8], order + "f8"))
        sound = (numbers == 0) | ((numbers > _TINY) & (numbers < _HUGE))
        return kind == _DOUBLE and bool(sound.all())
    return number not in _FEW
