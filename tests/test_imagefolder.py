"""Folders as source and sink: nothing is lost, nothing is written early, the source stays."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sfumato.errors import Code, OutputError, SampleError, UsageError
from sfumato.sources import folder_sink, reading
from sfumato.sources.disk import PART_SUFFIX
from sfumato.sources.doors import Shard
from sfumato.sources.folder_sink import FolderSink
from sfumato.sources.imagefolder import ImageFolder
from sfumato.sources.reading import read_steadily
from sfumato.sources.released_names import RESERVED
from sfumato.types import Failure, Sample
from tests.unprivileged import bound_by_rights


def put(root: Path, *keys: str) -> None:
    for key in keys:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(key.encode())


def sample(key: str, data: bytes) -> Sample:
    return Sample(key, key.rpartition("/")[0], data, hashlib.sha256(data).hexdigest())


def test_a_tree_is_listed_by_what_names_say(tmp_path: Path) -> None:
    images = [
        "a.jpg",
        "n01 cats/ü ñ.JPEG",
        "n01 cats/deep/er/日本.Png",
        "x/.hidden.webp",
        "y.heic",
    ]
    others = ["labels.txt", "n01 cats/notes", "x/jpg", "movie.mp4"]
    put(tmp_path, *images, *others)
    listing = ImageFolder(tmp_path).scan()
    assert listing.images == tuple(sorted(images))
    assert listing.others == tuple(sorted(others))
    assert listing.failures == ()
    assert ImageFolder(Path("x")).label("n01 cats/deep/er/日本.Png") == "n01 cats/deep/er"


def test_links_are_followed_and_loops_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "src"
    put(root, "class/1.jpg")
    put(tmp_path, "elsewhere/2.jpg")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "class/up").symlink_to(root)
    (root / "self.jpg").symlink_to(root / "self.jpg")
    (root / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "gone.txt").symlink_to(root / "nowhere.txt")
    listing = ImageFolder(root).scan()
    assert listing.images == ("class/1.jpg", "linked/2.jpg")
    assert listing.others == ("gone.txt",)
    assert {failure.key: failure.code for failure in listing.failures} == {
        "class/up": Code.LINK_LOOP,
        "self.jpg": Code.LINK_LOOP,
        "gone.jpg": Code.LINK_BROKEN,
    }


def test_a_name_that_is_not_utf8_is_refused_and_shown_readably(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(b"x")
    (failure,) = ImageFolder(tmp_path).scan().failures
    assert failure.code is Code.NAME_NOT_UTF8
    assert failure.key == r"caf\xe9.jpg"


@pytest.mark.slow
def test_shards_follow_content_and_survive_insertions(tmp_path: Path) -> None:
    keys = [f"{i:05d}.jpg" for i in range(1500)]
    put(tmp_path, *keys)
    folder = ImageFolder(tmp_path)
    before = cut(folder)
    assert [key for shard in before for key in shard.keys] == keys
    assert all(256 <= len(shard.keys) <= 1024 for shard in before[:-1])
    put(tmp_path, "00000-new.jpg")
    after = cut(folder)
    changed = {shard.id for shard in after} - {shard.id for shard in before}
    assert 1 <= len(changed) <= 2
    os.utime(tmp_path / keys[-1], ns=(1, 1))
    assert {s.id for s in cut(folder)} - {s.id for s in after} == {cut(folder)[-1].id}


def cut(folder: ImageFolder) -> list[Shard]:
    return folder.shards(folder.scan().images)


def test_reading_gives_one_item_for_each_key(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jxl", "d.png")
    folder = ImageFolder(tmp_path)
    (shard,) = folder.shards(["a.jpg", "b.jxl", "c.jpg", "d.png"])
    items = list(folder.read(shard))
    assert [item.key for item in items] == list(shard.keys)
    assert items[0] == sample("a.jpg", b"a.jpg")
    codes = [item.code for item in items if isinstance(item, Failure)]
    assert codes == [Code.IMAGE_UNSUPPORTED, Code.LINK_BROKEN]


def test_what_is_no_steady_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(SampleError) as refused:
        read_steadily(tmp_path / "pipe.jpg")  # must not wait for a writer
    assert refused.value.code is Code.FILE_NOT_REGULAR
    put(tmp_path, "big.jpg")
    monkeypatch.setattr(reading, "MAX_BYTES", 3)
    with pytest.raises(SampleError) as refused:
        read_steadily(tmp_path / "big.jpg")
    assert refused.value.code is Code.IMAGE_TOO_LARGE


@pytest.mark.slow
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "growing.jpg"
    path.write_bytes(bytes(8 * 2**20))
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab") as file:
            while not stop.is_set():
                file.write(b"x")
                file.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        codes = set()
        for _ in range(20):
            try:
                read_steadily(path)
            except SampleError as error:
                codes.add(error.code)
    finally:
        stop.set()
        writer.join()
    assert codes == {Code.FILE_CHANGED}


def sink_at(out: Path, source: Path) -> FolderSink:
    return FolderSink(out, token="t", like=ImageFolder(source))


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    put(tmp_path / "src", "c/1.jpg", "c/2.jpg")
    return tmp_path / "src", tmp_path / "out"


@pytest.mark.parametrize("link", ["auto", "copy", "hard"])
def test_nothing_has_its_final_name_before_it_is_published(
    folders: tuple[Path, Path], link: str
) -> None:
    source, out = folders
    sink = FolderSink(out, token="t", like=ImageFolder(source), link=link)
    one, two = sample("c/1.jpg", b"c/1.jpg"), sample("c/2.jpg", b"c/2.jpg")
    assert sink.stage(one, one.data) == one.digest
    assert sink.stage(two, b"edited") == hashlib.sha256(b"edited").hexdigest()
    assert not (out / "c/1.jpg").exists()
    sink.publish(["c/1.jpg", "c/2.jpg"])
    assert (out / "c/1.jpg").read_bytes() == b"c/1.jpg"
    assert (out / "c/2.jpg").read_bytes() == b"edited"
    assert sorted(os.listdir(out / "c")) == ["1.jpg", "2.jpg"]
    same_file = os.path.samefile(out / "c/1.jpg", source / "c/1.jpg")
    assert same_file == (link == "hard")
    assert (source / "c/2.jpg").read_bytes() == b"c/2.jpg"


def test_what_a_killed_run_left_is_swept(folders: tuple[Path, Path]) -> None:
    source, out = folders
    old = FolderSink(out, token="old", like=ImageFolder(source))
    old.stage(sample("c/1.jpg", b"c/1.jpg"), b"half")
    new = FolderSink(out, token="new", like=ImageFolder(source))
    assert old.staged("c/1.jpg") != new.staged("c/1.jpg")
    new.sweep()
    assert os.listdir(out / "c") == []


def test_a_linked_file_that_is_not_what_was_read_is_refused(folders: tuple[Path, Path]) -> None:
    source, out = folders
    sink = FolderSink(out, token="t", like=ImageFolder(source), link="hard")
    stale = sample("c/1.jpg", b"what it was a moment ago")
    with pytest.raises(SampleError) as refused:
        sink.stage(stale, stale.data)
    assert refused.value.code is Code.FILE_CHANGED
    assert os.listdir(out / "c") == []


def test_a_full_disk_is_an_error_of_the_run(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source, out = folders
    sink = FolderSink(out, token="t", like=ImageFolder(source))
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="the disk is full: make room"):
        sink.stage(sample("c/1.jpg", b"c/1.jpg"), b"edited")


def test_a_missing_source_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        ImageFolder(tmp_path / "nothing").scan()


def test_a_file_comes_in_parts_into_a_folder_that_is_new_or_not(
    folders: tuple[Path, Path],
) -> None:
    source, out = folders
    sink = FolderSink(out, token="t", like=ImageFolder(source))
    for key in ("a/b/1.txt", "a/b/2.txt"):
        assert sink.stage_parts(key, [b"one ", b"two"]) == hashlib.sha256(b"one two").hexdigest()
        assert sink.staged(key).read_bytes() == b"one two"
    assert not sink.final("a/b/1.txt").exists()
    (out / "file").write_bytes(b"x")
    stages: tuple[Callable[[], str], ...] = (
        lambda: sink.stage_parts("file/1.txt", [b"x"]),
        lambda: sink.stage(sample("file/1.jpg", b"x"), b"edited"),
    )
    for stage in stages:
        with pytest.raises(OutputError, match=f"write to {out}/file: a file stands where a folder"):
            stage()

    def refused() -> Iterator[bytes]:
        yield b"half"
        raise SampleError(Code.FILE_CHANGED, "it changed")

    with pytest.raises(SampleError):
        sink.stage_parts("a/b/3.txt", refused())
    assert not sink.staged("a/b/3.txt").exists()


def test_a_name_that_the_release_needs_for_another_file_is_not_taken(tmp_path: Path) -> None:
    put(tmp_path / "src", "a.heic", "a.heic.jpg")
    sink, one = FolderSink(tmp_path / "out", token="t", like=ImageFolder(tmp_path / "src")), b"jpeg"
    with pytest.raises(SampleError) as refused:
        sink.stage(sample("a.heic", one), one)
    assert refused.value.code is Code.NAME_TAKEN
    assert not (tmp_path / "out").exists()


def test_what_is_refused_after_all_is_discarded_staged_or_not(folders: tuple[Path, Path]) -> None:
    source, out = folders
    sink = FolderSink(out, token="t", like=ImageFolder(source))
    one, two = sample("c/1.jpg", b"c/1.jpg"), sample("c/2.jpg", b"c/2.jpg")
    sink.stage(one, b"edited")
    sink.stage(two, b"edited")
    for _ in range(2):
        sink.discard(one.key)
    assert list((out / "c").iterdir()) == [sink.staged(two.key)]


def test_nothing_is_discarded_where_a_file_stands_for_the_folder(tmp_path: Path) -> None:
    sink = sink_at(tmp_path / "out", tmp_path / "src")
    put(tmp_path / "out", "c")
    sink.discard("c/1.jpg")
    assert files_below(tmp_path) == {"out/c": b"c"}


def test_nothing_is_written_behind_a_link_to_a_folder(folders: tuple[Path, Path]) -> None:
    """Such as the source itself: what is written there would take the place of originals."""
    source, out = folders
    put(source, "deep/er/1.jpg")
    sink = sink_at(out, source)
    out.mkdir()
    (out / "c").symlink_to(source / "c")
    (out / "deep").symlink_to(source / "deep")
    before, folders_before = files_below(source), sorted(source.rglob("*"))
    for key, link in (("c/1.jpg", "c"), ("deep/er/1.jpg", "deep"), ("deep/new/1.jpg", "deep")):
        words = f"write to {out}/{link}: a link stands where a folder is needed: remove it"
        with pytest.raises(OutputError, match=words):
            sink.stage(sample(key, key.encode()), b"covered")
        with pytest.raises(OutputError, match=words):
            sink.stage_parts(key, [b"covered"])
        with pytest.raises(OutputError, match=words):
            sink.remove([key])
    assert files_below(source) == before
    assert sorted(source.rglob("*")) == folders_before


def test_what_lies_behind_a_link_to_a_folder_is_not_in_the_release(
    folders: tuple[Path, Path],
) -> None:
    source, out = folders
    put(source, "c/d/3.jpg")
    out.mkdir()
    (out / "c").symlink_to(source / "c")
    sink = sink_at(out, source)
    keys = ["c/1.jpg", "c/d/3.jpg"]
    assert [sink.state(key) for key in keys] == ["", ""]
    assert [sink.note(key) for key in keys] == [None, None]
    assert list(sink.notes(keys)) == []
    assert not any(map(sink.holds, keys))
    assert sink.names() == {"c"}
    (out / "c").unlink()
    put(out, *keys)
    (out / "dead.jpg").symlink_to("nothing")
    assert sink.holds("dead.jpg")  # it can be removed
    assert not sink.holds("c/d")
    assert all(sink.state(key) for key in keys)
    assert [note.key for note in sink.notes(keys)] == keys
    assert all(map(sink.holds, keys))


def test_a_release_whose_own_folder_is_a_link_is_written_to(folders: tuple[Path, Path]) -> None:
    source, out = folders
    (out.parent / "disk").mkdir()
    out.symlink_to("disk")
    sink, one = sink_at(out, source), sample("c/1.jpg", b"c/1.jpg")
    sink.stage(one, b"covered")
    sink.publish([one.key])
    assert sink.holds(one.key)
    assert sink.state(one.key) != ""


def test_a_link_that_is_made_in_the_middle_of_a_run_is_noticed(folders: tuple[Path, Path]) -> None:
    source, out = folders
    sink = sink_at(out, source)
    put(out, "c/1.jpg", "c/2.jpg")
    assert sink.state("c/1.jpg") != ""
    assert sink.holds("c/1.jpg")
    (out / "c").rename(out / "moved")
    (out / "c").symlink_to(source / "c")
    assert not sink.holds("c/1.jpg")
    with pytest.raises(OutputError, match="a link stands"):
        sink.remove(["c/1.jpg", "c/2.jpg"])
    with pytest.raises(OutputError, match="a link stands"):
        sink.stage(sample("c/1.jpg", b"c/1.jpg"), b"covered")
    assert files_below(source) == {"c/1.jpg": b"c/1.jpg", "c/2.jpg": b"c/2.jpg"}


def test_an_artefact_takes_the_place_of_a_link_and_is_not_written_behind_it(
    folders: tuple[Path, Path],
) -> None:
    source, out = folders
    out.mkdir()
    for name in ("summary.json", f".summary.json{PART_SUFFIX}"):
        (out / name).symlink_to(source / "c/1.jpg")
    sink = sink_at(out, source)
    with sink.writing("summary.json") as file:
        file.write(b"{}")
    assert files_below(out) == {"summary.json": b"{}"}
    assert not (out / "summary.json").is_symlink()
    assert (source / "c/1.jpg").read_bytes() == b"c/1.jpg"


def test_a_folder_into_which_nobody_may_look_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    put(tmp_path / "out", "theirs")
    (tmp_path / "out").chmod(0o300)
    with bound_by_rights(), pytest.raises(OutputError, match="permission is denied"):
        sink_at(tmp_path / "out", tmp_path / "src").is_empty()
    (tmp_path / "out").chmod(0o755)
    assert not sink_at(tmp_path / "out", tmp_path / "src").is_empty()


def test_a_release_needs_a_folder_that_can_be_written_to(tmp_path: Path) -> None:
    put(tmp_path, "file")
    with pytest.raises(UsageError, match=f"^{tmp_path}/file is a file: choose a folder"):
        sink_at(tmp_path / "file", tmp_path / "src").check()
    with pytest.raises(OutputError, match=f"write to {tmp_path}/file/out: a file stands where"):
        sink_at(tmp_path / "file" / "out", tmp_path / "src").check()
    sink_at(tmp_path / "new" / "out", tmp_path / "src").check()
    assert files_below(tmp_path) == {"file": b"file"}
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_folder_where_an_artefact_goes_is_said_before_anything_is_written(
    folders: tuple[Path, Path], name: str, part: bool
) -> None:
    source, out = folders
    in_way = out / (f".{name}{PART_SUFFIX}" if part else name)
    in_way.mkdir(parents=True)
    sink = sink_at(out, source)
    with pytest.raises(UsageError, match=f"{in_way} is a folder, and a file .* there: remove it"):
        sink.check()
    if not part:
        with pytest.raises(OutputError, match=f"write to {in_way}: a folder stands"):
            sink.forget([name])
    in_way.rmdir()
    in_way.symlink_to(source)  # it will be replaced
    sink.check()


def test_folders_whose_names_are_on_the_disk_are_not_synced_with_each_shard(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folders
    sink, synced = FolderSink(out, token="t", like=ImageFolder(source)), list[Path]()
    monkeypatch.setattr(folder_sink, "fsync", synced.append)
    one, two = sample("c/1.jpg", b"c/1.jpg"), sample("c/2.jpg", b"c/2.jpg")
    for each, above in ((one, [out]), (two, [])):
        sink.stage(each, b"edited")
        synced.clear()
        sink.publish([each.key])
        assert sorted(synced) == sorted([sink.staged(each.key), out / "c", *above])


def test_what_is_published_is_whole_before_it_has_its_name_and_new_folders_are_kept(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folders
    sink, calls = sink_at(out, source), list[tuple[str, Path]]()
    replaced = os.replace

    def replace(staged: Path, final: Path) -> None:
        calls.append(("replace", final))
        replaced(staged, final)

    monkeypatch.setattr(folder_sink, "fsync", lambda path: calls.append(("fsync", path)))
    monkeypatch.setattr(os, "replace", replace)
    keys = ["a/b/1.jpg", "a/b/2.jpg"]
    for key in keys:
        sink.stage(sample(key, b"x"), b"edited")
    sink.publish(keys)
    assert set(calls[:2]) == {("fsync", sink.staged(key)) for key in keys}
    assert calls[2:4] == [("replace", sink.final(key)) for key in keys]
    assert set(calls[4:]) == {("fsync", folder) for folder in (out, out / "a", out / "a" / "b")}


def test_what_is_removed_is_gone_from_the_disk_with_the_folders_that_are_empty_then(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folders
    put(out, "a/b/1.jpg", "a/2.jpg", "c/3.jpg", "4.jpg")
    synced = dict[Path, list[str]]()
    monkeypatch.setattr(
        folder_sink, "fsync", lambda path: synced.update({path: sorted(os.listdir(path))})
    )
    sink_at(out, source).remove(["a/b/1.jpg", "c/3.jpg"])
    assert synced == {out / "a": ["2.jpg"], out: ["4.jpg", "a"]}
    assert sorted(files_below(out)) == ["4.jpg", "a/2.jpg"]
    sink_at(out, source).remove(["4.jpg", "a/2.jpg"])
    assert list(out.iterdir()) == []  # the release's own folder stays


def test_an_artefact_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    sink, name = sink_at(tmp_path, tmp_path), "summary.json"

    def write() -> None:
        with sink.writing(name) as file:
            file.write(b"new")
            if broken:
                raise KeyboardInterrupt

    broken = True
    with pytest.raises(KeyboardInterrupt):
        write()
    assert os.listdir(tmp_path) == []
    broken = False
    tmp_path.chmod(0o555)
    with bound_by_rights(), pytest.raises(PermissionError):
        write()
    tmp_path.chmod(0o755)
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match="a folder stands where a file is needed"):
        write()
    assert list((tmp_path / name).iterdir()) == []


def test_a_run_links_as_was_asked_for(folders: tuple[Path, Path]) -> None:
    source, out = folders
    asked = FolderSink(out, like=ImageFolder(source), link="hard")
    one, two = asked.begin(), asked.begin()
    assert one.token != two.token
    same = sample("c/1.jpg", b"c/1.jpg")
    one.stage(same, same.data)
    assert one.staged(same.key).samefile(source / same.key)


def test_a_disk_that_refuses_to_rename_is_an_error_of_the_run(
    folders: tuple[Path, Path],
) -> None:
    source, out = folders
    sink, one = FolderSink(out, token="t", like=ImageFolder(source)), sample("c/1.jpg", b"c/1.jpg")
    sink.stage(one, b"edited")
    (out / "c/1.jpg").mkdir()
    with pytest.raises(OutputError, match=f"write to {out}/c/1.jpg: a folder stands where a file"):
        sink.publish([one.key])


def test_only_what_bears_a_temporary_name_is_swept(tmp_path: Path) -> None:
    ours = (f".{'0f' * 12}.old9{PART_SUFFIX}", f".manifest.parquet{PART_SUFFIX}")
    theirs = (f"{ours[0]}.jpg", f"x{ours[0]}", f"d{PART_SUFFIX}", f".{'0f' * 11}.t{PART_SUFFIX}")
    put(tmp_path, *ours, *theirs, *(f"b/{name}" for name in (*ours, *theirs)))
    FolderSink(tmp_path, token="t", like=ImageFolder(tmp_path)).sweep()
    assert set(os.listdir(tmp_path)) == {*theirs, "b"}
    assert set(os.listdir(tmp_path / "b")) == set(theirs)


# --- what is linked -----------------------------------------------------------------------------


def test_the_original_is_never_written_to_through_a_hard_link(folders: tuple[Path, Path]) -> None:
    source, out = folders
    os.utime(source / "c/1.jpg", ns=(1, 1))
    sink, one = (
        FolderSink(out, token="t", like=ImageFolder(source), link="hard"),
        sample("c/1.jpg", b"c/1.jpg"),
    )
    for _ in range(2):  # what a try before left there is replaced
        assert sink.stage(one, one.data) == one.digest
        assert sink.staged(one.key).samefile(source / "c/1.jpg")
        assert (source / "c/1.jpg").stat().st_mtime_ns == 1


def test_a_hard_link_is_one_to_the_file_behind_a_link(folders: tuple[Path, Path]) -> None:
    source, out = folders
    (source / "c/3.jpg").symlink_to("1.jpg")
    sink, one = (
        FolderSink(out, token="t", like=ImageFolder(source), link="hard"),
        sample("c/3.jpg", b"c/1.jpg"),
    )
    sink.stage(one, one.data)
    assert not sink.staged(one.key).is_symlink()
    assert sink.staged(one.key).samefile(source / "c/1.jpg")


def test_blocks_are_shared_only_where_that_was_asked_for_and_only_of_the_same_bytes(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folders
    shared: list[Path] = []

    def reflink(origin: Path, path: Path) -> None:
        shared.append(origin)
        path.write_bytes(origin.read_bytes())

    monkeypatch.setattr(folder_sink, "_reflink", reflink)
    one = sample("c/1.jpg", b"c/1.jpg")
    for link, data, shares in (
        ("auto", one.data, [source / "c/1.jpg"]),
        ("auto", b"edited", []),
        ("copy", one.data, []),
        ("hard", one.data, []),
    ):
        shared.clear()
        sink = FolderSink(out, token=link, like=ImageFolder(source), link=link)
        assert sink.stage(one, data) == hashlib.sha256(data).hexdigest()
        assert shared == shares
        assert sink.staged(one.key).read_bytes() == data
    assert FolderSink(out, token="t", like=ImageFolder(source)).link == "auto"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_is_no_disk_that_cannot_share(
    code: int, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folders
    sink, one = FolderSink(out, token="t", like=ImageFolder(source)), sample("c/1.jpg", b"c/1.jpg")
    raised = [OSError(code, "it fails"), OSError(errno.EOPNOTSUPP, "it can't")]

    def reflink(origin: Path, path: Path) -> None:
        path.write_bytes(b"")
        raise raised.pop(0)

    monkeypatch.setattr(folder_sink, "_reflink", reflink)
    with pytest.raises(OutputError):
        sink.stage(one, one.data)
    assert sink.stage(one, one.data) == one.digest
    assert sink.staged(one.key).read_bytes() == one.data


def test_a_file_that_is_refused_does_not_stay_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(SampleError):
            read_steadily(tmp_path / "pipe.jpg")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_of_the_most_bytes_is_read_and_one_byte_more_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a.jpg")
    monkeypatch.setattr(reading, "MAX_BYTES", 5)
    assert read_steadily(tmp_path / "a.jpg") == b"a.jpg"
    monkeypatch.setattr(reading, "MAX_BYTES", 4)
    with pytest.raises(SampleError) as refused:
        read_steadily(tmp_path / "a.jpg")
    assert refused.value.code is Code.IMAGE_TOO_LARGE


def test_only_what_was_just_written_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a.jpg")
    waited: list[float] = []
    monkeypatch.setattr("sfumato.sources.reading.time.sleep", waited.append)
    written = (tmp_path / "a.jpg").stat().st_mtime_ns
    for later, waits in ((0, 1), (39_999_999, 1), (40_000_000, 0), (-39_999_999, 1), (10**9, 0)):
        monkeypatch.setattr(
            "sfumato.sources.reading.time.time_ns", lambda later=later: written + later
        )
        waited.clear()
        assert read_steadily(tmp_path / "a.jpg") == b"a.jpg"
        assert waited == [0.02] * waits
        assert read_steadily(tmp_path / "a.jpg", settle_s=0) == b"a.jpg"  # of our own
        assert waited == [0.02] * waits
