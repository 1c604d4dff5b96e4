"""The checks of what was written: it is read again, measured and searched.

Every check gives one `Finding` for an image, passed or not, with what was measured and the
limit. Nothing here trusts what an earlier stage said about its own work; only the ledger's
digests and boxes are taken from there.

| code | what is measured | limit |
|---|---|---|
| VERIFY_BYTES_CHANGED | the written file is not the one that it should be: 0 or 1 | 0 |
| VERIFY_UNREADABLE | the written file can't be decoded: 0 or 1 | 0 |
| VERIFY_METADATA | private parts left in an edited file, under "all" in any file | 0 |
| VERIFY_SECOND_IMAGE | further images in the file that show a face or can't be searched | 0 |
| VERIFY_PIXELS_CHANGED | change away from every face, in grey levels | 0; `REENCODED_LIMIT` |
| VERIFY_COEFFICIENTS | JPEG blocks that changed away from every face, by libjpeg | 0 |
| VERIFY_STRENGTH | how much is left of the worst face, see `strength` | the method's `limit` |
| VERIFY_FACE_FOUND | faces that the detectors still find | 0 |

VERIFY_METADATA also names what any file, copied ones too, holds outside its visible frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sfumato.boxes import apart, as_boxes, grow, iou, misplaced, to_stored
from sfumato.detection.detect import SAME_FACE_IOU, find
from sfumato.detection.in_hand import Look
from sfumato.errors import Code, SampleError
from sfumato.imaging import codec, jpeg
from sfumato.imaging.codec import DecodedImage
from sfumato.imaging.jpeg import Policy
from sfumato.imaging.jpeg.independent import compare
from sfumato.obfuscation import METHODS, strength
from sfumato.obfuscation.second_images import unwanted
from sfumato.obfuscation.step import left_of
from sfumato.recipe import Recipe
from sfumato.types import Box, Detector, Face, Finding, Obfuscator, Output, Pixels, Sample

# A JPEG that is written again with its own tables moves pixels everywhere by rounding and
# clipping. In 154 edited ImageNet images the luma of the worst 8×8 cell moved by 0.3 grey
# levels in the median and by 2.5 at most; whatever was painted or blurred moves it by more.
REENCODED_LIMIT: Final = 4.0
# Chroma is stored at half size and smoothed on decoding, so an edit shows this far beyond itself.
_FRINGE_PX: Final = 16
_CELL: Final = 8


@dataclass(frozen=True, slots=True)
class Checks:
    """What the images of a release are checked with: how they were made, and the detectors.

    With `second_reader`, exactly edited JPEG files are also compared coefficient by coefficient
    by libjpeg (extra `verify`).
    """

    recipe: Recipe
    obfuscator: Obfuscator
    detectors: Sequence[Detector]
    second_reader: bool = False

    @property
    def searched(self) -> bool:
        """Say whether these detectors found no face in what was copied: others may."""
        return self.recipe.verify.detectors == self.recipe.detect.detectors

    @property
    def max_pixels(self) -> int:
        """Images with more pixels are refused."""
        return self.recipe.detect.max_pixels

    @property
    def metadata(self) -> Policy:
        """The policy by which the release was made."""
        return self.recipe.obfuscate.metadata


def verify(
    sample: Sample,
    before: DecodedImage | None,
    after: bytes,
    output: Output,
    checks: Checks,
    *,
    look: Look | None = None,
) -> list[Finding]:
    """Check one image of the release against its source.

    `before` is the sample decoded, needed if it was obfuscated or written anew; `after` is what was
    written. `look` is what was seen and measured, with the same detectors and settings, in exactly
    the bytes of `output.written`: these needn't be looked at again. Any other bytes are.
    """
    same = hashlib.sha256(after).hexdigest() == output.written
    copied = output.action == "copied"
    found = _bytes(sample, before, after, output, checks, same=same)
    if copied and output.faces:
        found.append(_holds_nothing(sample.data, output, checks))
    searched = checks.searched and (before is not None or not _deep(after, checks.max_pixels))
    look = look if same else None
    # `release` has looked through exactly these bytes for further images, and found none.
    none = look is not None or (same and before is not None and output.written == sample.digest)
    if not (none and output.second_images == output.second_images_removed):
        found += _second_images(after, output, checks, same=same)
    if copied and all(finding.passed for finding in found) and searched:
        return found
    try:
        image = look.image if look else codec.decode(after, max_pixels=checks.max_pixels)
    except SampleError as error:
        return [*found, _finding(output, Code.VERIFY_UNREADABLE, 1, 0, error.reason)]
    if output.action == "obfuscated":
        if before is None:
            raise ValueError("an obfuscated image is compared with its source, decoded")
        found += _edited(before, image, after, output, checks, look)
        if checks.second_reader and output.encoding == "exact":
            found += _second_reading(sample.data, after, output, checks)
    seen = find(image, checks.detectors) if look is None or look.seen is None else look.seen
    return [*found, _still_seen(apart(seen, output.rejected, SAME_FACE_IOU), output)]


def _bytes(
    sample: Sample,
    before: DecodedImage | None,
    after: bytes,
    output: Output,
    checks: Checks,
    *,
    same: bool,
) -> list[Finding]:
    """Check that a file is the one that it should be, and of a copied one what had to go."""
    copied = output.action == "copied"
    untouched = output.written == sample.digest
    cleaned = copied and output.encoding == "exact" and _had_to_go(sample, output, checks)
    rewritten = copied and output.encoding == "reencoded" and codec.is_heic(sample.data)
    kept = same and (untouched or cleaned or rewritten or not copied)
    found = [_finding(output, Code.VERIFY_BYTES_CHANGED, float(not kept), 0)]
    if rewritten:
        found += _rewritten(before, after, output, checks)
    elif cleaned or (copied and checks.metadata == "all"):
        found += _cleaned(sample.data, after, output, checks)
    elif copied and not (untouched and same and before is not None and before.whole):
        found += _concealed(after, output)
    return found


def _still_seen(seen: Sequence[Face], output: Output) -> Finding:
    finding = _finding(output, Code.VERIFY_FACE_FOUND, len(seen), 0, _where(seen, output))
    return replace(finding, faces=tuple(seen))


def _holds_nothing(before: bytes, output: Output, checks: Checks) -> Finding:
    """Check a copied image with boxes: it may only be one because they hold nothing to cover."""
    try:
        image = codec.decode(before, max_pixels=checks.max_pixels).frames[0]
    except SampleError as error:
        return _finding(output, Code.VERIFY_UNREADABLE, 1, 0, error.reason)
    shown = sum(not strength.holds_nothing(image, face.box) for face in output.faces)
    words = "" if shown == 0 else "copied although its boxes hold something"
    return _finding(output, Code.VERIFY_STRENGTH, float(shown > 0), strength.LIMIT, words)


def _metadata(
    after: bytes,
    output: Output,
    *,
    keep_safe: bool = False,
    frames: bool = False,
    whole: bool = False,
) -> Finding:
    private = codec.private_metadata(after, keep_safe=keep_safe, frames=frames, whole=whole)
    return _named(private, output)


def _named(private: Sequence[str], output: Output) -> Finding:
    return _finding(output, Code.VERIFY_METADATA, len(private), 0, ", ".join(private))


def _second_images(after: bytes, output: Output, checks: Checks, *, same: bool) -> list[Finding]:
    """Check the further images in a file, if it holds any: what wasn't searched before, is now."""
    images = codec.embedded_images(after)
    if not images:
        return []
    searched = output.second_images - output.second_images_removed
    if not (same and checks.searched and len(images) <= searched):
        images = unwanted(images, checks.detectors, max_pixels=checks.max_pixels)
    else:
        images = tuple(one for one in images if one.data is None)
    kinds = ", ".join(dict.fromkeys(one.kind for one in images))
    return [_finding(output, Code.VERIFY_SECOND_IMAGE, len(images), 0, kinds)]


def _deep(after: bytes, max_pixels: int) -> bool:
    """Tell whether a file has 16 bits a channel: once only its high bytes were searched."""
    if codec.sniff(after[: codec.HEAD]) not in ("PNG", "TIFF"):
        return False
    try:
        return codec.inspect(after, max_pixels=max_pixels).bits > 8
    except SampleError:
        return True


def _had_to_go(sample: Sample, output: Output, checks: Checks) -> bool:
    """Tell whether a source without a face held something that had to go."""
    if checks.metadata == "all" or output.second_images_removed > 0:
        return True
    try:
        return bool(codec.concealed(sample.data))
    except SampleError:
        return False


def _concealed(after: bytes, output: Output) -> list[Finding]:
    """Name what a copy holds outside its visible frame, where nobody searched; nothing if clean."""
    try:
        found = codec.concealed(after)
    except SampleError as error:
        return [_finding(output, Code.VERIFY_UNREADABLE, 1, 0, error.reason)]
    return [_named(found, output)] if found else []


def _cleaned(before: bytes, after: bytes, output: Output, checks: Checks) -> list[Finding]:
    """Check an image without a face of which a part had to go: the rest is the same.

    Under "all" nothing private is left.
    """
    try:
        if checks.metadata == "all":
            found = [_metadata(after, output, frames=True)]
        else:
            found = [_named(codec.concealed(after), output)]
        if before != after:
            moved = codec.difference(before, after, max_pixels=checks.max_pixels)
            words = (
                "" if moved is not None else "its size, frames, turn, palette or profile changed"
            )
            value = 255 if moved is None else moved
            found.append(_finding(output, Code.VERIFY_PIXELS_CHANGED, value, 0, words))
    except SampleError as error:
        return [_finding(output, Code.VERIFY_UNREADABLE, 1, 0, error.reason)]
    return found


def _rewritten(
    before: DecodedImage | None, after: bytes, output: Output, checks: Checks
) -> list[Finding]:
    """Check a HEIC without a face that became a JPEG: it is clean, and shows the same."""
    if before is None:
        raise ValueError("a rewritten image is compared with its source, decoded")
    try:
        found = [_metadata(after, output)]
        shown = codec.decode(after, max_pixels=checks.max_pixels).frames[0]
    except SampleError as error:
        return [_finding(output, Code.VERIFY_UNREADABLE, 1, 0, error.reason)]
    same_size = shown.shape == before.frames[0].shape
    moved = 255.0
    if same_size:
        moved = changed_outside(before.frames[0], shown, (), fringe=0, cell=_CELL)
    words = "" if same_size else "its size changed"
    return [*found, _finding(output, Code.VERIFY_PIXELS_CHANGED, moved, REENCODED_LIMIT, words)]


def _edited(
    before: DecodedImage,
    after: DecodedImage,
    data: bytes,
    output: Output,
    checks: Checks,
    look: Look | None,
) -> list[Finding]:
    """Find what an obfuscated image holds, changed where it mustn't, or left of its faces."""
    keep_safe = checks.metadata == "keep-safe"
    private = _metadata(data, output, keep_safe=keep_safe, whole=after.whole)
    old, new = before.frames[0], after.frames[0]
    if old.shape != new.shape or (before.deep is None) != (after.deep is None):
        words = f"{new.shape[1]}×{new.shape[0]} instead of {old.shape[1]}×{old.shape[0]}"
        words = words if old.shape != new.shape else "another number of bits"
        return [private, _finding(output, Code.VERIFY_PIXELS_CHANGED, 255, 0, words)]
    boxes = [face.box for face in output.faces]
    reaches = checks.obfuscator.reaches([*boxes, *(ghost.box for ghost in output.ghosts)])
    if output.encoding == "exact":
        fringe = _exact_fringe(data, checks.max_pixels)
        change, limit = changed_outside(old, new, reaches, fringe=fringe, cell=1), 0.0
        if before.deep is not None and after.deep is not None:
            samples = before.deep.samples, after.deep.samples
            moved = changed_outside(*samples, reaches, fringe=fringe, cell=1)
            change = max(change, moved / 257)  # of 65535, in grey levels
    else:
        change = changed_outside(old, new, reaches, fringe=_FRINGE_PX, cell=_CELL)
        limit = REENCODED_LIMIT
    left = look.left if look else left_of(before, after, boxes)
    most, words = _most_left(left, boxes, old.shape[1], old.shape[0], output)
    return [
        private,
        _finding(output, Code.VERIFY_PIXELS_CHANGED, change, limit),
        _finding(output, Code.VERIFY_STRENGTH, most, METHODS[output.method].limit, words),
    ]


def _most_left(
    left: Sequence[float], boxes: Sequence[Box], width: int, height: int, output: Output
) -> tuple[float, str]:
    """Return how much is left of the worst face, and in words why, if that needs some."""
    if output.written == output.digest:
        return max(1.0, *left), "obfuscated, with the bytes of the source"
    return max(left), next(filter(None, (misplaced(box, width, height) for box in boxes)), "")


def _second_reading(before: bytes, after: bytes, output: Output, checks: Checks) -> list[Finding]:
    """Have libjpeg count the blocks of a JPEG that changed outside the reach of every face."""
    header = codec.inspect(before, max_pixels=checks.max_pixels)
    if header.format not in ("JPEG", "MPO"):
        return []
    boxes = [
        to_stored(face.box, header.orientation, header.width, header.height)
        for face in (*output.faces, *output.ghosts)
    ]
    told = compare(before, after, boxes, checks.obfuscator, max_pixels=checks.max_pixels)
    wrong = told.blocks_outside + told.tables_differ + told.sampling_differs
    return [_finding(output, Code.VERIFY_COEFFICIENTS, wrong, 0, "as libjpeg reads them")]


def _exact_fringe(data: bytes, max_pixels: int) -> int:
    """Return how far from a reach the pixels of an exactly edited file may change.

    In a JPEG the whole blocks under a reach are quantised again, and decoders smooth subsampled
    colour by one pixel more; in other files nothing changes beyond the reach.
    """
    if codec.sniff(data[: codec.HEAD]) not in ("JPEG", "MPO"):
        return 0
    components = jpeg.inspect(data, max_pixels=max_pixels).components
    return 8 * max(max(one.h, one.v) for one in components) + 1


def changed_outside(
    before: NDArray[Any], after: NDArray[Any], reaches: Sequence[Box], *, fringe: int, cell: int
) -> float:
    """Return the largest change away from every reach, in grey levels (0 to 255).

    With `cell` 1 it is the largest difference of any pixel in any channel. Otherwise the image
    is cut into `cell` by `cell` pixels, and it is the largest mean of the luma's absolute
    difference, over a cell, where pixels within `fringe` of a reach count as unchanged.
    """
    near = [
        (
            slice(max(int(y0) - fringe, 0), max(int(np.ceil(y1)) + fringe, 0)),
            slice(max(int(x0) - fringe, 0), max(int(np.ceil(x1)) + fringe, 0)),
        )
        for x0, y0, x1, y1 in reaches
    ]
    if cell == 1:
        levels = np.maximum(before, after)
        levels -= np.minimum(before, after)
        for place in near:
            levels[place] = 0
        return float(levels.max())
    moved = np.abs(_luma(before) - _luma(after))
    for place in near:
        moved[place] = 0
    # Over the whole cell: the mean of the few pixels of a cut one would be noise.
    return float(_cells(moved, cell).max()) / (cell * cell)


def _luma(pixels: Pixels) -> NDArray[np.float32]:
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
    luma: NDArray[np.float32] = np.matmul(pixels, weights)
    return luma


def _cells(plane: NDArray[Any], cell: int) -> NDArray[np.float32]:
    rows, columns = (np.arange(0, side, cell) for side in plane.shape)
    across = np.add.reduceat(plane, columns, axis=1, dtype=np.float32)
    total: NDArray[np.float32] = np.add.reduceat(across, rows, axis=0)
    return total


def _where(faces: Sequence[Face], output: Output) -> str:
    if not faces:
        return ""
    covered = as_boxes([grow(face.box, 0.25) for face in (*output.faces, *output.ghosts)])
    inside = int((iou(as_boxes([face.box for face in faces]), covered) > 0.1).any(axis=1).sum())
    best = max(faces, key=lambda face: face.score)
    return (
        f"{inside} at an obfuscated face, {len(faces) - inside} elsewhere; the best has score "
        f"{best.score:.2f} by {best.origin} at {', '.join(f'{side:.0f}' for side in best.box)}"
    )


def _finding(output: Output, code: Code, value: float, limit: float, detail: str = "") -> Finding:
    passed = value <= limit
    return Finding(output.key, code, passed, float(value), float(limit), detail, output.written)
