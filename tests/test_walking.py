"""The walk over a source: junk of file systems is no data, and no link leads back into OUT."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sfumato.errors import Code
from sfumato.sources.imagefolder import ImageFolder
from tests import dataset
from tests.command import Done, sfumato
from tests.dataset import WATCHER, Dataset

APPLE_DOUBLE = bytes.fromhex("00051607 00020000") + b"Mac OS X        " + bytes(40)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF"


def write(root: Path, files: dict[str, bytes]) -> None:
    for key, data in files.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)


def test_what_file_systems_leave_behind_is_junk(tmp_path: Path) -> None:
    junk = {
        "._a.jpg": APPLE_DOUBLE,
        "x/._notes.txt": APPLE_DOUBLE,
        "__MACOSX/._a.jpg": APPLE_DOUBLE,
        "__MACOSX/x/._b.png": APPLE_DOUBLE,
        "__MACOSX/a.txt": b"text",
        "__MACOSX/odd.jpg": b"no image",
        ".DS_Store": b"\0\0\0\1Bud1",
        "x/Thumbs.db": b"\xd0\xcf\x11\xe0",
        "x/THUMBS.DB": b"",
        "desktop.ini": b"[.ShellClassInfo]",
        ".AppleDouble/a.jpg": APPLE_DOUBLE,
        "x/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg": JPEG,
        "$RECYCLE.BIN/a.jpg": JPEG,
    }
    kept = {"a.jpg": JPEG, "._real.jpg": JPEG, "._empty.jpg": b"", "__MACOSX/real.jpg": JPEG}
    others = {"._note": b"text", "x/desktop.ini.txt": b"x", "thumbs.db.json": b"{}"}
    write(tmp_path, junk | kept | others)
    listing = ImageFolder(tmp_path).scan()
    assert listing.junk == tuple(sorted(junk))
    assert listing.images == tuple(sorted(kept))
    assert listing.others == tuple(sorted(others))


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset.make(tmp_path, count=1)


def run(data: Dataset, *more: str | Path) -> Done:
    words: list[str | Path] = [data.source, data.out, "--boxes", data.boxes]
    words += ["--verify-detector", WATCHER[0]]
    return sfumato("run", *words, *more)


@pytest.mark.slow
def test_an_archive_of_macos_is_no_reason_to_refuse(data: Dataset) -> None:
    """Half of the files of an archive that macOS made are such halves."""
    write(data.source, {f"__MACOSX/._{key.replace('/', '_')}": APPLE_DOUBLE for key in data.keys})
    write(data.source, {"n03/._0 ä.JPEG": APPLE_DOUBLE, ".DS_Store": b"Bud1"})
    done = run(data, "--copy-other", "*", "--json", "-q")
    assert done.code == 0
    summary = json.loads(done.out)
    assert summary["account"]["in"] == len(data.keys)
    assert summary["ignored"]["count"] == len(data.keys) + 2
    written = {str(path.relative_to(data.out)) for path in data.out.rglob("*") if path.is_file()}
    assert not [key for key in written if "._" in key or "DS_Store" in key]
    assert (data.out / "labels.txt").exists()
    assert sfumato("verify", data.source, data.out, "-q").code == 0


# --- links --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_link_into_the_release_is_refused_by_name(data: Dataset) -> None:
    assert run(data, "-q").code == 0
    private = data.root / "out.sfumato"
    links = {
        "folder": data.out,
        "within": data.out / "n03",
        "n03/file.png": data.out / data.keys[0],
        "to come.jpg": data.out / "not there yet.jpg",
        "text.txt": data.out / "summary.json",
        "private": private,
        "ledger.bin": private / "ledger.sqlite",
        "above": data.root,
        "twice": data.source / "folder",
    }
    for key, target in links.items():
        (data.source / key).symlink_to(target)
    done = run(data, "--json", "-q", "--copy-other")
    assert done.code == 3
    summary = json.loads(done.out)
    assert summary["refusals"] == {"LINK_TO_RELEASE": len(links)}
    assert summary["account"]["in"] == len(data.keys) + len(links)
    for key in links:
        assert not os.path.lexists(data.out / key)
    named = sfumato("report", data.out, "--json").out
    assert "LINK_TO_RELEASE" in named


@pytest.mark.slow
def test_other_links_are_followed(data: Dataset) -> None:
    pool = data.root / "pool"
    data.source.joinpath("n03").rename(pool)
    data.source.joinpath("n03").symlink_to(pool)
    # A ledger that lies in a folder of other things keeps nobody out of that.
    done = run(data, "--json", "-q", "--ledger", data.root / "records.db")
    assert done.code == 0
    assert json.loads(done.out)["account"]["in"] == len(data.keys)
    (data.source / "all").symlink_to(data.root)
    (data.source / "own.txt").symlink_to(data.root / "records.db")
    done = run(data, "--json", "-q", "--ledger", data.root / "records.db")
    assert json.loads(done.out)["refusals"] == {"LINK_TO_RELEASE": 2}


def test_where_links_may_not_lead(tmp_path: Path) -> None:
    root = tmp_path / "src"
    write(tmp_path, {"src/a.jpg": b"", "out/x/b.jpg": b"", "outer/c.jpg": b""})
    (root / "into").symlink_to(tmp_path / "out" / "x")
    (root / "beside").symlink_to(tmp_path / "outer")
    (root / "relative").symlink_to("../out")
    listing = ImageFolder(root).scan([tmp_path / "out"])
    assert listing.images == ("a.jpg", "beside/c.jpg")
    assert {one.key: one.code for one in listing.failures} == {
        "into": Code.LINK_TO_RELEASE,
        "relative": Code.LINK_TO_RELEASE,
    }
