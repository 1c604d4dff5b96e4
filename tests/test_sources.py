"""The doors: a folder keeps the contracts, and so does a source that is no folder at all."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sfumato.assets import demo_images
from sfumato.errors import Code, SampleError, UsageError
from sfumato.pipeline.driver import STAGES, Job, run
from sfumato.pipeline.settings import Settings
from sfumato.sources import Listing, Sink, Source, open_sink, open_source
from sfumato.sources.doors import Shard
from sfumato.types import Failure, Sample
from tests.command import Here
from tests.contract.sink import SinkContract
from tests.contract.source import SourceContract


@dataclass(frozen=True)
class InMemory:
    """A source of a few files that lie on no disk."""

    files: Mapping[str, bytes]
    beside: Path
    url: str = "memory://three"
    name: str = "three"

    def places(self) -> tuple[Path, ...]:
        return ()

    def scan(self, apart: Sequence[Path] = ()) -> Listing:
        keys = sorted(self.files)
        return Listing(
            tuple(key for key in keys if key.endswith(".png")),
            tuple(key for key in keys if not key.endswith(".png")),
            (),
        )

    def shards(self, keys: Sequence[str]) -> list[Shard]:
        return [Shard(hashlib.sha256("".join(keys).encode()).hexdigest(), self.url, tuple(keys))][
            : len(keys)
        ]

    def read(self, shard: Shard) -> Iterator[Sample | Failure]:
        for key in shard.keys:
            try:
                yield self.sample(key)
            except SampleError as error:
                yield Failure(key, "read", error.code, error.reason)

    def label(self, key: str) -> str:
        return key.rpartition("/")[0]

    def sample(self, key: str) -> Sample:
        data = b"".join(self.parts(key))
        return Sample(key, self.label(key), data, hashlib.sha256(data).hexdigest())

    def parts(self, key: str) -> Iterator[bytes]:
        if key not in self.files:
            raise SampleError(Code.FILE_UNREADABLE, "not there")
        yield self.files[key]

    def state(self, key: str) -> str:
        return hashlib.sha256(self.files[key]).hexdigest() if key in self.files else ""

    def holds(self, name: str) -> bool:
        return name in self.files


class TestFolder(SourceContract):
    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path / "src"

    def made(self, images: Mapping[str, bytes], others: Mapping[str, bytes]) -> Source:
        for key, data in {**images, **others}.items():
            (self.root / key).parent.mkdir(parents=True, exist_ok=True)
            (self.root / key).write_bytes(data)
        return open_source(self.root)

    def test_what_is_no_folder_is_a_sentence(self) -> None:
        with pytest.raises(UsageError, match="is not a folder"):
            open_source(self.root).scan()


class TestMemory(SourceContract):
    def made(self, images: Mapping[str, bytes], others: Mapping[str, bytes]) -> Source:
        return InMemory({**images, **others}, Path("/nowhere.sfumato"))


class TestFolderSink(SinkContract):
    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path

    def made(self) -> Sink:
        return open_sink(self.root / "out", like=open_source(self.root / "src"))


class TestSinkOfMemory(SinkContract):
    """A folder that is filled from a source without one."""

    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path

    def made(self) -> Sink:
        return open_sink(self.root / "out", like=InMemory({}, self.root / "beside"))


@pytest.mark.slow
def test_three_images_in_memory_run_through_all_stages_to_the_report(tmp_path: Path) -> None:
    grey = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 128, np.uint8)).save(grey, "PNG")
    portrait = (demo_images.root() / "people" / "astronaut.png").read_bytes()
    files = {"plain/grey.png": grey.getvalue(), "people/one.png": portrait, "bad/x.png": b"no"}
    source = InMemory(files, tmp_path / "beside")
    out = open_sink(tmp_path / "out", like=source)
    recipe = Settings(detectors=("yunet@320:0.6",)).recipe()
    job = Job(source, recipe, source.beside / "ledger.sqlite", out)
    report = run(job, STAGES, Here())
    assert report.verdict == "refused"
    assert [failure.key for failure in report.refused] == ["bad/x.png"]
    rows = pq.read_table(tmp_path / "out" / "manifest.parquet").to_pylist()
    told = {row["path"]: (row["action"], row["faces"]) for row in rows}
    assert told["plain/grey.png"] == ("copied", 0)
    assert told["people/one.png"] == ("obfuscated", 1)
    assert (tmp_path / "out" / "plain" / "grey.png").read_bytes() == files["plain/grey.png"]
    assert "three" in (tmp_path / "beside" / "report.html").read_text()
    assert run(job, STAGES, Here()).verdict == "refused"  # and again, from the ledger
