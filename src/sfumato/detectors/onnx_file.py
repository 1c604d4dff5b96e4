"""Any face detector in an ONNX file, told by a description how to use it (`onnx:FILE`).

A model comes from anywhere: it is tried when the detector is made, and refused in a sentence if
it isn't what its description says. What only shows on some picture later costs that picture.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from sfumato.detectors import devices
from sfumato.detectors.batches import LARGEST, alike
from sfumato.detectors.canvas import Canvas, fill, lay
from sfumato.detectors.description import Description, read
from sfumato.detectors.pictures import as_rgb
from sfumato.detectors.session import Tensor, check, faces
from sfumato.errors import Code, SampleError, UsageError
from sfumato.types import Face, Pixels

PREFIX: Final = "onnx:"
_TYPES: Final[dict[str, type[np.floating[Any]]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
# What ONNX Runtime raises for a model or an input that it can't take; they share no base.
_REFUSALS: Final[tuple[type[Exception], ...]] = (
    *(
        getattr(runtime_errors, name)
        for name in (
            "EPFail EngineError Fail InvalidArgument InvalidGraph InvalidProtobuf ModelLoaded "
            "NoModel NoSuchFile NotImplemented RuntimeException"
        ).split()
    ),
    RuntimeError,
    ValueError,
)
_TRIED: Final = (64, 96)  # height and width of the pictures that a model is tried on, at least


@dataclass(frozen=True, slots=True)
class Model:
    """A model that was tried: what is said of it, its session, and its input's name and type."""

    description: Description
    session: ort.InferenceSession
    input: str
    dtype: type[np.floating[Any]]

    def run(self, given: Tensor) -> list[NDArray[np.float32]]:
        """Return the described outputs for a batch; `ValueError` if one can't be read or is NaN."""
        names = self.description.outputs
        outputs = self.session.run(list(names), {self.input: given.astype(self.dtype, copy=False)})
        found = []
        for name, output in zip(names, outputs, strict=True):
            if not isinstance(output, np.ndarray) or output.dtype.kind != "f":
                raise ValueError(f"the output {name!r} holds no floating-point numbers")
            if np.isnan(output).any():
                raise ValueError(f"the output {name!r} holds NaN, which is not a number")
            found.append(output.astype(np.float32, copy=False))
        return found


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
        """Return the specification from which `sfumato.detectors.parse` makes this detector."""
        described = self._model().description
        side = "" if described.input.size else f"@{self._side(described)}"
        end = devices.suffix(self.device)
        return f"{PREFIX}{self.path}{side}:{self._least(described)}{end}"

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        """Find the faces of each upright picture, (h, w, 1, 3 or 4); best score first.

        On a graphics card pictures of the same padded size share a run if the description says
        that the network takes batches; on a processor, where it is no faster, they never do.
        Raises `SampleError` if the network fails on a picture or answers NaN.
        """
        model = self._model()
        shape = model.description.input
        pictures = [as_rgb(image) for image in images]
        canvases = [self._canvas(picture, model.description) for picture in pictures]
        largest = LARGEST if shape.batch and self.device != devices.CPU else 1
        found: list[list[Face]] = [[] for _ in pictures]
        for group in alike(canvases, lambda canvas: canvas.padded, largest=largest):
            tensors = [fill(pictures[i], canvases[i], shape) for i in group]
            for i, one in zip(group, self._search(model, tensors, canvases[group[0]]), strict=True):
                boxes, scores = one
                found[i] = faces(
                    canvases[i].back(boxes), scores, canvases[i].picture, model.description
                )
        return found

    def _search(self, model: Model, tensors: Sequence[Tensor], canvas: Canvas) -> list[Any]:
        try:
            return _decoded(model, tensors, canvas, self._least(model.description))
        except _REFUSALS as error:
            words = f"{model.description.origin} failed on it: {_first_line(error)}"
            raise SampleError(Code.DETECTOR_FAILED, words) from error

    def _canvas(self, picture: Pixels, described: Description) -> Canvas:
        size = (picture.shape[1], picture.shape[0])
        return lay(size, self._side(described), described.input, described.multiple)

    def _model(self) -> Model:
        return _model(self.path, self.device, self.weights_sha256)

    def _side(self, described: Description) -> int:
        if described.input.size is not None:
            return max(described.input.size)
        return described.long_side if self.long_side is None else self.long_side

    def _least(self, described: Description) -> float:
        return described.threshold if self.threshold is None else self.threshold


def _decoded(
    model: Model, tensors: Sequence[Tensor], canvas: Canvas, threshold: float
) -> list[Any]:
    """Run a batch; return boxes, in pixels of the network picture, and scores of each."""
    outputs = model.run(np.concatenate(tensors) if len(tensors) > 1 else tensors[0])
    many = len(tensors) > 1
    with np.errstate(over="ignore"):  # an endless box is cut to the picture
        return [
            model.description.family.decode(
                [output[i : i + 1] for output in outputs] if many else outputs,
                canvas.padded[::-1],
                threshold,
            )
            for i in range(len(tensors))
        ]


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
        session = devices.open_session(data, device)
    except _REFUSALS as error:
        raise UsageError(
            f"{path}: ONNX Runtime can't load the model ({_first_line(error)}). Is it an ONNX file "
            "with its weights inside?"
        ) from error
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
    """Return the name and type of the input for pictures, if it is what is described."""
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
    tensors = [fill(picture, canvas, least) for picture in (np.zeros_like(noise), noise)]
    groups = [tensors] if shape.batch else [tensors[:1], tensors[1:]]
    try:
        found = [one for group in groups for one in _decoded(model, group, canvas, -np.inf)]
        for boxes, scores in found:
            if np.isnan(boxes).any():
                raise ValueError("boxes come out as NaN, which is not a number")
            if len(scores) and not -1e-3 <= scores.min() <= scores.max() <= 1 + 1e-3:
                raise ValueError(
                    f"scores from {scores.min():.3g} to {scores.max():.3g} come out, not in "
                    "[0, 1]: is it another output, or one before its sigmoid?"
                )
    except _REFUSALS as error:
        width, height = canvas.padded
        raise UsageError(
            f"{path}: tried on {width} × {height} pixels, the model doesn't fit its description: "
            f"{_first_line(error)}. Compare layout, size, [outputs] and [decode] with the model."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
