from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.web.images import ServedImages, Wanted, seen_around
from sfumato.web.refusals import Refusal
from sfumato.web.shelf import Shelf

WIDTH, HEIGHT = 300, 200


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    noise = np.random.default_rng(5).integers(0, 120, (HEIGHT, WIDTH, 3), np.uint8)
    image = Image.fromarray(noise)
    exif = image.getexif()
    exif[0x010E] = "secret description"
    image.save(folder / "a.jpg", quality=95, exif=exif, comment=b"secret comment")
    turned = image.getexif()
    turned[0x0112] = 6
    image.save(folder / "turned.jpg", exif=turned)
    Image.new("RGB", (2400, 1000), (9, 8, 7)).save(folder / "large.png")
    (folder / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:900])
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head
    (folder / "bomb.png").write_bytes(bomb + struct.pack(">I", zlib.crc32(head)))
    (folder / "outside.txt").write_text("no image")
    for path in folder.iterdir():  # not written just now: reading need not wait
        os.utime(path, (1, 1))
    return folder


def wanted(root: Path, key: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Wanted:
    digest = hashlib.sha256((root / key).read_bytes()).hexdigest()
    return Wanted(key, digest, *size)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_a_copy_has_the_pixels_and_nothing_else(root: Path) -> None:
    data = ServedImages(root).screen(wanted(root, "a.jpg"))
    copy = opened(data)
    assert (copy.format, copy.size) == ("JPEG", (WIDTH, HEIGHT))
    assert b"secret" not in data
    assert not copy.getexif()
    assert data != (root / "a.jpg").read_bytes()
    before = np.asarray(Image.open(root / "a.jpg")).astype(int)
    assert np.abs(np.asarray(copy).astype(int) - before).mean() < 12


@pytest.mark.slow
def test_a_large_image_is_made_smaller(root: Path) -> None:
    copy = opened(ServedImages(root).screen(wanted(root, "large.png", (2400, 1000))))
    assert copy.size == (1600, 667)


def test_a_turned_image_is_shown_upright(root: Path) -> None:
    copy = opened(ServedImages(root).screen(wanted(root, "turned.jpg", (HEIGHT, WIDTH))))
    assert copy.size == (HEIGHT, WIDTH)


def test_a_crop_has_the_size_of_its_window(root: Path) -> None:
    crop = opened(ServedImages(root).crop(wanted(root, "large.png", (2400, 1000)), (5, 6, 517, 26)))
    assert crop.size == (512, 20)


def test_a_face_at_the_border_is_centred_on_grey(root: Path) -> None:
    large = wanted(root, "large.png", (2400, 1000))
    face = np.asarray(opened(ServedImages(root).face(large, (0.0, 0.0, 40.0, 40.0))))
    assert face.shape == (160, 160, 3)
    assert abs(int(face[10, 10, 0]) - 128) < 6  # beyond the image
    assert abs(int(face[100, 100, 0]) - 9) < 6  # the face


def test_redaction_leaves_only_what_is_around_proposals(root: Path) -> None:
    box = (100.0, 80.0, 130.0, 110.0)
    shown = seen_around([box])
    redacted = Wanted(*_parts(wanted(root, "a.jpg")), shown)
    images = ServedImages(root)
    seen = np.asarray(opened(images.screen(redacted))).astype(int)
    x0, y0, x1, y1 = (int(side) for side in shown[0])
    away = np.ones((HEIGHT, WIDTH), bool)
    away[y0 - 8 : y1 + 9, x0 - 8 : x1 + 9] = False  # a block of the encoder may straddle the edge
    assert np.abs(seen[away] - 128).max() <= 1
    assert seen[y0 + 8 : y1 - 8, x0 + 8 : x1 - 8].mean() < 90
    away_crop = np.asarray(opened(images.crop(redacted, (200, 0, 300, 60))))
    assert np.abs(away_crop.astype(int) - 128).max() <= 1
    elsewhere = np.asarray(opened(images.face(redacted, (240.0, 10.0, 270.0, 40.0))))
    assert np.abs(elsewhere.astype(int) - 128).max() <= 1


def test_redacted_and_whole_copies_are_not_mixed_up(root: Path) -> None:
    images = ServedImages(root)
    whole = wanted(root, "a.jpg")
    redacted = Wanted(*_parts(whole), ())
    assert np.asarray(opened(images.screen(whole))).mean() < 90
    assert abs(np.asarray(opened(images.screen(redacted))).mean() - 128) < 1
    assert np.asarray(opened(images.screen(whole))).mean() < 90


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("broken.jpg", 422, "IMAGE_UNREADABLE"),
        ("outside.txt", 422, "IMAGE_UNREADABLE"),
        ("bomb.png", 422, "IMAGE_UNREADABLE"),
    ],
)
def test_an_unreadable_image_is_refused_without_its_name(
    root: Path, key: str, status: int, code: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        ServedImages(root).screen(wanted(root, key))
    assert (refusal.value.status, refusal.value.code) == (status, code)
    assert key.partition(".")[0] not in refusal.value.sentence


@pytest.mark.parametrize(
    "key", ["gone.jpg", "../etc/passwd", "/etc/passwd", "a\0b.jpg", "x/../a.jpg"]
)
def test_a_key_that_leads_nowhere_is_gone(root: Path, key: str) -> None:
    with pytest.raises(Refusal) as refusal:
        ServedImages(root).screen(Wanted(key, "0" * 64, WIDTH, HEIGHT))
    assert (refusal.value.status, refusal.value.code) == (422, "IMAGE_GONE")


def test_another_file_of_the_same_name_is_not_shown(root: Path) -> None:
    with pytest.raises(Refusal) as refusal:
        ServedImages(root).screen(Wanted("a.jpg", "0" * 64, WIDTH, HEIGHT))
    assert (refusal.value.status, refusal.value.code) == (409, "IMAGE_CHANGED")


def test_a_shelf_forgets_what_was_used_longest_ago() -> None:
    shelf: Shelf[bytes] = Shelf(10, len)
    made: list[str] = []

    def get(name: str, size: int) -> bytes:
        def make() -> bytes:
            made.append(name)
            return bytes(size)

        return shelf.get(name, make)

    get("a", 4)
    get("b", 4)
    get("a", 4)
    get("c", 4)  # b goes
    get("a", 4)
    get("b", 4)
    get("huge", 11)  # never kept
    assert made == ["a", "b", "c", "b", "huge"]
    assert shelf.bytes <= 10


def test_two_threads_make_a_thing_once() -> None:
    shelf: Shelf[bytes] = Shelf(10, len)
    made: list[int] = []
    start = threading.Barrier(4)

    def make() -> bytes:
        made.append(1)
        return b"x"

    def ask() -> None:
        start.wait()
        shelf.get("same", make)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def _parts(whole: Wanted) -> tuple[str, str, int, int]:
    return whole.key, whole.digest, whole.width, whole.height
