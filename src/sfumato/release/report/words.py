"""What the report says in words: what each code means, and what nobody measured.

Everything here may be published: no name of a file or person, no path, no reason of a failure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from sfumato.errors import Code
from sfumato.types import JSON

MEANING: Final[dict[Code, str]] = {
    Code.FILE_UNREADABLE: "The file could not be read.",
    Code.FILE_CHANGED: "The file changed while it was read.",
    Code.FILE_NOT_REGULAR: "It is not a regular file.",
    Code.LINK_BROKEN: "It is a link to a file that does not exist.",
    Code.LINK_LOOP: "It is a link that leads back to itself.",
    Code.LINK_TO_RELEASE: "It is a link to the release or to what is kept private.",
    Code.NAME_NOT_UTF8: "The file's name is not valid UTF-8.",
    Code.NAME_TAKEN: "The source has a file of the name that the release needs.",
    Code.IMAGE_EMPTY: "The file holds no bytes.",
    Code.IMAGE_UNRECOGNISED: "The name is an image's, but no known image format is in the file.",
    Code.IMAGE_DECODE: "The image is damaged or cut off.",
    Code.IMAGE_TOO_LARGE: "The image has more pixels than this run allowed.",
    Code.IMAGE_UNSUPPORTED: "This kind of image cannot be edited or cleaned without a loss.",
    Code.IMAGE_ENCODE: "The obfuscated image could not be written.",
    Code.OTHER_MAY_HOLD_FACES: "Not copied: it is no image by its name, but could hold one.",
    Code.BOXES_MISSING: "The file of boxes does not name this image.",
    Code.REVIEW_MISSING: "Nobody has decided on this image, and the run asked for that.",
    Code.DETECTOR_TIMEOUT: "The search for faces took too long.",
    Code.DETECTOR_FAILED: "A detector gave no usable answer.",
    Code.WORKER_DIED: "The process that worked on the image died.",
    Code.INTERNAL_ERROR: "sfumato failed on this image.",
    Code.VERIFY_FILE_MISSING: "Every image of the account is in the release.",
    Code.VERIFY_FILE_UNEXPECTED: "The release holds nothing that is not in the account.",
    Code.VERIFY_COUNT: "Images in are images out plus refused, in every class.",
    Code.VERIFY_BYTES_CHANGED: "The files of the release are, by digest, those they should be.",
    Code.VERIFY_PIXELS_CHANGED: "Away from the faces the pixels are the original's.",
    Code.VERIFY_COEFFICIENTS: "Away from the faces a second reader finds the same JPEG blocks.",
    Code.VERIFY_STRENGTH: "What is left inside each face is below its limit.",
    Code.VERIFY_FACE_FOUND: "The detectors, run again on what was edited, find no face.",
    Code.VERIFY_METADATA: "Where metadata had to go, no preview, place or maker note is left.",
    Code.VERIFY_SECOND_IMAGE: "Further images inside the files were searched and show no face.",
    Code.VERIFY_UNREADABLE: "Every written image can be opened again.",
    Code.VERIFY_OTHER: "Other files, but for those copied unchecked, can't hold an image.",
    Code.VERIFY_JUDGED: "What was observed over the whole set is within its limits.",
}
"""Of a refusal: what is wrong with the image. Of a check: what holds when it passes."""

FAILED: Final[dict[Code, str]] = {
    Code.VERIFY_FILE_MISSING: "It should be in the release and isn't.",
    Code.VERIFY_FILE_UNEXPECTED: "It is in the release and nothing accounts for it.",
    Code.VERIFY_COUNT: "Images in are not images out plus refused.",
    Code.VERIFY_BYTES_CHANGED: "The file isn't the one that was written.",
    Code.VERIFY_PIXELS_CHANGED: "Pixels changed away from every face; in grey levels.",
    Code.VERIFY_COEFFICIENTS: "JPEG blocks changed away from every face, as libjpeg reads them.",
    Code.VERIFY_STRENGTH: "More of a face is left than is allowed; 1 would be all of it.",
    Code.VERIFY_FACE_FOUND: "A detector still finds faces; how many.",
    Code.VERIFY_METADATA: "Private metadata are left; how many parts.",
    Code.VERIFY_SECOND_IMAGE: "Images inside the file show a face or can't be searched; how many.",
    Code.VERIFY_UNREADABLE: "The written image can't be opened.",
    Code.VERIFY_OTHER: "A file that is no image by its name was copied and could hold one.",
    Code.VERIFY_JUDGED: "An observer of the whole set found this; the unit is its own.",
}
"""Of a check that failed: what that means, and the unit of its value."""

TERMS_OF_WEIGHTS: Final = (
    "The face detectors CenterFace and YuNet are published under the MIT licence. Both were "
    "trained on WIDER FACE, a data set whose own terms allow research, not commercial use."
)

MISSED_FACES: Final = "Faces that are still there"
_MISSED: Final = (
    "Not measured: no sample was checked by people. Every detector misses faces, most of all "
    "small, turned, dark and partly hidden ones, and the search of the release only finds what "
    "a detector can see."
)
_MISSED_REVIEWED: Final = (
    "Not measured: people looked at {:,} images to correct boxes, but no random sample of the "
    "release was checked, so how many faces are left is not known."
)
_NEEDLESS: Final = (
    "Not measured: nobody looked at what was covered. Faces of animals, statues and drawings may "
    "be among it."
)
_RECOGNISED: Final = (
    "Not measured: no attempt was made to recognise anybody in the release. Published attacks "
    "have recognised people behind blurred and pixelated faces; bodies, clothes, places and "
    "captions identify people too."
)
_UNDONE: Final = "Not measured: no attempt was made to restore a face from what is left of it."
_EQUAL: Final = (
    "Not measured: whether faces are missed more often for some skin tones, ages or genders."
)
_TRAINING: Final = "Not measured: no model was trained on the release."
_OTHER: Final = (
    "Not searched for: number plates, names, documents, screens, tattoos, backs of heads."
)
_GUARANTEE: Final = "None: obfuscating faces lowers a risk; no mathematical bound on it is claimed."

_UNCHECKED: Final = {
    Code.VERIFY_STRENGTH: ("Strength", "how much is left inside the faces"),
    Code.VERIFY_FACE_FOUND: ("Second search", "whether detectors still find faces in the release"),
    Code.VERIFY_PIXELS_CHANGED: ("Rest of the image", "whether pixels away from faces changed"),
    Code.VERIFY_METADATA: ("Metadata", "whether previews or places are left in edited files"),
}


def not_measured(checked: Mapping[Code, int], *, reviewed: int, obfuscated: int) -> list[JSON]:
    """List what this run can't tell, as {"what", "why"} in plain words.

    `checked` says how many findings there are of each code, passed or not; `reviewed` is the
    number of images that people looked at, `obfuscated` of those that should be checked.
    """
    rows = [
        (MISSED_FACES, _MISSED_REVIEWED.format(reviewed) if reviewed else _MISSED),
        ("Boxes without a face", "Not measured: no sample was checked." if reviewed else _NEEDLESS),
        ("Recognition of the people", _RECOGNISED),
        ("Undoing the obfuscation", _UNDONE),
        ("Equal protection", _EQUAL),
        ("Effect on training", _TRAINING),
        ("Anything but faces", _OTHER),
        ("A formal guarantee", _GUARANTEE),
    ]
    for code, (what, why) in _UNCHECKED.items():
        missing = obfuscated - checked.get(code, 0)
        if missing > 0:
            extent = f"for {missing:,} of {obfuscated:,} obfuscated images"
            rows.append((what, f"Not measured {extent}: {why} ({code})."))
    return [{"what": what, "why": why} for what, why in rows]


def uses_wider_face(recipe: JSON) -> bool:
    """Say whether a detector that was trained on WIDER FACE is named anywhere in the recipe."""
    settings = json.dumps(recipe).lower()
    return any(name in settings for name in ("centerface", "yunet", "finder"))
