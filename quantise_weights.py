"""Make the 8-bit CenterFace from the published one, the same bytes on every machine.

    python quantise_weights.py     # measure RANGES again and print them

(For that, onnx, ONNX Runtime and an installed sfumato are needed; for the build, onnx alone.)

Half the time of the network goes into moving 32-bit numbers. Here weights become 7-bit integers,
one scale for each channel, and activations 8-bit ones, as QuantizeLinear and DequantizeLinear
nodes around the convolutions, which ONNX Runtime fuses. The image goes in as it is in memory,
(batch, height, width, 3) bytes. Steps, each a function: fold the normalisations; equalise
neighbouring layers (Nagel, van Baalen, Blankevoort, Welling: "Data-Free Quantization Through
Weight Equalization and Bias Correction", ICCV 2019, section 4.1), which changes no result but
makes channels alike; quantise; take bytes. The heads stay in 32 bits.

7 bits, because processors without VNNI add two products in 16 bits: 255 · 63 · 2 fits, with 8
bits they would clip, and find other faces than processors with it. RANGES stand here as numbers
and are not measured while building, since the last digit of a measurement depends on the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

HEADS = ("536", "538", "539", "540")  # heat before its sigmoid, scale, offset, landmarks
LARGEST = 63  # of a weight: 7 bits with a sign
ROUNDS = 3  # of the equalisation; more make the activations' ranges wider again
INPUT = "input.1"
OPSET = 13  # the first with a scale for each channel

# Least and greatest value of each activation that becomes 8-bit, after equalisation: CenterFace
# on the four demo images with their longer side at 256, 448 and 640 pixels.
RANGES: Mapping[str, tuple[float, float]] = {
    "input.1": (0.0, 255.0),
    "365": (0.0, 460.2),
    "368": (0.0, 168.1),
    "369": (-40.35, 50.8),
    "373": (0.0, 43.65),
    "376": (0.0, 17.2),
    "377": (-14.01, 13.86),
    "381": (0.0, 20.35),
    "384": (0.0, 11.01),
    "385": (-12.48, 13.08),
    "387": (-15.85, 16.15),
    "390": (0.0, 18.8),
    "393": (0.0, 10.08),
    "394": (-6.028, 6.745),
    "398": (0.0, 12.04),
    "401": (0.0, 4.946),
    "402": (-5.55, 6.472),
    "404": (-7.333, 9.11),
    "407": (0.0, 18.36),
    "410": (0.0, 7.379),
    "411": (-8.406, 6.615),
    "413": (-9.414, 9.949),
    "416": (0.0, 9.519),
    "419": (0.0, 7.343),
    "420": (-6.279, 5.117),
    "424": (0.0, 8.057),
    "427": (0.0, 3.664),
    "428": (-4.183, 4.182),
    "430": (-6.381, 7.65),
    "433": (0.0, 14.23),
    "436": (0.0, 4.6),
    "437": (-5.494, 3.41),
    "439": (-7.886, 10.32),
    "442": (0.0, 14.71),
    "445": (0.0, 6.061),
    "446": (-7.054, 7.204),
    "448": (-10.11, 14.86),
    "451": (0.0, 16.11),
    "454": (0.0, 4.096),
    "455": (-4.309, 4.041),
    "459": (0.0, 7.776),
    "462": (0.0, 3.168),
    "463": (-4.618, 3.058),
    "465": (-5.126, 5.181),
    "468": (0.0, 13.02),
    "471": (0.0, 6.925),
    "472": (-4.799, 4.841),
    "474": (-7.624, 7.034),
    "477": (0.0, 9.315),
    "480": (0.0, 4.614),
    "481": (-2.994, 2.76),
    "485": (0.0, 8.048),
    "488": (0.0, 5.116),
    "489": (-2.973, 4.199),
    "491": (-4.63, 4.433),
    "494": (0.0, 14.23),
    "497": (0.0, 5.394),
    "498": (-6.063, 8.556),
    "500": (-8.141, 9.504),
    "503": (0.0, 7.59),
    "506": (0.0, 2.557),
    "507": (-1.652, 1.372),
    "511": (0.0, 4.372),
    "514": (0.0, 6.762),
    "517": (0.0, 6.155),
    "518": (0.0, 8.582),
    "521": (0.0, 8.487),
    "524": (0.0, 4.232),
    "525": (0.0, 8.487),
    "528": (0.0, 9.974),
    "531": (0.0, 2.138),
    "532": (0.0, 10.09),
}

Numbers = dict[str, NDArray[Any]]


def quantised(network: bytes) -> bytes:
    """Return the 8-bit network that takes bytes, made from the one that takes any size."""
    model = equalised(folded(onnx.load_from_string(network)))
    made: bytes = taking_bytes(_quantise(model, RANGES)).SerializeToString()
    return made


def folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put the normalisations into the transposed convolutions before them; raise the opset."""
    graph = model.graph
    numbers, nodes, names = _numbers(graph), list[onnx.NodeProto](), dict[str, str]()
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        if node.op_type != "BatchNormalization":
            nodes.append(node)
            continue
        before = next(other for other in nodes if other.output[0] == node.input[0])
        gain, shift, mean, variance = (numbers[name] for name in node.input[1:5])
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        factor = gain / np.sqrt(variance + np.float32(epsilon))
        numbers[before.input[1]] = numbers[before.input[1]] * factor[None, :, None, None]
        numbers[f"{before.output[0]}_bias"] = shift - mean * factor
        before.input.append(f"{before.output[0]}_bias")
        names[node.output[0]] = before.output[0]
    _replace(graph, nodes, numbers)
    model.opset_import[0].version = OPSET
    return model


def equalised(model: onnx.ModelProto) -> onnx.ModelProto:
    """Scale channels between neighbouring convolutions so that their weights reach alike far."""
    numbers = _numbers(model.graph)
    pairs = list(_neighbours(model.graph))
    for _ in range(ROUNDS):
        for first, second in pairs:
            out, into = numbers[first.input[1]], numbers[second.input[1]]
            depthwise = into.shape[1] == 1
            there = np.abs(into).max(axis=(1, 2, 3) if depthwise else (0, 2, 3))
            here = np.abs(out).max(axis=(1, 2, 3))
            least = np.float32(1e-8)
            scale = np.sqrt(np.maximum(here, least) / np.maximum(there, least))
            scale = np.clip(scale, np.float32(1 / 64), np.float32(64))
            numbers[first.input[1]] = out / scale[:, None, None, None]
            numbers[first.input[2]] = numbers[first.input[2]] / scale
            shape = (-1, 1, 1, 1) if depthwise else (1, -1, 1, 1)
            numbers[second.input[1]] = into * scale.reshape(shape)
    _replace(model.graph, list(model.graph.node), numbers)
    return model


def _neighbours(graph: onnx.GraphProto) -> Iterator[tuple[onnx.NodeProto, onnx.NodeProto]]:
    """Yield pairs of convolutions with nothing but a ReLU in between, which scaling passes."""
    for node in graph.node:
        readers = _readers(graph, node.output[0])
        if len(readers) == 1 and readers[0].op_type == "Relu":
            readers = _readers(graph, readers[0].output[0])
        if node.op_type == "Conv" and len(node.input) == 3 and len(readers) == 1:
            (reader,) = readers
            if reader.op_type == "Conv":
                yield node, reader


def _readers(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if name in node.input]


def _quantise(model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]) -> onnx.ModelProto:
    graph = model.graph
    numbers, nodes = _numbers(graph), list[onnx.NodeProto]()
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "Add") and node.output[0] not in HEADS:
            activations = node.input if node.op_type == "Add" else node.input[:1]
            for place, name in enumerate(list(activations)):
                if f"{name}_step" not in numbers:
                    nodes += _activation(name, ranges[name], numbers)
                node.input[place] = f"{name}_as_float"
            if node.op_type == "Conv":
                nodes += _weights(node, numbers)
        nodes.append(node)
    _replace(graph, nodes, numbers)
    return model


def _activation(
    name: str, limits: tuple[float, float], numbers: Numbers
) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """Return the nodes that make a tensor 8-bit and give it on as `NAME_as_float`."""
    low, high = np.float32(min(limits[0], 0.0)), np.float32(limits[1])
    step = (high - low) / np.float32(255)
    numbers[f"{name}_step"] = np.array(step, dtype=np.float32)
    numbers[f"{name}_zero"] = np.array(np.rint(-low / step), dtype=np.uint8)
    how = (f"{name}_step", f"{name}_zero")
    return (
        helper.make_node("QuantizeLinear", [name, *how], [f"{name}_bytes"]),
        helper.make_node("DequantizeLinear", [f"{name}_bytes", *how], [f"{name}_as_float"]),
    )


def _weights(node: onnx.NodeProto, numbers: Numbers) -> list[onnx.NodeProto]:
    """Make weights (out, in, h, w) and bias (out,) of a convolution integers."""
    weights = numbers[node.input[1]]
    step = np.maximum(np.abs(weights).max(axis=(1, 2, 3)) / np.float32(LARGEST), np.float32(1e-12))
    whole = np.rint(weights / step[:, None, None, None]).clip(-LARGEST, LARGEST)
    made = [_integers(node, 1, whole.astype(np.int8), step, numbers)]
    if len(node.input) == 3:
        given = node.input[0].removesuffix("_as_float")
        bias_step = step * numbers[f"{given}_step"]
        bias = np.rint(numbers[node.input[2]] / bias_step)
        made.append(_integers(node, 2, bias.astype(np.int32), bias_step, numbers))
    return made


def _integers(
    node: onnx.NodeProto, place: int, whole: NDArray[Any], step: NDArray[Any], numbers: Numbers
) -> onnx.NodeProto:
    name = f"{node.output[0]}_{place}"
    numbers[f"{name}_whole"], numbers[f"{name}_step"] = whole, step
    numbers[f"{name}_zero"] = np.zeros(len(step), dtype=whole.dtype)
    node.input[place] = f"{name}_as_float"
    given = [f"{name}_whole", f"{name}_step", f"{name}_zero"]
    return helper.make_node("DequantizeLinear", given, [f"{name}_as_float"], axis=0)


def taking_bytes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let the network take `picture`, (B, H, W, 3) uint8 RGB, instead of planes of floats.

    The name is in the bytes of the file, and so in the fingerprint of every detection.
    """
    graph = model.graph
    taken = helper.make_node("Transpose", ["picture"], [f"{INPUT}_bytes"], perm=[0, 3, 1, 2])
    nodes = [node for node in graph.node if INPUT not in node.input]
    _replace(graph, [taken, *nodes], _numbers(graph))
    del graph.input[:]
    graph.input.append(
        helper.make_tensor_value_info("picture", onnx.TensorProto.UINT8, ["B", "H", "W", 3])
    )
    return model


def _numbers(graph: onnx.GraphProto) -> Numbers:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _replace(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], numbers: Numbers) -> None:
    """Give a graph other nodes, and those of the numbers that they use."""
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    used = {name for node in copies for name in node.input}
    del graph.node[:], graph.initializer[:]
    graph.node.extend(copies)
    kept = [(name, number) for name, number in numbers.items() if name in used]
    graph.initializer.extend(numpy_helper.from_array(number, name) for name, number in kept)


def measured() -> dict[str, tuple[float, float]]:
    """Return the range of each activation that `quantised` makes 8-bit, to four digits."""
    import onnxruntime
    from PIL import Image

    from sfumato.assets import demo_images, weights

    network = weights.verified("centerface").read_bytes()
    model = equalised(folded(onnx.load_from_string(network)))
    names = _activations(model.graph)
    for name in names:
        if name != INPUT:
            model.graph.output.append(helper.make_tensor_value_info(name, 1, None))
    runtime = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = dict.fromkeys(names, (0.0, 0.0)) | {INPUT: (0.0, 255.0)}
    for file in sorted(demo_images.root().glob("*/*")):
        for long_side in (256, 448, 640):
            with Image.open(file) as opened:
                image = opened.convert("RGB")
            factor = long_side / max(image.size)
            width, height = (max(32, round(side * factor / 32) * 32) for side in image.size)
            pixels = np.asarray(image.resize((width, height)), dtype=np.float32)
            given = {INPUT: pixels.transpose(2, 0, 1)[None]}
            for name, seen in zip(names[1:], runtime.run(names[1:], given), strict=True):
                low, high = found[name]
                found[name] = (min(low, float(seen.min())), max(high, float(seen.max())))
    return {name: (float(f"{a:.4g}"), float(f"{b:.4g}")) for name, (a, b) in found.items()}


def _activations(graph: onnx.GraphProto) -> list[str]:
    names: dict[str, None] = {}
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "Add") and node.output[0] not in HEADS:
            names.update(dict.fromkeys(node.input if node.op_type == "Add" else node.input[:1]))
    return list(names)


if __name__ == "__main__":
    for name, limits in measured().items():
        sys.stdout.write(f'    "{name}": {limits},\n')
