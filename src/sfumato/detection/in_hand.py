"""One image on its way through the steps: its bytes, what is known of it, what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from sfumato.imaging import codec
from sfumato.imaging.codec import DecodedImage
from sfumato.sources.doors import Known
from sfumato.types import Detection, Face, Output, Sample


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen in a covered image.

    The image itself, decoded; the faces that detectors still see in and around what was edited
    (None: not searched); how much is left of each covered face (`strength.still_shown`).
    """

    image: DecodedImage
    seen: tuple[Face, ...] | None
    left: tuple[float, ...]


@dataclass(slots=True)
class InHand:
    """An image and what the steps have made of it so far; each step reads and adds.

    `known` is from earlier runs. `detection` are the faces that hold for these bytes, `image` the
    sample decoded, if a step had to decode it. `output` is what was staged, and `look` what was
    seen last in exactly the bytes of `output.written`.
    """

    sample: Sample
    known: Known
    detection: Detection | None = None
    image: DecodedImage | None = None
    output: Output | None = None
    look: Look | None = None

    def decoded(self, max_pixels: int) -> DecodedImage:
        """Return the sample decoded, which is done once; raises `SampleError`."""
        if self.image is None:
            self.image = codec.decode(self.sample.data, max_pixels=max_pixels)
        return self.image
