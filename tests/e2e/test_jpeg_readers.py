"""Edited JPEG files in a real browser: all open, at their size, with the pixels Pillow decodes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sfumato.imaging import jpeg
from sfumato.obfuscation import Gaussian
from sfumato.types import Box
from tests.e2e.browser import Page, chromium, find_chromium
from tests.jpeg_images import FACE, KINDS, MAX_PIXELS, pixels
from tests.test_jpeg_matrix import VARIANTS, faces_of, variant

pytestmark = pytest.mark.e2e

# Chromium turns CMYK into RGB by a rule of its own, so only its sizes are compared.
INKS = ("CMYK", "YCCK", "progressive CMYK")

# Of each image: its size as shown and, where a lossless one is given, how far pixels differ.
SCRIPT = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script>
async function opened(url) {
    const image = new Image();
    image.src = url;
    await image.decode();
    return image;
}
async function drawn(image) {
    const canvas = document.createElement('canvas');
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height).data;
}
async function look(url, lossless) {
    try {
        const image = await opened(url);
        const size = [image.naturalWidth, image.naturalHeight];
        if (!lossless) return size;
        const [got, wanted] = [await drawn(image), await drawn(await opened(lossless))];
        let most = 0;
        for (let i = 0; i < wanted.length; i++) most = Math.max(most, Math.abs(got[i] - wanted[i]));
        return [...size, got.length === wanted.length ? most : 999];
    } catch (error) { return String(error); }
}
async function lookAtAll(items) {
    const found = {};
    for (const [name, url, lossless] of items) found[name] = await look(url, lossless);
    return found;
}
</script>"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = find_chromium()
    if program is None:
        pytest.skip("no chromium here: install the Debian package chromium")
    with chromium(program, tmp_path_factory.mktemp("profile")) as page:
        yield page


def look(browser: Page, folder: Path, items: list[tuple[str, str, str]]) -> Mapping[str, Any]:
    """Return what Chromium says of (name, URL, URL of a lossless copy or ""); no complaints."""
    (folder / "look.html").write_text(SCRIPT, encoding="utf-8")
    browser.problems.clear()
    browser.open(folder / "look.html", width=800)
    answer = browser.call(
        "Runtime.evaluate",
        expression=f"lookAtAll({json.dumps(items)})",
        awaitPromise=True,
        returnByValue=True,
    )
    assert browser.problems == []
    found: dict[str, Any] = answer["result"]["value"]
    return found


def url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def lossless(data: bytes) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(data)).convert("RGB").save(stream, "PNG")
    return stream.getvalue()


def test_all_kinds_are_shown_as_pillow_decodes_them(browser: Page, tmp_path: Path) -> None:
    items, sizes = [], {}
    for kind, make in KINDS.items():
        box = (2.0, 30.0, 7.0, 60.0) if kind == "one MCU wide" else FACE
        result = jpeg.edit(make(), [box], Gaussian(), max_pixels=MAX_PIXELS).data
        sizes[kind] = pixels(result).shape[1::-1]
        copy = "" if kind in INKS else url(lossless(result), "png")
        items.append((kind, url(result, "jpeg"), copy))
    found = look(browser, tmp_path, items)
    assert {kind: tuple(found[kind][:2]) for kind in KINDS} == sizes, found
    differences = {kind: found[kind][2] for kind in KINDS if kind not in INKS}
    assert max(differences.values()) <= 3, differences


def test_a_damaged_image_is_noticed(browser: Page, tmp_path: Path) -> None:
    data = KINDS["grey"]()
    broken = data[: len(data) // 2].replace(b"\xff\xc0", b"\xff\xc3")
    other = np.asarray(Image.open(io.BytesIO(data))) ^ np.uint8(255)
    stream = io.BytesIO()
    Image.fromarray(other).save(stream, "PNG")
    found = look(
        browser,
        tmp_path,
        [
            ("broken", url(broken, "jpeg"), ""),
            ("other", url(data, "jpeg"), url(stream.getvalue(), "png")),
        ],
    )
    assert isinstance(found["broken"], str)
    assert found["other"][2] > 100


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> dict[Path, list[Box]]:
    return faces_of(shared_data)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_real_images_are_shown(
    name: str, browser: Page, faces: dict[Path, list[Box]], tmp_path: Path
) -> None:
    items, sizes = [], {}
    for path, boxes in faces.items():
        data = variant(path.read_bytes(), VARIANTS[name])
        result = jpeg.edit(data, boxes, Gaussian(), max_pixels=1 << 28).data
        (tmp_path / path.name).write_bytes(result)
        items.append((path.name, (tmp_path / path.name).as_uri(), ""))
        sizes[path.name] = pixels(result).shape[1::-1]
    found = {key: tuple(value) for key, value in look(browser, tmp_path, items).items()}
    assert found == sizes
    assert len(found) > 50
