"""What a patch does to classes, counted: planted changes are found, noise raises no alarm."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sfumato.study import shortcut
from sfumato.study.patches import Patch, patch_of
from sfumato.study.shortcut import judge
from tests import study_images

NAMES = ("a", "b", "c", "d")


Three = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


def logits(rng: np.random.Generator, n: int, gain: float, place: int = 1) -> Three:
    labels = rng.integers(0, len(NAMES), n)
    control = rng.normal(0, 1, (n, len(NAMES))) + 2 * np.eye(len(NAMES))[labels]
    patched = control + rng.normal(0, 0.3, control.shape)
    patched[:, place] += gain
    return patched, control, labels


def test_the_class_that_gains_is_first_and_alarms_and_its_own_images_do_not_count() -> None:
    rng = np.random.default_rng(0)
    moved = [shortcut.changes(*logits(rng, 200, 3.0), NAMES) for _ in range(3)]
    found = shortcut.findings([shortcut.per_class(one, NAMES) for one in moved])
    assert found[0].name == "b"
    assert [one.alarm for one in found] == [True, False, False, False]
    assert found[0].change > 0.2
    assert all(one.n < 200 for one in found[0].changes)


def test_one_seed_that_does_not_agree_is_no_alarm() -> None:
    rng = np.random.default_rng(0)
    moved = [shortcut.changes(*logits(rng, 200, gain), NAMES) for gain in (3.0, 3.0, 0.0)]
    found = shortcut.findings([shortcut.per_class(one, NAMES) for one in moved])
    assert not any(one.alarm for one in found)


def test_noise_raises_no_alarm_in_sixty_draws() -> None:
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(60):
        moved = shortcut.changes(*logits(rng, 60, 0.0), NAMES)
        alarms += any(one.alarm for one in shortcut.findings([shortcut.per_class(moved, NAMES)]))
    assert alarms == 0


@pytest.mark.slow
def test_intervals_hold_the_true_change_for_all_classes_together() -> None:
    rng = np.random.default_rng(2)
    true = np.array([-0.1, 0.0, 0.05, 0.1])
    missed = 0
    for _ in range(150):
        moved = true + rng.normal(0, 0.2, (50, 4))
        rows = shortcut.per_class(moved, NAMES)
        missed += any(not one.low <= t <= one.high for one, t in zip(rows, true, strict=True))
    assert missed / 150 <= 0.09  # 5 % are promised: 99 % of such draws have at most 9 %


def test_what_a_model_of_originals_does_as_well_is_no_shortcut() -> None:
    rng = np.random.default_rng(0)
    change = shortcut.changes(*logits(rng, 200, 3.0), NAMES)
    moves = {("original", "fill"): [change], ("fill", "fill"): [change + 0.001]}
    assert not any(one.alarm for found in judge(moves, NAMES).values() for one in found)
    alone = judge({("fill", "fill"): [change]}, NAMES)
    assert [one.name for one in alone["fill", "fill"] if one.alarm] == ["b"]


def test_fewer_than_thirty_images_raise_no_alarm() -> None:
    moved = shortcut.changes(*logits(np.random.default_rng(0), 25, 4.0), NAMES)
    found = shortcut.findings([shortcut.per_class(moved, NAMES)])
    assert found[0].change > 0.2
    assert not any(one.alarm for one in found)


def test_logits_of_other_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="don't fit 4 classes"):
        shortcut.changes(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(2, np.int64), NAMES)


def test_a_patch_and_its_control_change_the_same_place_and_no_face() -> None:
    shown, face = study_images.image(np.random.default_rng(4), 1)
    patch = patch_of("fill", "key", (40, 40), [face], 0)
    assert patch is not None
    control = Patch("", patch.box, patch.taken)
    assert patch_of("", "key", (40, 40), [face], 0) == control
    reach = [int(side) for side in _reach(patch)]
    for change in (patch, control):
        changed = change(shown)
        outside = np.ones((40, 40), dtype=bool)
        outside[max(reach[1], 0) : reach[3], max(reach[0], 0) : reach[2]] = False
        assert np.array_equal(changed[outside], shown[outside])
        assert not np.array_equal(changed, shown)
        rows, columns = slice(int(face[1]), int(face[3])), slice(int(face[0]), int(face[2]))
        assert np.array_equal(changed[rows, columns], shown[rows, columns])
    assert patch_of("fill", "key", (40, 40), [(0.0, 0.0, 40.0, 40.0)], 0) is None


def _reach(patch: Patch) -> tuple[float, float, float, float]:
    from sfumato.obfuscation import Gaussian

    return Gaussian().reaches([patch.box])[0]


@pytest.mark.slow
def test_what_can_be_seen_has_a_high_area_under_the_curve_and_noise_has_a_half() -> None:
    rng = np.random.default_rng(0)
    clear = rng.normal(0, 1, (80, 12)).astype(np.float32)
    changed = clear + rng.normal(0, 0.1, clear.shape).astype(np.float32)
    changed[:, 3] += 2.5
    seen = shortcut.visibility(clear, changed, 0.01)
    assert seen is not None
    assert seen.low > 0.85
    same = clear + rng.normal(0, 0.1, clear.shape).astype(np.float32)
    noise = shortcut.visibility(clear, same, 0.01)
    assert noise is not None
    assert noise.low < 0.5 < noise.high
    assert shortcut.visibility(clear[:29], changed[:29], 0.01) is None
