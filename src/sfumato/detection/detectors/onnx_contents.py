"""What lies outside an ONNX file: weights in other files, which no hash of the file covers.

ONNX Runtime looks for them in the folder it is started in when it is given the bytes of a model,
and wherever `location` leads. So a model is walked through before it is loaded: the messages of
onnx.proto that can hold a tensor, as protobuf writes them
(https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_LOCATION: Final = 14  # TensorProto.data_location; 1 is EXTERNAL
_EXTERNAL: Final = 13  # TensorProto.external_data: entries of key and value
# Of each message, the fields that may hold a tensor somewhere, and what message they are.
_INSIDE: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5


def outside(model: bytes) -> str | None:
    """Return where the first tensor that isn't in the file lies ("?" if it doesn't say), or None.

    Raises:
        ValueError: it is no protobuf, or in ONNX Runtime's own format, which can't be looked into.
    """
    if model[4:8] == b"ORTM":
        raise ValueError("it is in ONNX Runtime's own format (.ort), not ONNX")
    left = [("model", memoryview(model))]
    while left:
        kind, message = left.pop()
        for number, value in _fields(message):
            if kind == "tensor" and (number == _EXTERNAL or (number == _LOCATION and value != 0)):
                return _place(message)
            if number in _INSIDE[kind] and isinstance(value, memoryview):
                left.append((_INSIDE[kind][number], value))
    return None


def _place(tensor: memoryview) -> str:
    for number, entry in _fields(tensor):
        if number == _EXTERNAL and isinstance(entry, memoryview):
            parts = {n: bytes(v) for n, v in _fields(entry) if isinstance(v, memoryview)}
            if parts.get(1) == b"location":
                return parts.get(2, b"?").decode("utf-8", "backslashreplace")
    return "?"


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field; a value is a number, or the bytes of what it holds."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if wire not in (_EIGHT, _LENGTH, _FOUR):
            raise ValueError("it is no protobuf")
        length = {_EIGHT: 8, _FOUR: 4}.get(wire, 0)
        if wire == _LENGTH:
            length, at = _varint(message, at)
        if at + length > len(message):
            raise ValueError("it ends too early")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    found = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("it ends too early")
        byte = message[at]
        at += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return found, at
    raise ValueError("it is no protobuf")
