"""Tiny ONNX networks, made by hand, that find bright squares: for tests of `onnx:FILE`.

Each looks at the mean of a cell, and says "face" where it is bright, with a box of a fixed size.
What they answer can be computed without them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[str],
    *,
    shape: Sequence[int | str] = (1, 3, "H", "W"),
    constants: dict[str, NDArray[np.generic]] | None = None,
    kind: int = TensorProto.FLOAT,
) -> Path:
    """Write a model with the input "image" and these outputs of unknown shape."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


class Nodes:
    """A graph that grows node by node; every method returns the name of what it made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[np.generic]] = {}

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        made = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [made], **attributes))
        return made

    def constant(self, value: Sequence[float] | float, dtype: str = "float32") -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype=dtype)
        return name

    def brightness(self, image: str, cell: int) -> str:
        """Return (1, 1, rows, columns): the mean of each cell of all channels."""
        grey = self.add("ReduceMean", image, axes=[1], keepdims=1)
        return self.add("AveragePool", grey, kernel_shape=[cell, cell], strides=[cell, cell])

    def score(self, image: str, cell: int, white: float) -> str:
        """Return the brightness as a score in [0, 1]: `white` is the value of a white pixel."""
        return self.add(
            "Clip",
            self.add("Div", self.brightness(image, cell), self.constant(white)),
            self.constant(0.0),
            self.constant(1.0),
        )

    def repeated(self, plane: str, numbers: Sequence[float], rows: bool = True) -> str:
        """Return each cell's `numbers`, whatever its brightness: (1, cells, n), or (1, n, h, w)."""
        zero = self.add("Mul", plane, self.constant(0.0))
        wide = self.add("Add", zero, self.constant(np.reshape(numbers, (1, -1, 1, 1)).tolist()))
        return self.in_rows(wide, len(numbers)) if rows else wide

    def in_rows(self, planes: str, width: int, name: str = "") -> str:
        """Return (batch, channels, h, w) as (batch, h * w * channels / width, width)."""
        last = self.add("Transpose", planes, perm=[0, 2, 3, 1])
        return self.add("Reshape", last, self.constant([0, -1, width], "int64"), name=name)

    def named(self, value: str, name: str) -> str:
        return self.add("Identity", value, name=name)


CELL = 16  # of the tiny yolo-face
SIZE = 24.0  # sides of every box that a tiny model finds, in pixels of the network image


def _centerface(nodes: Nodes) -> dict[str, str]:
    heat = nodes.score("image", 4, 255.0)
    scale = nodes.repeated(heat, [math.log(SIZE / 4)] * 2, rows=False)
    offset = nodes.repeated(heat, [0.0, 0.0], rows=False)
    return {"heat": heat, "scale": scale, "offset": offset}


def _yunet(nodes: Nodes) -> dict[str, str]:
    roles = {}
    for cell in (8, 16, 32):
        score = nodes.score("image", cell, 255.0)
        side = math.log(SIZE / cell)
        roles[f"cls_{cell}"] = nodes.in_rows(score, 1)
        roles[f"obj_{cell}"] = nodes.in_rows(score, 1)
        roles[f"bbox_{cell}"] = nodes.repeated(score, [0.5, 0.5, side, side])
    return roles


def _scrfd(nodes: Nodes) -> dict[str, str]:
    roles = {}
    for cell in (8, 16, 32):
        score = nodes.score("image", cell, 1.0)  # the description scales by 1/255
        half = SIZE / 2 / cell
        roles[f"score_{cell}"] = nodes.in_rows(nodes.add("Concat", score, score, axis=1), 1)
        planes = nodes.repeated(score, [half] * 8, rows=False)
        roles[f"bbox_{cell}"] = nodes.in_rows(planes, 4)
    return roles


def _retinaface(nodes: Nodes) -> dict[str, str]:
    conf, loc = [], []
    for cell in (8, 16, 32):
        score = nodes.score("image", cell, 255.0)
        other = nodes.add("Sub", nodes.constant(1.0), score)
        conf.append(nodes.in_rows(nodes.add("Concat", *[other, score] * 2, axis=1), 2))
        loc.append(nodes.in_rows(nodes.repeated(score, [0.0] * 8, rows=False), 4))
    return {"loc": nodes.add("Concat", *loc, axis=1), "conf": nodes.add("Concat", *conf, axis=1)}


def _yolo_face(nodes: Nodes) -> dict[str, str]:
    score = nodes.score("image", CELL, 255.0)
    ones = nodes.repeated(score, [1.0], rows=False)
    x, y = (
        nodes.add(
            "Mul",
            nodes.add(
                "Sub",
                nodes.add("CumSum", ones, nodes.constant(axis, "int64")),
                nodes.constant(0.5),
            ),
            nodes.constant(float(CELL)),
        )
        for axis in (3, 2)
    )
    sides = nodes.repeated(score, [SIZE, SIZE], rows=False)
    return {"rows": nodes.in_rows(nodes.add("Concat", x, y, sides, score, axis=1), 5)}


def _blazeface(nodes: Nodes) -> dict[str, str]:
    image = nodes.add("Transpose", "image", perm=[0, 3, 1, 2])
    roles = {}
    for cell, anchors in ((16, 2), (32, 6)):
        # The image comes as -1..1; its logits are those of a brightness of 0..1.
        light = nodes.brightness(image, cell)
        logit = nodes.add("Mul", light, nodes.constant(4.0))
        roles[f"score_{cell}"] = nodes.in_rows(nodes.add("Concat", *[logit] * anchors, axis=1), 1)
        planes = nodes.repeated(light, [0.0, 0.0, SIZE, SIZE, *[0.0] * 12] * anchors, rows=False)
        roles[f"box_{cell}"] = nodes.in_rows(planes, 16)
    return roles


_MAKERS = {
    "blazeface": _blazeface,
    "centerface": _centerface,
    "retinaface": _retinaface,
    "scrfd": _scrfd,
    "yolo-face": _yolo_face,
    "yunet": _yunet,
}
_INPUTS = {
    "blazeface": "layout = 'NHWC'\nmean = 127.5\nscale = 0.00784313725490196",
    "scrfd": "scale = 0.00392156862745098\nfill = 3\nbatch = true",
    "yolo-face": "align = 'centre'\nfill = 114\nchannels = 'BGR'",
}


def described(
    folder: Path, family: str, *, size: tuple[int, int] | None = None, extra: str = ""
) -> Path:
    """Write a tiny model of a family and its description; return the description's path."""
    nodes = Nodes()
    roles = _MAKERS[family](nodes)
    for role, value in roles.items():
        nodes.named(value, f"out_{role}")
    sides: tuple[int | str, int | str] = ("H", "W") if size is None else size[::-1]
    shape = ("B", 3, *sides) if family != "blazeface" else ("B", *sides, 3)
    outputs = [f"out_{role}" for role in roles]
    model = folder / f"{family}.onnx"
    save(model, nodes.nodes, outputs, shape=shape, constants=nodes.constants)
    named = "\n".join(f'{role} = "out_{role}"' for role in roles)
    text = f"""
origin = "tiny-{family}-1"
family = "{family}"
licence = "CC0-1.0"
threshold = 0.7
long_side = 160
{extra}
[input]
{_INPUTS.get(family, "")}
{f"size = [{size[0]}, {size[1]}]" if size else ""}
[outputs]
{named}
"""
    path = model.with_suffix(".toml")
    path.write_text(text, encoding="utf-8")
    return path
