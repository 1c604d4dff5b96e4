"""`RandomFaceObfuscation`: so that a model learns neither to look for blur nor to depend on faces.

    from torchvision.transforms import v2
    train = v2.Compose([RandomFaceObfuscation(0.5, ("gaussian", "fill")), v2.RandomCrop(224)])
    image, target = train(image, {"faces": boxes, "label": 3})

It goes where transforms of torchvision's second version go and needs no torchvision itself. It
comes before whatever moves pixels, for boxes are in the frame of the image as it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from PIL import Image

from sfumato import obfuscation
from sfumato.errors import UsageError
from sfumato.study.placement import elsewhere as places_elsewhere
from sfumato.types import Box, Pixels

# A patch where no face gives the shape: its side as a share of the image's shorter one.
_PATCH: Final = (0.1, 0.3)


class RandomFaceObfuscation:
    """Cover an image's faces, and places without one, at random.

    With probability `p` all its faces are covered, by one of `methods` drawn for the image.
    With probability `elsewhere`, drawn on its own, patches of the shapes of `shapes` (or of the
    image's own faces; or squares of 10 to 30 % of its shorter side) are covered where no face
    is. So obfuscation tells nothing about the class, and a face isn't needed to know it.

    Takes an image alone, or an image and a mapping, together or as one tuple: the mapping's
    entry `key` holds the faces, (n, 4) x0 y0 x1 y1 in pixels of the image. An image is a Pillow
    image, an (h, w, 3) uint8 array, or a (3, h, w) tensor of uint8, or of floats in [0, 1]; it
    comes back as what it was, with the mapping as it was.

    `rng` draws; without it, each image's draws are seeded by torch's own generator, which data
    loaders seed anew for each worker.

    Raises:
        UsageError: an unknown method, or a probability outside [0, 1].
    """

    def __init__(
        self,
        p: float = 0.5,
        methods: Sequence[str] = ("gaussian", "pixelate", "fill"),
        *,
        elsewhere: float = 0.0,
        shapes: Sequence[Box] = (),
        key: str = "faces",
        rng: np.random.Generator | None = None,
    ) -> None:
        if not (0 <= p <= 1 and 0 <= elsewhere <= 1):
            raise UsageError("p and elsewhere are probabilities: numbers from 0 to 1.")
        if not methods:
            raise UsageError("RandomFaceObfuscation needs a method at least.")
        self.p, self.elsewhere, self.shapes = p, elsewhere, tuple(shapes)
        self.methods = tuple(obfuscation.make(method) for method in methods)
        self.key, self.rng = key, rng

    def __call__(self, *inputs: Any) -> Any:
        """Transform an image, or an image and its mapping, as torchvision's transforms do."""
        if len(inputs) == 1 and not isinstance(inputs[0], tuple | list):
            return self._changed(inputs[0], ())
        image, *rest = inputs if len(inputs) > 1 else inputs[0]
        targets = [one for one in rest if isinstance(one, Mapping) and self.key in one]
        changed = self._changed(image, _boxes(targets[0][self.key]) if targets else ())
        as_list = len(inputs) == 1 and isinstance(inputs[0], list)
        return [changed, *rest] if as_list else (changed, *rest)

    def __repr__(self) -> str:
        """Show the settings, as torchvision's transforms do."""
        names = ", ".join(method.name for method in self.methods)
        return f"RandomFaceObfuscation(p={self.p}, methods=({names}), elsewhere={self.elsewhere})"

    def apply(self, pixels: Pixels, faces: Sequence[Box], rng: np.random.Generator) -> Pixels:
        """Return a copy of (h, w, 3) uint8 pixels, changed as `rng` draws."""
        method = self.methods[int(rng.integers(len(self.methods)))]
        cover_faces, cover_others = rng.random() < self.p, rng.random() < self.elsewhere
        boxes = list(faces) if cover_faces else []
        if cover_others:
            size = (pixels.shape[1], pixels.shape[0])
            boxes += places_elsewhere(self._shapes(faces, size, rng), faces, size, rng)
        return method(pixels, boxes)

    def _shapes(
        self, faces: Sequence[Box], size: tuple[int, int], rng: np.random.Generator
    ) -> Sequence[Box]:
        if self.shapes:
            return [self.shapes[int(rng.integers(len(self.shapes)))]]
        if faces:
            return faces
        side = float(rng.uniform(*_PATCH)) * min(size)
        return [(0.0, 0.0, side, side)]

    def _changed(self, image: Any, faces: Sequence[Box]) -> Any:
        rng = self.rng
        if rng is None:
            import torch

            rng = np.random.default_rng(int(torch.randint(2**62, ()).item()))
        if isinstance(image, Image.Image):
            pixels = np.asarray(image.convert("RGB"))
            return Image.fromarray(self.apply(pixels, faces, rng))
        if isinstance(image, np.ndarray):
            return self.apply(image, faces, rng)
        return self._changed_tensor(image, faces, rng)

    def _changed_tensor(self, image: Any, faces: Sequence[Box], rng: np.random.Generator) -> Any:
        import torch

        if not isinstance(image, torch.Tensor) or image.ndim != 3 or image.shape[0] != 3:
            raise UsageError(
                "RandomFaceObfuscation wants a Pillow image, an (h, w, 3) array or a (3, h, w) "
                f"tensor, not {type(image).__name__}; put it before what makes batches."
            )
        floating = image.is_floating_point()
        data = (image * 255).round().clamp(0, 255).byte() if floating else image
        pixels = np.ascontiguousarray(data.permute(1, 2, 0).cpu().numpy())
        changed = np.ascontiguousarray(self.apply(pixels, faces, rng).transpose(2, 0, 1))
        result = torch.from_numpy(changed).to(image.device)
        if floating:  # what wasn't covered keeps its exact values
            same = (result == data).all(dim=0, keepdim=True)
            result = torch.where(same, image, (result.float() / 255).to(image.dtype))
        return result


def _boxes(faces: Any) -> list[Box]:
    """Return boxes from a list, an array or a tensor (n, 4)."""
    rows = np.asarray(faces, dtype=np.float64).reshape(-1, 4)
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in rows]
