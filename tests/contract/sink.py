"""What every sink must do: a class of tests to inherit, with a sink that is empty."""

from __future__ import annotations

import hashlib
import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from sfumato.errors import Code, SampleError
from sfumato.sources import Sink
from sfumato.types import Sample


def sample(key: str, data: bytes = b"as it was") -> Sample:
    return Sample(key, "", data, sha256(data))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class SinkContract(ABC):
    """Inherit this and say how a sink is made where nothing lies yet."""

    @abstractmethod
    def made(self) -> Sink: ...

    @pytest.fixture
    def sink(self) -> Sink:
        begun = self.made().begin()
        begun.make()
        return begun

    def test_nothing_is_there_before_it_begins(self) -> None:
        fresh = self.made()
        fresh.check()
        assert fresh.is_empty()
        assert not fresh.is_there()
        begun = fresh.begin()
        assert not begun.is_there()
        for _ in range(2):
            begun.make()
        assert begun.is_there()
        assert begun.is_empty()
        assert (begun.url, begun.places()) == (fresh.url, fresh.places())

    def test_what_is_staged_can_be_read_and_is_not_there(self, sink: Sink) -> None:
        assert sink.stage(sample("a/1.png"), b"covered") == sha256(b"covered")
        assert sink.read("a/1.png", staged=True) == b"covered"
        assert "a/1.png" not in sink.names()
        assert not sink.holds("a/1.png")
        with pytest.raises(SampleError):
            sink.read("a/1.png")

    def test_a_shard_is_published_under_its_names(self, sink: Sink) -> None:
        unchanged = sample("a/1.png")
        assert sink.stage(unchanged, unchanged.data) == unchanged.digest
        assert sink.stage_parts("t.txt", [b"in ", b"parts"]) == sha256(b"in parts")
        sink.publish(["a/1.png", "t.txt"])
        assert sink.names() == {"a/1.png", "t.txt"}
        assert sink.read("a/1.png") == unchanged.data
        assert b"".join(sink.parts("t.txt")) == b"in parts"
        assert not sink.is_empty()

    def test_what_is_published_again_takes_the_place_of_the_first(self, sink: Sink) -> None:
        for data in (b"first", b"second"):
            sink.stage(sample("a/1.png"), data)
            sink.publish(["a/1.png"])
            assert sink.read("a/1.png") == data

    def test_what_was_discarded_or_swept_is_not_published(self, sink: Sink) -> None:
        sink.stage(sample("a/1.png"), b"x")
        sink.discard("a/1.png")
        sink.discard("never/staged.png")
        sink.stage(sample("a/2.png"), b"x")
        sink.sweep()
        for key in ("a/1.png", "a/2.png"):
            with pytest.raises(SampleError):
                sink.read(key, staged=True)
        assert sink.names() == set()

    def test_parts_that_break_off_leave_nothing(self, sink: Sink) -> None:
        def parts() -> Iterator[bytes]:
            yield b"some"
            raise SampleError(Code.FILE_CHANGED, "for a test")

        with pytest.raises(SampleError):
            sink.stage_parts("t.txt", parts())
        sink.sweep()
        assert sink.names() == set()

    def test_another_run_stages_out_of_the_reach_of_this_one(self, sink: Sink) -> None:
        other = self.made().begin()
        sink.stage(sample("a/1.png"), b"of one run")
        other.stage(sample("a/1.png"), b"of another")
        assert sink.read("a/1.png", staged=True) == b"of one run"
        other.discard("a/1.png")
        sink.publish(["a/1.png"])
        assert sink.read("a/1.png") == b"of one run"

    def test_a_worker_stages_and_the_driver_publishes(self, sink: Sink) -> None:
        worker: Sink = pickle.loads(pickle.dumps(sink))
        worker.stage(sample("a/1.png"), b"by a worker")
        sink.publish(["a/1.png"])
        assert sink.read("a/1.png") == b"by a worker"

    def test_files_are_removed_and_others_stay(self, sink: Sink) -> None:
        for key in ("a/1.png", "b/1.png"):
            sink.stage(sample(key), b"x")
        sink.publish(["a/1.png", "b/1.png"])
        sink.remove(["a/1.png"])
        assert sink.names() == {"b/1.png"}

    def test_an_artefact_is_there_whole_or_not_at_all(self, sink: Sink) -> None:
        with sink.writing("manifest.parquet") as file:
            file.write(b"first")
            assert "manifest.parquet" not in sink.names()
        assert sink.holds("manifest.parquet")

        def broken() -> None:
            with sink.writing("manifest.parquet") as file:
                file.write(b"half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            broken()
        assert b"".join(sink.parts("manifest.parquet")) == b"first"
        sink.forget(["manifest.parquet", "summary.json"])
        assert sink.names() == set()

    def test_notes_tell_what_lies_there(self, sink: Sink) -> None:
        sink.stage(sample("a/1.png"), b"x")
        sink.publish(["a/1.png"])
        (noted,) = sink.noted({"a/1.png": sha256(b"x")})
        assert (noted.digest, noted.state) == (sha256(b"x"), sink.state("a/1.png"))
        assert noted.state != ""
        read = sink.note("a/1.png")
        assert read is not None
        assert read.digest == noted.digest
        assert [note.key for note in sink.notes(["a/1.png", "gone.png"])] == ["a/1.png"]
        assert sink.note("gone.png") is None
        assert sink.state("gone.png") == ""
        sink.stage(sample("a/1.png"), b"other")
        sink.publish(["a/1.png"])
        assert sink.state("a/1.png") != noted.state

    @pytest.mark.parametrize(
        "key",
        ["../x.png", "/x.png", "a//x.png", "a/../x.png", "a/", "", ".", "a/\0.png"],
    )
    def test_a_key_that_is_no_name_below_the_top_is_refused(self, sink: Sink, key: str) -> None:
        with pytest.raises(SampleError, match="leads out of the release"):
            sink.stage(sample(key), b"new")
        with pytest.raises(SampleError, match="leads out of the release"):
            sink.stage_parts(key, [b"new"])
        assert not sink.names()

    @pytest.mark.parametrize("key", ["report.html", "manifest.parquet/a.png"])
    def test_the_names_of_its_own_files_are_taken(self, sink: Sink, key: str) -> None:
        with pytest.raises(SampleError, match="a file of its own") as refused:
            sink.stage(sample(key), b"new")
        assert refused.value.code is Code.NAME_TAKEN
        sink.stage(sample(f"a/{key}"), b"new")  # deeper down they are nobody's
        sink.publish([f"a/{key}"])
        assert sink.names() == {f"a/{key}"}
