"""No weights from another file, wherever in a model they hide; no file exchanged in between."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from sfumato.assets import weights
from sfumato.detection.detectors import session
from sfumato.detection.detectors.onnx_file import outside
from sfumato.detection.detectors.registry import parse
from sfumato.errors import UsageError
from tests.onnx_models import described


def tensor(location: str = "") -> onnx.TensorProto:
    made = numpy_helper.from_array(np.ones(4, np.float32), "w")
    if location:
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key="offset", value="0")
        made.external_data.add(key="location", value=location)
    return made


def graph(weight: onnx.TensorProto) -> onnx.GraphProto:
    node = helper.make_node("Identity", ["w"], ["y"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    return helper.make_graph([node], "g", [], [output], [weight])


def around(node: onnx.NodeProto) -> onnx.ModelProto:
    outer = helper.make_graph([node], "outer", [], [], [])
    return helper.make_model(outer, opset_imports=[helper.make_opsetid("", 17)])


def in_a_function(weight: onnx.TensorProto) -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["y"], value=weight)
    ops = [helper.make_opsetid("", 17)]
    made = around(helper.make_node("F", [], ["y"], domain="own"))
    made.functions.append(helper.make_function("own", "F", [], ["y"], [constant], ops))
    return made


def in_training(weight: onnx.TensorProto) -> onnx.ModelProto:
    made = around(helper.make_node("Identity", ["x"], ["y"]))
    made.training_info.add().algorithm.CopyFrom(graph(weight))
    return made


def sparse(weight: onnx.TensorProto) -> onnx.ModelProto:
    made = helper.make_model(graph(tensor()))
    made.graph.sparse_initializer.add().values.CopyFrom(weight)
    return made


PLACES: dict[str, Callable[[onnx.TensorProto], onnx.ModelProto]] = {
    "initializer": lambda weight: helper.make_model(graph(weight)),
    "constant": lambda weight: around(helper.make_node("Constant", [], ["y"], value=weight)),
    "branch": lambda weight: around(
        helper.make_node("If", ["c"], ["y"], then_branch=graph(tensor()), else_branch=graph(weight))
    ),
    "list": lambda weight: around(helper.make_node("X", [], ["y"], some=[tensor(), weight])),
    "graphs": lambda weight: around(helper.make_node("X", [], ["y"], some=[graph(weight)])),
    "sparse": sparse,
    "function": in_a_function,
    "training": in_training,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("location", ["w.bin", "../w.bin", "/etc/passwd", "a\x1b[2J"])
def test_weights_outside_are_found_wherever_they_hide(place: str, location: str) -> None:
    assert outside(PLACES[place](tensor()).SerializeToString()) is None
    assert outside(PLACES[place](tensor(location)).SerializeToString()) == location
    bare = tensor(location)
    del bare.external_data[:]  # only the mark
    assert outside(PLACES[place](bare).SerializeToString()) == "?"


@pytest.mark.slow
@given(st.binary(max_size=300))
def test_bytes_that_are_no_model_end_in_a_value_error_at_most(data: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(outside(data), str | None)


def test_a_model_reads_no_file_of_the_folder_it_is_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime looks there when it is given bytes: it loads this one, and no hash covers it."""
    path = described(tmp_path, "retinaface")
    model = onnx.load(path.with_suffix(".onnx"))
    onnx.save(
        model,
        path.with_suffix(".onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"another file \(weights.bin\)"):
        parse(f"onnx:{path}")


def test_the_runtimes_own_format_is_refused(tmp_path: Path) -> None:
    path = described(tmp_path, "retinaface")
    path.with_suffix(".onnx").write_bytes(b"\x18\x00\x00\x00ORTM" + bytes(64))
    with pytest.raises(UsageError, match="own format"):
        parse(f"onnx:{path}")


def test_what_is_loaded_is_what_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes go to the runtime, not a path that somebody may exchange after the check."""
    given: list[object] = []
    monkeypatch.setattr(session, "open_session", lambda model, device: given.append(model))
    session.session.__wrapped__(next(iter(weights.WEIGHTS)), "cpu")
    assert given == [weights.read(next(iter(weights.WEIGHTS)))]
