"""What checks found wrong in the release, as far as it still holds.

`sfumato verify` searches whole images, and with any detector; the look of `sfumato run` at what
it covers is a quicker one. What a verification found in certain bytes holds for these bytes until
another verification of the same kind finds otherwise: no quicker look takes it back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

from sfumato.boxes import apart
from sfumato.detection.detect import SAME_FACE_IOU
from sfumato.errors import Code
from sfumato.ledger.ledger import Ledger, decode
from sfumato.ledger.records import recipe_from
from sfumato.recipe import Recipe
from sfumato.types import Face, Finding, Output, Redetection

# The file wasn't the one that the record speaks of: what else was found speaks of other bytes.
OTHER_BYTES: Final = frozenset({Code.VERIFY_BYTES_CHANGED, Code.VERIFY_UNREADABLE})
_FAILED: Final = '%"passed":false%'


@dataclass(frozen=True, slots=True)
class Standing:
    """A failed check of a verification of exactly the bytes `finding.digest`.

    `obfuscated` is the fingerprint of the obfuscation, `detectors` what was searched with.
    """

    finding: Finding
    obfuscated: str
    detectors: tuple[str, ...]

    def of(self, output: Output, obfuscated: str) -> Finding | None:
        """Return the finding if it holds for an output that was made with these settings."""
        finding = self.finding
        if finding.digest != output.written:
            return None
        if finding.code is not Code.VERIFY_FACE_FOUND:  # depends on how it was made
            return finding if self.obfuscated == obfuscated else None
        people_say = finding.faces and not apart(finding.faces, output.rejected, SAME_FACE_IOU)
        return None if people_say else finding


def standing(ledger: Ledger) -> dict[str, list[Standing]]:
    """Return by key what the last verification of each kind found wrong in certain bytes."""
    rows = ledger.read("SELECT fingerprint, recipe, seq FROM runs WHERE command = 'verify'")
    runs: defaultdict[str, dict[int, Recipe]] = defaultdict(dict)
    for fingerprint, recipe, run in list(rows):
        runs[fingerprint][run] = recipe_from(recipe)
    found: defaultdict[str, list[Standing]] = defaultdict(list)
    for fingerprint, whole in runs.items():
        recipe = next(iter(whole.values()))
        made, detectors = recipe.fingerprint("obfuscate"), recipe.verify.detectors
        for key, history in _histories(ledger, fingerprint):
            by_bytes: dict[str, list[Finding]] = {}
            for run, findings in history.items():
                digest = _exactly(findings)
                if run in whole and digest:
                    by_bytes[digest] = [one for one in findings if not one.passed]
            found[key] += [
                Standing(one, made, detectors) for some in by_bytes.values() for one in some
            ]
    return {key: some for key, some in found.items() if some}


def last_failed(ledger: Ledger, fingerprint: str) -> dict[str, list[Finding]]:
    """Return by key what the last run that checked it with these settings found wrong."""
    failed: dict[str, list[Finding]] = {}
    for key, history in _histories(ledger, fingerprint):
        wrong = [finding for finding in history[max(history)] if not finding.passed]
        if wrong:
            failed[key] = wrong
    return failed


def checks_of(ledger: Ledger, recipe: Recipe) -> list[str]:
    """Return the fingerprints of all checks and observers of what this recipe's covers write."""
    made, found = recipe.fingerprint("obfuscate"), set[str]()
    texts = [text for (text,) in ledger.read("SELECT DISTINCT recipe FROM runs")]
    for one in (recipe, *map(recipe_from, texts)):
        if one.fingerprint("obfuscate") == made:
            found |= {one.fingerprint(step) for step in one.steps[2:]}
    return sorted(found)


def uncovered(ledger: Ledger, recipe: Recipe) -> list[Redetection]:
    """Return the faces that checks saw in the images of a release as they are now.

    With them are those that were asked for before. Images in which nothing new was seen are
    left out, and so are findings of older versions, which didn't keep boxes.
    """
    seen: defaultdict[str, list[Standing]] = defaultdict(list, standing(ledger))
    made = recipe.fingerprint("obfuscate")
    for key, findings in last_failed(ledger, recipe.fingerprint("verify")).items():
        if not any(one.code in OTHER_BYTES for one in findings):
            seen[key] += [Standing(one, made, recipe.verify.detectors) for one in findings]
    wanted = (_wanted(ledger, recipe, key, some) for key, some in sorted(seen.items()))
    return [one for one in wanted if one is not None]


def _wanted(
    ledger: Ledger, recipe: Recipe, key: str, seen: Iterable[Standing]
) -> Redetection | None:
    made = recipe.fingerprint("obfuscate")
    fate = ledger.latest_of(made, ("output", "failure"), key)
    if not isinstance(fate, Output):
        return None
    before = ledger.latest_of(recipe.fingerprint("detect"), ("redetection",), key)
    faces: list[Face] = []
    detectors: list[str] = []
    if isinstance(before, Redetection) and before.digest == fate.digest:
        faces, detectors = list(before.faces), list(before.detectors)
    known = len(faces)
    for one in seen:
        if one.finding.code is Code.VERIFY_FACE_FOUND and one.of(fate, made):
            faces += apart(one.finding.faces, fate.rejected, SAME_FACE_IOU)
            detectors += one.detectors
    faces = list(dict.fromkeys(faces))
    if len(faces) == known:
        return None
    return Redetection(key, fate.digest, tuple(faces), tuple(dict.fromkeys(detectors)))


def _histories(ledger: Ledger, fingerprint: str) -> Iterator[tuple[str, dict[int, list[Finding]]]]:
    """Yield (key, run to its findings) of the keys in which any run found something wrong."""
    rows = ledger.read(
        "SELECT key FROM records WHERE fingerprint = ? AND kind = 'finding' AND body LIKE ? "
        "ORDER BY key",
        (fingerprint, _FAILED),
    )
    for key, _ in groupby(list(rows), itemgetter(0)):
        bodies = ledger.read(
            "SELECT run, body FROM records WHERE fingerprint = ? AND kind = 'finding' "
            "AND key = ? ORDER BY seq",
            (fingerprint, key),
        )
        runs: defaultdict[int, dict[str, Finding]] = defaultdict(dict)
        for run, body in bodies:
            finding = decode("finding", body)
            if isinstance(finding, Finding):  # of a check that one run made twice, the latest
                runs[run][finding.code] = finding
        yield key, {run: list(by_code.values()) for run, by_code in sorted(runs.items())}


def _exactly(findings: Iterable[Finding]) -> str:
    """Return the SHA-256 of the output that findings speak of, "" if other bytes lay there."""
    sound = ""
    for finding in findings:
        if finding.code in OTHER_BYTES and not finding.passed:
            return ""
        if finding.code is Code.VERIFY_BYTES_CHANGED:
            sound = finding.digest
    return sound
