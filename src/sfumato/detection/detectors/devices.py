"""Where networks run: the processor, or a graphics card by ONNX Runtime's CUDA provider.

A detector names its device, and its specification ends in it ("yunet@640:0.5#cuda"): sums in
another order give other last bits, so results of different devices are not the same work.
Nothing here falls back on its own: ONNX Runtime would, when a library of CUDA is missing.
"""

from __future__ import annotations

from typing import Final

import onnxruntime as ort

from sfumato.errors import UsageError

CPU: Final = "cpu"
PROVIDERS: Final = {CPU: "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
REMEDY: Final = (
    "pip install 'sfumato[gpu]' brings it (docs/detection.md says how to replace onnxruntime), "
    "or say --device cuda,cpu to go on without one"
)


def check(device: str) -> None:
    """Raise `UsageError` unless networks can run on this device here."""
    if device not in PROVIDERS:
        raise UsageError(f"There is no device {device!r}: choose from {', '.join(PROVIDERS)}.")
    if not is_there(device):
        raise UsageError(
            f"ONNX Runtime has no {PROVIDERS[device]} here, which {device!r} needs: {REMEDY}."
        )


def suffix(device: str) -> str:
    """Return how a specification ends for this device: "" for the processor, else "#cuda"."""
    return "" if device == CPU else f"#{device}"


def is_there(device: str) -> bool:
    """Say whether ONNX Runtime has the provider of a device; its libraries are not loaded yet."""
    return PROVIDERS[device] in ort.get_available_providers()


def choose(wanted: str) -> str:
    """Return the first of some devices that is there, such as "cuda,cpu".

    Raises `UsageError` if none is, or one of them isn't known.
    """
    names = [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in PROVIDERS:
            check(name)
    there = [name for name in names if is_there(name)]
    check((there or names)[0])
    return there[0]


def open_session(model: str | bytes, device: str) -> ort.InferenceSession:
    """Return an ONNX Runtime session for a file or the bytes of one, on exactly this device.

    One thread and no spinning, as the executor runs one process per core. The memory arena
    stays on: without it each run maps its memory anew, 8 to 60 % more CPU time. Memory patterns
    are off: they take 15 % more memory when shapes vary, and save less than 1 % of the time.

    Raises `UsageError` if the device can't be used; whatever ONNX Runtime raises for a model
    that it can't load.
    """
    check(device)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.enable_mem_pattern = False
    options.log_severity_level = 3  # errors; the warnings list initializers that nothing uses
    session = ort.InferenceSession(model, options, providers=[PROVIDERS[device]])
    if PROVIDERS[device] not in session.get_providers():  # it went to another
        raise UsageError(
            f"ONNX Runtime knows {PROVIDERS[device]} but could not start it (its messages are "
            "above): most often CUDA's or cuDNN's libraries are missing or of another version. "
            "Install those that onnxruntime-gpu names, or say --device cpu."
        )
    return session
