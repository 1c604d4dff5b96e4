"""The exceptions of sfumato, and the stable codes by which things are refused or found.

    SfumatoError
    ├── SampleError      one image can't be used: becomes a `Failure` record, the run goes on
    ├── UsageError       wrong arguments, paths or configuration: exit code 2
    │   └── MissingExtra an optional dependency is missing; the message names the command
    ├── OutputError      the release can't be written (disk full, read-only): exit code 2
    ├── ExecutorError    workers can't start, or a task breaks its contract: exit code 2
    ├── LedgerError      the ledger can't be read or is not ours: exit code 2
    └── WeightsError     the shipped weights are missing or not the bytes they should be

An error about a *sample* is a record; an error about the *run* is an exception whose
message is a sentence that says what to do.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Stable names of what can be wrong with a sample (refused) or a release (found by verify).

    They are stored in manifests and ledgers, so a name is never reused for another meaning.
    """

    # refused: the file
    FILE_UNREADABLE = "FILE_UNREADABLE"
    FILE_CHANGED = "FILE_CHANGED"
    FILE_NOT_REGULAR = "FILE_NOT_REGULAR"
    LINK_BROKEN = "LINK_BROKEN"
    LINK_LOOP = "LINK_LOOP"
    LINK_TO_RELEASE = "LINK_TO_RELEASE"
    NAME_NOT_UTF8 = "NAME_NOT_UTF8"
    NAME_TAKEN = "NAME_TAKEN"
    # refused: the image in it
    IMAGE_EMPTY = "IMAGE_EMPTY"
    IMAGE_UNRECOGNISED = "IMAGE_UNRECOGNISED"
    IMAGE_DECODE = "IMAGE_DECODE"
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"
    IMAGE_UNSUPPORTED = "IMAGE_UNSUPPORTED"
    IMAGE_ENCODE = "IMAGE_ENCODE"
    # refused: what isn't an image by name but may hold one (`--copy-other`)
    OTHER_MAY_HOLD_FACES = "OTHER_MAY_HOLD_FACES"
    # refused: the work on it
    BOXES_MISSING = "BOXES_MISSING"
    REVIEW_MISSING = "REVIEW_MISSING"
    DETECTOR_TIMEOUT = "DETECTOR_TIMEOUT"
    DETECTOR_FAILED = "DETECTOR_FAILED"
    WORKER_DIED = "WORKER_DIED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    # found by verify on the written release
    VERIFY_FILE_MISSING = "VERIFY_FILE_MISSING"
    VERIFY_FILE_UNEXPECTED = "VERIFY_FILE_UNEXPECTED"
    VERIFY_COUNT = "VERIFY_COUNT"
    VERIFY_BYTES_CHANGED = "VERIFY_BYTES_CHANGED"
    VERIFY_PIXELS_CHANGED = "VERIFY_PIXELS_CHANGED"
    VERIFY_COEFFICIENTS = "VERIFY_COEFFICIENTS"
    VERIFY_STRENGTH = "VERIFY_STRENGTH"
    VERIFY_FACE_FOUND = "VERIFY_FACE_FOUND"
    VERIFY_METADATA = "VERIFY_METADATA"
    VERIFY_SECOND_IMAGE = "VERIFY_SECOND_IMAGE"
    VERIFY_UNREADABLE = "VERIFY_UNREADABLE"
    VERIFY_OTHER = "VERIFY_OTHER"
    VERIFY_JUDGED = "VERIFY_JUDGED"


class SfumatoError(Exception):
    """Base of every exception that sfumato raises on purpose."""


class SampleError(SfumatoError):
    """One sample can't be used; stages turn it into a `Failure` record."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason

    def __reduce__(self) -> tuple[type[SampleError], tuple[Code, str]]:
        # Exceptions pickle by their `args`, which hold the joined text; workers send this across.
        return type(self), (self.code, self.reason)


class UsageError(SfumatoError):
    """The command, the configuration or the paths are wrong; nothing was written."""


class MissingExtra(UsageError):
    """An optional dependency is missing; the message names the command that installs it."""


class OutputError(SfumatoError):
    """The release can't be written; what was finished is kept and the run can be resumed."""


class ExecutorError(SfumatoError):
    """Workers can't be started, or a task didn't yield one result for each key."""


class LedgerError(SfumatoError):
    """The ledger can't be opened, or it is not a ledger of this program."""


class WeightsError(SfumatoError):
    """Shipped weights are missing or their SHA-256 is not the expected one."""
