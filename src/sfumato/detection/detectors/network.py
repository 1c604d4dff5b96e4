"""A described network at work: images in, faces out, on a processor or in batches on a card.

Several images in one run are worth it on a graphics card, never on a processor. What a network
finds in one of them depends on that one alone, up to the last bits of a sum.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from sfumato.detection.detectors.canvas import Canvas, fill, lay
from sfumato.detection.detectors.description import Description
from sfumato.detection.detectors.devices import CPU
from sfumato.detection.detectors.images import as_rgb
from sfumato.detection.detectors.session import Network, Scores, Tensor, faces, session
from sfumato.errors import Code, SampleError
from sfumato.types import Boxes, Face, Pixels

Item = TypeVar("Item")

LARGEST: Final = 16  # images in one run: 16 of 640 x 640 are 79 MB of input
# What ONNX Runtime raises for a model or an input that it can't take; they share no base.
REFUSALS: Final[tuple[type[Exception], ...]] = (
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


def shipped(described: Description) -> Network:
    """Return the network of a description of the package's own, which may look at windows too."""
    shape, family = described.input, described.family
    return Network(
        file=described.file,
        origin=described.origin,
        order=shape.order,
        outputs=described.outputs,
        decode=family.decode,
        overlap=family.overlap,
    )


@functools.cache
def loaded(described: Description, device: str) -> Model:
    """Return the model of a description of the package's own."""
    runtime = session(described.file, device)
    return Model(described, runtime, runtime.get_inputs()[0].name, np.float32)


def alike(
    items: Sequence[Item], key: Callable[[Item], Hashable], *, largest: int = LARGEST
) -> Iterator[list[int]]:
    """Yield the indices of items with the same key together, at most `largest` at once."""
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        groups[key(item)].append(index)
    for group in groups.values():
        for start in range(0, len(group), largest):
            yield group[start : start + largest]


def search(
    model: Model,
    images: Sequence[Pixels],
    *,
    long_side: int | None,
    threshold: float,
    device: str = CPU,
) -> list[list[Face]]:
    """Find the faces of each upright image, (h, w, 1, 3 or 4); best score first.

    On a graphics card images of the same padded size share a run if the description says that
    the network takes batches; on a processor, where it is no faster, they never do. `long_side`
    None is the description's. Raises `SampleError` if the network fails or answers NaN.
    """
    described = model.description
    side = described.long_side if long_side is None else long_side
    coloured = [as_rgb(image) for image in images]
    canvases = [
        lay((one.shape[1], one.shape[0]), side, described.input, described.multiple)
        for one in coloured
    ]
    largest = LARGEST if described.input.batch and device != CPU else 1
    found: list[list[Face]] = [[] for _ in coloured]
    for group in alike(canvases, lambda canvas: canvas.padded, largest=largest):
        tensors = [fill(coloured[i], canvases[i], described.input) for i in group]
        try:
            answers = decoded(model, tensors, canvases[group[0]], threshold)
        except REFUSALS as error:
            words = f"{described.origin} failed on it: {first_line(error)}"
            raise SampleError(Code.DETECTOR_FAILED, words) from error
        for i, (boxes, scores) in zip(group, answers, strict=True):
            canvas = canvases[i]
            found[i] = faces(canvas.back(boxes), scores, canvas.image, described)
    return found


def decoded(
    model: Model, tensors: Sequence[Tensor], canvas: Canvas, threshold: float
) -> list[tuple[Boxes, Scores]]:
    """Run a batch; return boxes, in pixels of the network image, and scores of each."""
    outputs = model.run(np.concatenate(tensors) if len(tensors) > 1 else tensors[0])
    many = len(tensors) > 1
    with np.errstate(over="ignore"):  # an endless box is cut to the image
        return [
            model.description.family.decode(
                [output[i : i + 1] for output in outputs] if many else outputs,
                canvas.padded[::-1],
                threshold,
            )
            for i in range(len(tensors))
        ]


def first_line(error: Exception) -> str:
    """Return what an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
