"""Looks for shortcuts in the models of a study: what `shortcut` counts, for every train arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato import private
from sfumato.study import shortcut
from sfumato.study.arms import Stored
from sfumato.study.configuration import method_of
from sfumato.study.features import pixels_of
from sfumato.study.looking import Look
from sfumato.study.matrix import seen_by
from sfumato.study.patches import Patch, patch_of
from sfumato.study.plan import Cell
from sfumato.types import JSON

_ROWS: Final = 20
_SHOWN_CLASSES: Final = 3
_SHOWN_PICTURES: Final = 3
_SHOWN_SIZE: Final = (720, 360)

Moves = dict[tuple[str, str], list[NDArray[np.float64]]]  # by train arm and patch; one a seed


@dataclass(frozen=True, slots=True)
class Patched:
    """The pictures that are patched: clear, with the control, and one for each method."""

    keys: tuple[str, ...]
    control: tuple[Stored, ...]
    methods: dict[str, tuple[Stored, ...]]

    def all(self) -> list[Stored]:
        """Return every version of every picture."""
        return [*self.control, *(one for files in self.methods.values() for one in files)]


def search(look: Look, protocol: str, path: Path) -> JSON:
    """Return how well obfuscation is seen and what it speaks for, with tables and pictures.

    Pictures are written beside `path`.
    """
    patched = patch(look, protocol)
    names = look.labelling(protocol).classes
    moves = _moves(look, protocol, patched)
    found = judge(moves, names)
    visible = _visible(look, protocol)
    alarms = [
        {"class": one.name, "train_arm": arm, "points": 100 * one.change}
        for (arm, _), all_ in found.items()
        for one in all_
        if one.alarm
    ]
    shown = [
        picture
        for (arm, method), all_ in found.items()
        for picture in _show(
            patched,
            method,
            all_,
            np.mean(moves[arm, method], axis=0),
            path.with_name(f"{path.name}-{arm}"),
        )
    ]
    return {
        "headline": _headline(look.architecture.name, alarms, len(patched.keys)),
        "alarms": alarms,
        "tables": [_visible_table(visible), *(_table(*of, all_) for of, all_ in found.items())],
        "pictures": shown,
        "patched_pictures": len(patched.keys),
        "visible": {arm: None if one is None else asdict(one) for arm, one in visible.items()},
    }


def patch(look: Look, protocol: str) -> Patched:
    """Return the test pictures with a patch where no face is, up to the number configured."""
    study = look.plan.study
    labels, pictures = look.labelling(protocol).labels, look.pictures
    files = look.plan.test.arms["original"].files
    trained_on = study.arms.test if protocol == "as-is" else study.arms.train
    methods = sorted({method_of(arm) for arm in trained_on} - {""})
    placed: list[tuple[str, Patch]] = []
    keys = look.by_hash(key for key in files if key in labels)
    faceless = [key for key in keys if not pictures[key].faces]
    # A face beside the patch says something too: pictures without one come first.
    for key in faceless if len(faceless) >= shortcut.FEWEST else keys:
        if len(placed) == study.consequences.pictures:
            break
        one = pictures[key]
        found = patch_of("", key, (one.width, one.height), one.faces, study.arms.seed)
        if found is not None:
            placed.append((key, found))
    return Patched(
        tuple(key for key, _ in placed),
        tuple(files[key].changed(one) for key, one in placed),
        {
            method: tuple(
                files[key].changed(Patch(method, one.box, one.taken)) for key, one in placed
            )
            for method in methods
        },
    )


def judge(moves: Moves, names: Sequence[str]) -> dict[tuple[str, str], list[shortcut.Finding]]:
    """Return the findings by train arm and patch.

    Where there is a model that learnt from originals, with the same seed, what its classes do is
    taken away from what the others' do, picture by picture; itself it raises no alarm.
    """
    compared = any(arm != "original" for arm, _ in moves)
    found: dict[tuple[str, str], list[shortcut.Finding]] = {}
    for (arm, method), seeds in moves.items():
        base = moves.get(("original", method))
        taken = seeds if arm == "original" or base is None else _differences(seeds, base)
        least = np.inf if arm == "original" and compared else shortcut.LEAST
        per_seed = [shortcut.per_class(one, names) for one in taken]
        found[arm, method] = shortcut.findings(per_seed, float(least))
    return found


def _differences(
    after: Sequence[NDArray[np.float64]], before: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    return [one - other for one, other in zip(after, before, strict=True)]


def _moves(look: Look, protocol: str, patched: Patched) -> Moves:
    moves: Moves = {}
    if not patched.keys:
        return moves
    cells = look.cells(protocol)
    uses_source = protocol in ("probe", "as-is")
    seen = look.see(patched.all()) if uses_source else None
    for cell in cells:
        wanted = [
            method
            for method in patched.methods
            if cell.train_arm == "original" or method_of(cell.train_arm) == method
        ]
        for method, change in _moved(look, cell, patched, wanted, seen).items():
            moves.setdefault((cell.train_arm, method), []).append(change)
    return moves


def _moved(
    look: Look, cell: Cell, patched: Patched, methods: Sequence[str], seen: Any
) -> dict[str, NDArray[np.float64]]:
    """Return the (n, classes) changes of a cell's probabilities, by method."""
    if not methods:
        return {}
    labelling = look.labelling(cell.protocol)
    truth = np.asarray([labelling.labels[key] for key in patched.keys], dtype=np.int64)
    place = {key: i for i, key in enumerate(patched.keys)}
    versions = {"": patched.control, **{method: patched.methods[method] for method in methods}}
    logits = {one: np.zeros((len(place), len(labelling.classes))) for one in versions}
    for tested, say in look.judges(cell, seen):
        rows = [place[key] for key in tested if key in place]
        if cell.protocol == "as-is":
            rows = list(place.values())
        files = [of[row] for of in versions.values() for row in rows]
        if files:  # all at once: each asking has its price
            said = say(files).reshape(len(versions), len(rows), -1)
            for version, found in zip(versions, said, strict=True):
                logits[version][rows] = found
    return {
        method: shortcut.changes(logits[method], logits[""], truth, labelling.classes)
        for method in methods
    }


def _visible(look: Look, protocol: str) -> dict[str, shortcut.Seen | None]:
    """Return how well each test arm is told from the originals of the pictures it changes."""
    plan, pictures = look.plan, look.pictures
    names = [name for name in plan.study.arms.test if name != "original"]
    source = look.network_of(look.cells(protocol)[0])
    seen = seen_by(plan, source, names, look.device)
    clear = plan.test.arms["original"]
    found: dict[str, shortcut.Seen | None] = {}
    for name in names:
        arm = plan.test.arms[name]
        keys = sorted(
            key
            for key in arm.files
            if pictures[key].faces and arm.files[key].id != clear.files[key].id
        )
        before, after = (seen.features[seen.rows(one, keys)] for one in (clear, arm))
        found[name] = shortcut.visibility(before, after, plan.study.probe.l2)
    return found


def _show(
    patched: Patched,
    method: str,
    findings: Sequence[shortcut.Finding],
    moved: NDArray[np.float64],
    base: Path,
) -> list[JSON]:
    """Write pictures, control beside patch, of the classes that gain most, and most of them.

    Those with an alarm, or else the first; `moved` are the changes (n, classes), mean over seeds.
    """
    shown: list[JSON] = []
    chosen = [one for one in findings if one.alarm][:_SHOWN_CLASSES] or list(findings[:1])
    for number, finding in enumerate(chosen):
        gains = np.nan_to_num(moved[:, finding.place], nan=-np.inf)
        for rank, row in enumerate(np.argsort(-gains, kind="stable")[:_SHOWN_PICTURES]):
            path = base.with_name(f"{base.name}-{method}-{number}-{rank}.jpg")
            private.folder(path.parent)
            pair = [pixels_of(files[row]) for files in (patched.control, patched.methods[method])]
            picture = Image.fromarray(np.concatenate(pair, axis=1))
            picture.thumbnail(_SHOWN_SIZE)
            picture.save(path, "JPEG", quality=90)
            caption = (
                f"{patched.keys[row]}: a clear patch left, {method} right. {finding.name} gains "
                f"{100 * gains[row]:.1f} points here, {100 * finding.change:.1f} on average"
            )
            shown.append({"file": path.name, "caption": caption})
    return shown


def _headline(name: str, alarms: Sequence[JSON], pictures: int) -> str:
    if pictures < shortcut.FEWEST:
        return f"{name}: {pictures} pictures could be patched, too few to look for a shortcut."
    if not alarms:
        return (
            f"{name}: no class gains 5 points or more in every seed from an obfuscated patch "
            f"({pictures} pictures)."
        )
    told = ", ".join(f"{one['class']} +{one['points']:.0f} ({one['train_arm']})" for one in alarms)
    return f"{name} has learnt a shortcut: an obfuscated patch alone speaks for {told}."


def _visible_table(visible: dict[str, shortcut.Seen | None]) -> JSON:
    rows = [
        [arm, one.auc, one.low, one.high, one.n]
        if one is not None
        else [arm, "not measured: fewer than 30 affected pictures", "", "", ""]
        for arm, one in visible.items()
    ]
    columns = ["arm", "AUC against original", "low", "high", "n"]
    return {"title": "Can obfuscation be seen in the features?", "columns": columns, "rows": rows}


def _table(arm: str, method: str, findings: Sequence[shortcut.Finding]) -> JSON:
    rows = [
        [
            one.name,
            one.change,
            min(seed.low for seed in one.changes),
            max(seed.high for seed in one.changes),
            max(seed.p for seed in one.changes),
            one.changes[0].n,
            len(one.changes),
            "yes" if one.alarm else "no",
        ]
        for one in findings[:_ROWS]
    ]
    columns = ["class", "change", "lowest low", "highest high", "largest p (Holm)"]
    columns += ["n", "seeds", "alarm"]
    title = f"A {method} patch where no face is: change of probability, trained on {arm}"
    return {"title": title, "columns": columns, "rows": rows}
