"""Unintended consequences, looked for in a study whose runs are made: `probes/*.json`.

Each file holds, besides its numbers, a `headline`, `tables` (title, columns, rows) and `images`
(file, caption), which a report shows as they are. Images show originals: keep them private.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from sfumato.annotations.documents import parse_json
from sfumato.study import transfer
from sfumato.study.configuration import is_random, method_of
from sfumato.study.detection.scoring import detected
from sfumato.study.files import digest, write
from sfumato.study.gradcam import Looked, masses, summary
from sfumato.study.looking import ModelLook
from sfumato.study.networks import NetworkSource
from sfumato.study.plan import StudyPlan
from sfumato.study.runs import models
from sfumato.study.shortcut import search
from sfumato.study.training import trained
from sfumato.study.transfer import Tried
from sfumato.types import JSON

FOLDER: Final = "probes"
_LAYOUT: Final = 1


def look(plan: StudyPlan, tried: Tried | None = None) -> list[Path]:
    """Look for every consequence that the configuration names; return the files.

    What was written with the same settings is left as it is. `tried` are the other tasks, if they
    have been read.
    """
    wanted = plan.study.consequences
    tried = tried or transfer.read(plan.study)
    digests = tried.digests()
    written: list[Path] = []
    for architecture in plan.study.architectures:
        source = plan.source(architecture)
        into = ModelLook(plan, architecture, source, source.fingerprint())
        for protocol in architecture.protocols:
            kinds: dict[str, Callable[[ModelLook, str, Path], JSON]] = {}
            if wanted.shortcut:
                kinds["shortcut"] = search
            if wanted.gradcam and protocol != "probe":
                kinds["gradcam"] = gradcam
            if plan.study.transfer and protocol != "as-is":
                kinds["transfer"] = partial(transfer.probed, tried)
            if plan.study.detection and protocol != "as-is":
                kinds["detection"] = partial(detected, tried)
            for kind, make in kinds.items():
                fingerprint = _fingerprint(into, kind, protocol, digests)
                written.append(_kept(into, (kind, protocol), fingerprint, make))
    return written


def gradcam(into: ModelLook, protocol: str, _: Path) -> JSON:
    """Return the share of Grad-CAM inside faces, before and after, for each train arm."""
    plan, images = into.plan, into.images
    names = [
        name
        for name in plan.study.arms.test
        if name == "original" or (method_of(name) and not is_random(name))
    ]
    names = list(dict.fromkeys(("original", *names)))
    rows: list[list[Any]] = []
    for arm, source, labels in _viewers(into, protocol):
        keys = [k for k in labels if images[k].faces]
        looked = [
            Looked(
                tuple(plan.test.arms[name].files[key] for name in names),
                labels[key],
                images[key].faces,
                (images[key].width, images[key].height),
            )
            for key in into.by_hash(keys)[: plan.study.consequences.images]
        ]
        if not looked:
            continue
        shares = masses(source, looked, plan.workers)
        for place, name in enumerate(names):
            mass = summary(shares[:, place], shares[:, -1])
            lost = summary(shares[:, place] - shares[:, 0], shares[:, -1])
            if mass is not None and lost is not None:
                row = [arm, name, mass.share, mass.low, mass.high, mass.area, mass.n]
                rows.append([*row, lost.share, lost.low, lost.high])
    columns = ["trained on", "tested on", "share in faces", "low", "high", "faces' area", "n"]
    columns += ["change from original", "change low", "change high"]
    return {
        "headline": _gradcam_headline(into.architecture.name, rows),
        "tables": [{"title": "Grad-CAM inside faces", "columns": columns, "rows": rows}],
        "images": [],
    }


def _viewers(into: ModelLook, protocol: str) -> list[tuple[str, NetworkSource, Mapping[str, int]]]:
    """Return the networks that are looked into: one of each train arm, of the first seed."""
    plan = into.plan
    there = plan.test.arms["original"].files
    if protocol == "as-is":
        labels = into.labelling(protocol).labels
        return [("as is", into.source, {k: v for k, v in labels.items() if k in there})]
    found: list[tuple[str, NetworkSource, Mapping[str, int]]] = []
    for cell in into.cells(protocol):
        if cell.seed == plan.study.seeds[0]:
            split, training = models(plan, cell)[0]
            labels = {key: plan.test.labelling.labels[key] for key in split.test}
            found.append((cell.train_arm, trained(training), labels))
    return found


def _made_before(path: Path) -> JSON:
    """Return a record of before; an empty one if it can't be read, so that it is made anew."""
    try:
        there = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return there if isinstance(there, dict) else {}


def _kept(
    into: ModelLook,
    what: tuple[str, str],
    fingerprint: str,
    make: Callable[[ModelLook, str, Path], JSON],
) -> Path:
    """Write what `make` finds, unless it is there with the same settings."""
    (kind, protocol), name = what, into.architecture.name
    path = into.plan.folder / FOLDER / f"{kind}-{name.replace('/', '_')}-{protocol}.json"
    if path.is_file():
        there = _made_before(path)
        if there.get("fingerprint") == fingerprint:
            return path
    into.plan.progress(f"{kind}: {name}, {protocol}", 0, 1)
    record: JSON = {
        "layout": _LAYOUT,
        "kind": kind,
        "architecture": name,
        "protocol": protocol,
        "fingerprint": fingerprint,
        **make(into, protocol, path.with_suffix("")),
    }
    text = json.dumps(_finite(record), indent=1, ensure_ascii=False, allow_nan=False)
    write(path, text.encode() + b"\n")
    return path


def _finite(value: Any) -> Any:
    """Return plain data with None for what is no number: JSON knows neither NaN nor infinity."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fingerprint(into: ModelLook, kind: str, protocol: str, digests: Sequence[str]) -> str:
    study = into.plan.study
    cells = [into.plan.run_of(cell).fingerprint for cell in into.cells(protocol, study.arms.test)]
    parts = study.settings("consequences", "probe")
    if kind in transfer.KINDS:
        parts |= {**study.settings(kind), "data": list(digests)}
    return digest([kind, cells, parts])


def _gradcam_headline(name: str, rows: Sequence[Sequence[Any]]) -> str:
    clear = [row for row in rows if row[1] == "original"]
    if not clear:
        return f"{name}: no affected image in which the map and a face are in view."
    arm, _, share, low, high, area, n, *_ = clear[0]
    return (
        f"{name} ({arm}): {100 * share:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of Grad-CAM lies "
        f"inside faces, which are {100 * area:.1f} % of the area ({n} images)."
    )
