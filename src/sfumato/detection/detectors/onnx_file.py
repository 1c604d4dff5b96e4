"""Any face detector in an ONNX file, told by a description how to use it (`onnx:FILE`).

A model comes from anywhere: it is tried when the detector is made, and refused in a sentence if
it isn't what its description says. What only shows on some image later costs that image.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from sfumato.detection.detectors import devices
from sfumato.detection.detectors.canvas import fill, lay
from sfumato.detection.detectors.description import Description, read
from sfumato.detection.detectors.network import REFUSALS, Model, decoded, first_line, search
from sfumato.detection.detectors.session import check
from sfumato.errors import UsageError
from sfumato.types import Face, Pixels

PREFIX: Final = "onnx:"
_TYPES: Final[dict[str, type[np.floating[Any]]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
_TRIED: Final = (64, 96)  # height and width of the images that a model is tried on, at least


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """Find faces with a described ONNX file; `path` is the description or the model beside it.

    `long_side` and `threshold` are those of the description unless given; a network with one
    fixed input size has no `long_side`. Raises `UsageError`, which says what to do, if the files
    can't be read or don't fit each other, `ValueError` if a number can't be used.
    """

    path: Path
    long_side: int | None = None
    threshold: float | None = None
    device: str = devices.CPU
    weights_sha256: str = field(default="", init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(os.path.abspath(self.path)))
        devices.check(self.device)
        described, model = _files(self.path)
        if described.input.size is not None and self.long_side is not None:
            width, height = described.input.size
            raise UsageError(f"{self.path} takes {width} × {height} pixels only: leave @SIDE out.")
        if described.input.size is None:
            object.__setattr__(self, "long_side", self._side(described))
        object.__setattr__(self, "threshold", self._least(described))
        check(self._side(described), self._least(described))
        object.__setattr__(self, "weights_sha256", described.sha256(model))
        self._model()

    @property
    def name(self) -> str:
        """Return the versioned name that faces carry as their origin."""
        return self._model().description.origin

    @property
    def licence(self) -> str:
        """Return what the description says of the licence, and of the training data if it does."""
        described = self._model().description
        trained = f", trained on {described.trained_on}" if described.trained_on else ""
        return described.licence + trained

    @property
    def spec(self) -> str:
        """Return the specification from which `registry.parse` makes this detector."""
        described = self._model().description
        side = "" if described.input.size else f"@{self._side(described)}"
        end = devices.suffix(self.device)
        return f"{PREFIX}{self.path}{side}:{self._least(described)}{end}"

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        """Find the faces of each upright image, (h, w, 1, 3 or 4); best score first.

        On a graphics card images of the same padded size share a run if the description says
        that the network takes batches; on a processor, where it is no faster, they never do.
        Raises `SampleError` if the network fails on an image or answers NaN.
        """
        least = self._least(self._model().description)
        return search(
            self._model(), images, long_side=self.long_side, threshold=least, device=self.device
        )

    def _model(self) -> Model:
        return _model(self.path, self.device, self.weights_sha256)

    def _side(self, described: Description) -> int:
        if described.input.size is not None:
            return max(described.input.size)
        return described.long_side if self.long_side is None else self.long_side

    def _least(self, described: Description) -> float:
        return described.threshold if self.threshold is None else self.threshold


def _files(path: Path) -> tuple[Description, bytes]:
    """Read a description and its model; `path` is either of them."""
    described = read(path if path.suffix == ".toml" else path.with_suffix(".toml"))
    model = path
    if path.suffix == ".toml":
        model = path.parent / described.file if described.file else path.with_suffix(".onnx")
    try:
        return described, model.read_bytes()
    except OSError as error:
        raise UsageError(f"The model {model} can't be read: {error.strerror}.") from error


@functools.lru_cache(maxsize=8)
def _model(path: Path, device: str, sha256: str) -> Model:
    """Load a model and try it; once for each device and state of the files."""
    described, data = _files(path)
    if described.sha256(data) != sha256:
        raise UsageError(f"{path} has changed since the run began: start it again.")
    try:
        elsewhere = outside(data)
        session = None if elsewhere else devices.open_session(data, device)
    except REFUSALS as error:
        raise UsageError(
            f"{path}: ONNX Runtime can't load the model ({first_line(error)}). Is it an ONNX file "
            "with its weights inside?"
        ) from error
    if session is None:
        raise UsageError(
            f"{path}: the model keeps weights in another file ({elsewhere}), which nothing would "
            "check: save it with its weights inside (onnx.save_model without "
            "save_as_external_data)."
        )
    name, dtype = _entrance(path, described, session)
    there = [output.name for output in session.get_outputs()]
    missing = [wanted for wanted in described.outputs if wanted not in there]
    if missing:
        raise UsageError(
            f"{path}: the model has no output {', '.join(missing)}; [outputs] can name "
            f"{', '.join(there)}."
        )
    model = Model(described, session, name, dtype)
    _try(path, model)
    return model


def _entrance(
    path: Path, described: Description, session: ort.InferenceSession
) -> tuple[str, type[np.floating[Any]]]:
    """Return the name and type of the input for images, if it is what is described."""
    shape = described.input
    inputs = {one.name: one for one in session.get_inputs()}
    wanted = shape.name or next(iter(inputs), "")
    if wanted not in inputs or len(inputs) != 1:
        raise UsageError(
            f"{path}: the model must have one input, named as input.name says; it has "
            f"{', '.join(inputs) or 'none'}."
        )
    kind, sides = inputs[wanted].type, inputs[wanted].shape
    if kind not in _TYPES or len(sides) != 4:
        raise UsageError(
            f"{path}: the input {wanted} takes {kind} of {sides}, where four axes of "
            f"{' or '.join(_TYPES)} were expected."
        )
    height, width = sides[2:] if shape.layout == "NCHW" else sides[1:3]
    fixed = [side for side in (width, height) if isinstance(side, int)]
    if fixed and list(shape.size or ()) != [width, height]:
        raise UsageError(
            f"{path}: the input {wanted} is fixed to {width} × {height} pixels. Say "
            f"size = [{width}, {height}] under [input], or another layout."
        )
    return wanted, _TYPES[kind]


def _try(path: Path, model: Model) -> None:
    """Run a model on black and on noise; raise `UsageError` if what comes back can't be right."""
    described = model.description
    shape = described.input
    least = replace(shape, align="corner")
    side = max(*_TRIED, 2 * described.multiple)
    canvas = lay(_TRIED[::-1], side, least, described.multiple)
    noise = np.random.default_rng(0).integers(0, 256, (*_TRIED, 3), dtype=np.uint8)
    tensors = [fill(image, canvas, least) for image in (np.zeros_like(noise), noise)]
    groups = [tensors] if shape.batch else [tensors[:1], tensors[1:]]
    try:
        found = [one for group in groups for one in decoded(model, group, canvas, -np.inf)]
        for boxes, scores in found:
            if np.isnan(boxes).any():
                raise ValueError("boxes come out as NaN, which is not a number")
            if len(scores) and not -1e-3 <= scores.min() <= scores.max() <= 1 + 1e-3:
                raise ValueError(
                    f"scores from {scores.min():.3g} to {scores.max():.3g} come out, not in "
                    "[0, 1]: is it another output, or one before its sigmoid?"
                )
    except REFUSALS as error:
        width, height = canvas.padded
        raise UsageError(
            f"{path}: tried on {width} × {height} pixels, the model doesn't fit its description: "
            f"{first_line(error)}. Compare layout, size, [outputs] and [decode] with the model."
        ) from error


# What lies outside an ONNX file: weights in other files, which no hash of the file covers. ONNX
# Runtime looks for them in the folder it is started in when it is given the bytes of a model, and
# wherever `location` leads. So a model is walked through before it is loaded: the messages of
# onnx.proto that can hold a tensor, as protobuf writes them
# (https://protobuf.dev/programming-guides/encoding).

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
