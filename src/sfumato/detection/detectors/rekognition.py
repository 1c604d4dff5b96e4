"""Amazon Rekognition's DetectFaces. Images leave this machine, and each call costs money.

API reference: docs.aws.amazon.com/rekognition/latest/APIReference/API_DetectFaces.html. Boxes
are ratios of the image's sides and may reach beyond it: they are cut. An answer holds the 100
largest faces at most: where it is full, the image is searched again in overlapping quarters,
and so on; where even a small part is full, the image is refused. Bytes may be 5 MB at most: the
image goes as a JPEG of quality 95, scaled down if need be. Credentials, region and endpoint are
those that boto3 finds (AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL_REKOGNITION, …).
"""

from __future__ import annotations

import functools
import hashlib
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Final

import numpy as np
from PIL import Image

from sfumato.boxes import clip, union
from sfumato.detection.detectors import meter
from sfumato.detection.detectors.images import as_rgb
from sfumato.errors import Code, MissingExtra, SampleError, UsageError
from sfumato.types import Box, Face, Pixels

NAME: Final = "rekognition-detectfaces"
CAP: Final = 100  # faces in an answer, at most
LARGEST: Final = 5_000_000  # bytes; the service counts 5 MB, maybe of 1,024 x 1,024
LONGEST: Final = 4096  # pixels a side: the service looks at no more than about that
SMALLEST: Final = 80  # pixels a side that the service takes
QUALITY: Final = 95
DEPTH: Final = 3  # times that a full image is cut into quarters: up to 64 parts
SHARED: Final = 0.2  # of a side that neighbouring quarters have in common
SAME_FACE: Final = 0.45  # IoU of boxes of one face in two parts
TRIES: Final = 8
# US dollars for 1,000 calls: list price of the first million images a month in us-east-1
# (aws.amazon.com/rekognition/pricing, as known in 2025; not fetched when this was written).
PRICE: Final = 1.0

_THROTTLED: Final = frozenset(
    "ThrottlingException ProvisionedThroughputExceededException RequestLimitExceeded "
    "TooManyRequestsException InternalServerError ServiceUnavailable".split()
)
_OF_THE_IMAGE: Final = frozenset(
    "ImageTooLargeException InvalidImageFormatException InvalidParameterException".split()
)


@dataclass(frozen=True, slots=True)
class Rekognition:
    """Find faces with DetectFaces; `threshold` is the least confidence, in (0, 1].

    Raises `MissingExtra` if boto3 isn't installed. `detect` needs consent (`detectors.meter`),
    and raises `UsageError` for what is wrong with the account, `SampleError` for what
    is wrong with an image.
    """

    threshold: float = 0.5
    uploads: ClassVar[bool] = True  # images leave this machine

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold <= 1.0:
            raise ValueError(f"threshold must lie in (0, 1], got {self.threshold}")
        if find_spec("boto3") is None:
            raise MissingExtra("rekognition needs boto3: pip install 'sfumato[cloud]'")

    @property
    def name(self) -> str:
        """Return the name that faces carry as their origin; the service tells no version."""
        return NAME

    @property
    def spec(self) -> str:
        """Return the specification from which `registry.parse` makes this detector."""
        return f"rekognition:{self.threshold}"

    @property
    def weights_sha256(self) -> str:
        """Return a hash of what is known: the name. The service may change without saying so."""
        return hashlib.sha256(NAME.encode()).hexdigest()

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        """Find the faces of each upright image, (h, w, 1, 3 or 4); best score first."""
        meter.consent("rekognition")
        return [self._search(as_rgb(image)) for image in images]

    def _search(self, image: Pixels) -> list[Face]:
        height, width = image.shape[:2]
        kept = [
            Face(inside, min(score, 1.0), NAME)
            for box, score in list(self._part(image, 0, 0, DEPTH))
            if score >= self.threshold and (inside := clip(box, width, height)) is not None
        ]
        return union([kept], SAME_FACE)

    def _part(self, image: Pixels, x: float, y: float, depth: int) -> Iterator[tuple[Box, float]]:
        """Yield (box in pixels of the whole, score) for a part of an image at (x, y)."""
        height, width = image.shape[:2]
        details = _ask(_encoded(image))
        for detail in details:
            ratios = detail["BoundingBox"]
            x0, y0 = x + ratios["Left"] * width, y + ratios["Top"] * height
            box = (x0, y0, x0 + ratios["Width"] * width, y0 + ratios["Height"] * height)
            yield box, detail["Confidence"] / 100
        if len(details) < CAP:
            return
        if not depth or min(width, height) < 2 * SMALLEST:
            words = f"rekognition tells {CAP} faces at most, and a small part has as many"
            raise SampleError(Code.DETECTOR_FAILED, words)
        for left, right in _halves(width):
            for top, bottom in _halves(height):
                yield from self._part(image[top:bottom, left:right], x + left, y + top, depth - 1)


def _halves(side: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return two overlapping halves of a side as (start, stop)."""
    length = min(side, round(side * (0.5 + SHARED / 2)))
    return (0, length), (side - length, side)


def _encoded(image: Pixels) -> bytes:
    """Return a JPEG that the service takes; ratios of its sides are those of the image.

    One that is too small is enlarged: each side by itself, since the ratios stay. A larger one is
    scaled down until it fits.
    """
    whole = Image.fromarray(image)
    longest = LONGEST
    while True:
        factor = min(1.0, longest / max(whole.size))
        width, height = (max(SMALLEST, round(side * factor)) for side in whole.size)
        scaled = whole if (width, height) == whole.size else whole.resize((width, height))
        file = io.BytesIO()
        scaled.save(file, "JPEG", quality=QUALITY)
        if file.tell() <= LARGEST:
            return file.getvalue()
        longest = round(0.8 * max(scaled.size))


def _ask(data: bytes) -> list[dict[str, Any]]:
    """Call DetectFaces, again after a while when the service is busy or the network fails.

    Raises:
        SampleError: the service can't read the image, or stays busy.
        UsageError: nobody allowed the call; credentials, region, permission or network are missing.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    rng = np.random.default_rng()
    trouble: Exception | None = None
    for attempt in range(TRIES):
        if trouble is not None:
            time.sleep(pause(attempt - 1, rng))
        meter.count("rekognition")
        try:
            answer = _client().detect_faces(Image={"Bytes": data})
        except ClientError as error:
            trouble = _trouble(error.response["Error"])
        except BotoCoreError as error:
            trouble = _unreachable(error)
        else:
            faces: list[dict[str, Any]] = answer["FaceDetails"]
            return faces
    raise trouble or AssertionError


def _trouble(told: Mapping[str, Any]) -> Exception:
    """Return the error to raise if a busy service stays so; raise what doesn't pass by itself."""
    code, words = told["Code"], told["Message"]
    if code in _THROTTLED:
        refusal = f"rekognition was busy {TRIES} times in a row: {code}"
        return SampleError(Code.DETECTOR_FAILED, refusal)
    if code in _OF_THE_IMAGE:
        refusal = f"rekognition can't read it: {code}, {words}"
        raise SampleError(Code.DETECTOR_FAILED, refusal)
    raise UsageError(
        f"Rekognition refuses to work ({code}: {words}). Check the credentials, the permission "
        "rekognition:DetectFaces and the region (AWS_PROFILE, AWS_REGION)."
    )


def _unreachable(error: Exception) -> Exception:
    """Return the error to raise if a failing network stays so; raise it if it isn't the network."""
    from botocore.exceptions import ConnectionError as Connection
    from botocore.exceptions import HTTPClientError

    told = UsageError(
        f"Rekognition can't be reached: {str(error).rstrip('.')}. Check credentials and region "
        "(AWS_PROFILE, AWS_REGION) and the network."
    )
    if isinstance(error, Connection | HTTPClientError):
        return told
    raise told


def pause(attempt: int, rng: np.random.Generator) -> float:
    """Return seconds to wait after a busy answer: any up to 0.5, 1, 2, 4, … and 20 at most."""
    return float(rng.uniform(0, min(20.0, 0.5 * 2**attempt)))


@functools.cache
def _client() -> Any:
    """Return this process's client; it makes no tries of its own, since each one is paid."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=30)
    try:
        return boto3.session.Session().client("rekognition", config=config)
    except BotoCoreError as error:
        raise _unreachable(error) from error
