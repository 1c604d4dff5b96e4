"""What a network makes of images, features and logits, kept on disk by network and image.

On a processor each image goes through the network alone and in one thread, so its numbers
depend on nothing but the image and the network: not on its neighbours, nor on the number of
processes. On a graphics card images go in batches, whose numbers may differ in their last digits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import UsageError
from sfumato.imaging import codec
from sfumato.sources.reading import read_steadily
from sfumato.study.arms import Arm, Progress, Stored, silent
from sfumato.study.files import write_arrays
from sfumato.study.networks import Network, NetworkSource, load, need_torch
from sfumato.study.processes import spread
from sfumato.types import Pixels

Floats = NDArray[np.float32]
_CHUNK: Final = 64  # images in a file of the cache


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a network made of n images: features (n, d) and logits (n, classes), float32."""

    place: Mapping[str, int]  # by the id of what is stored
    features: Floats
    logits: Floats

    def rows(self, arm: Arm, keys: Sequence[str]) -> list[int]:
        """Return the rows of these keys as the arm shows them."""
        return [self.place[arm.files[key].id] for key in keys]


def see(
    source: NetworkSource,
    stored: Sequence[Stored],
    cache: Path,
    *,
    workers: int = 1,
    device: str = "cpu",
    progress: Progress = silent,
) -> Seen:
    """Return what a network makes of these files, computing what isn't in the cache yet.

    Raises:
        UsageError: the network can't be loaded.
        OutputError: the disk refuses.
    """
    wanted = {one.id: one for one in stored}
    folder = cache / "features" / source.fingerprint()[:24]
    known = _known(folder)
    lacking = [one for name, one in wanted.items() if name not in known]
    todo = [lacking[i : i + _CHUNK] for i in range(0, len(lacking), _CHUNK)]
    work = partial(_compute, source, folder, device)
    # One graphics card is one worker.
    for done, _ in enumerate(spread(work, todo, workers if device == "cpu" else 1), start=1):
        seen = min(done * _CHUNK, len(lacking))
        progress(f"images seen by {source.name}", seen, len(lacking))
    if todo:
        known = _known(folder)
    return _gathered(list(wanted), known)


def _known(folder: Path) -> dict[str, tuple[Path, int]]:
    """Return the file and row of every image in the cache of a network."""
    known: dict[str, tuple[Path, int]] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as parts:
            known.update((str(name), (path, row)) for row, name in enumerate(parts["ids"]))
    return known


def _gathered(ids: Sequence[str], known: Mapping[str, tuple[Path, int]]) -> Seen:
    """Return the rows of these images, in their order; each file is read once."""
    rows: dict[Path, list[tuple[int, int]]] = {}
    for place, name in enumerate(ids):
        path, row = known[name]
        rows.setdefault(path, []).append((place, row))
    features: Floats | None = None
    logits: Floats | None = None
    for path, pairs in rows.items():
        places, taken = (list(side) for side in zip(*pairs, strict=True))
        with np.load(path) as parts:
            found = parts["features"], parts["logits"]
        if features is None or logits is None:
            features, logits = (
                np.empty((len(ids), one.shape[1]), dtype=np.float32) for one in found
            )
        features[places], logits[places] = found[0][taken], found[1][taken]
    if features is None or logits is None:
        raise ValueError("there must be an image to see")
    return Seen({name: i for i, name in enumerate(ids)}, features, logits)


def pixels_of(stored: Stored) -> Pixels:
    """Return the upright (h, w, 3) pixels of an image as an arm shows it."""
    pixels = codec.decode(read_steadily(stored.path)).frames[0]
    return pixels if stored.change is None else stored.change(pixels)


@contextmanager
def one_thread() -> Iterator[Any]:
    """Give torch with one thread: sums of several may differ in their last digits."""
    torch = need_torch()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield torch
    finally:
        torch.set_num_threads(threads)


class Eye:
    """Runs a network and keeps what its last layer got.

    Calling it with (n, 3, size, size) floats gives features (n, d) and logits (n, classes).
    """

    def __init__(self, network: Network, device: str) -> None:
        self._torch = need_torch()
        self._device = device
        self.network = network
        # Channels last: depthwise convolutions of single images take 0.6 of the time.
        self._layout = self._torch.channels_last
        self._module = network.module.to(device, memory_format=self._layout)
        self._got: Any = None
        network.head.register_forward_pre_hook(self._keep)

    def __call__(self, images: Floats) -> tuple[Floats, Floats]:
        """Return features and logits."""
        with self._torch.inference_mode():
            given = self._torch.from_numpy(images).to(self._device)
            logits = self._module(given.contiguous(memory_format=self._layout))
            got = self._got
            features = got.mean(dim=(2, 3)) if got.ndim == 4 else got.flatten(1)
            return features.float().cpu().numpy(), logits.float().cpu().numpy()

    def _keep(self, _: Any, inputs: tuple[Any, ...]) -> None:
        self._got = inputs[0]


def available(device: str) -> str:
    """Return the device, or refuse one that isn't there.

    Raises:
        UsageError: torch doesn't know or have it.
    """
    torch = need_torch()
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"There is no device {device!r} here: use cpu.") from error
    return device


@lru_cache(maxsize=1)  # a worker's tasks follow one another with the same network
def _eye(source: NetworkSource, fingerprint: str, device: str) -> Eye:  # noqa: ARG001 (part of the key)
    return Eye(load(source), device)


def _compute(source: NetworkSource, folder: Path, device: str, files: Sequence[Stored]) -> None:
    with one_thread():
        eye = _eye(source, source.fingerprint(), device)
        inputs = [eye.network.preparation.prepare(pixels_of(one)) for one in files]
        step = 1 if device == "cpu" else len(inputs)
        parts = [eye(np.stack(inputs[i : i + step])) for i in range(0, len(inputs), step)]
    name = hashlib.sha256("\n".join(one.id for one in files).encode()).hexdigest()[:32]
    write_arrays(
        folder / f"{name}.npz",
        ids=np.asarray([one.id for one in files]),
        features=np.concatenate([one for one, _ in parts]),
        logits=np.concatenate([one for _, one in parts]),
    )
