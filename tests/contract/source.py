"""What every source must do: a class of tests to inherit, with a source of known images."""

from __future__ import annotations

import hashlib
import pickle
from abc import ABC, abstractmethod
from collections.abc import Mapping

import pytest

from sfumato.errors import SampleError
from sfumato.sources import Source
from sfumato.types import Failure, Sample

IMAGES = {"a/1.png": b"one", "a/2.png": b"two", "b/1.png": b"three", "top.png": b"four"}
OTHERS = {"a/labels.txt": b"a label\n" * 300_000}


class SourceContract(ABC):
    """Inherit this and say how a source of these files is made."""

    @abstractmethod
    def made(self, images: Mapping[str, bytes], others: Mapping[str, bytes]) -> Source: ...

    @pytest.fixture
    def source(self) -> Source:
        return self.made(IMAGES, OTHERS)

    def test_it_lists_what_it_holds_in_the_order_of_the_keys(self, source: Source) -> None:
        listing = source.scan()
        assert listing.images == tuple(sorted(IMAGES))
        assert listing.others == tuple(OTHERS)
        assert not listing.failures
        assert not listing.excluded

    def test_its_shards_hold_each_key_once_and_stay_the_same(self, source: Source) -> None:
        keys = source.scan().images
        shards = source.shards(keys)
        assert [key for shard in shards for key in shard.keys] == list(keys)
        assert source.shards(keys) == shards
        assert len({shard.id for shard in shards}) == len(shards)
        assert source.shards(()) in ([], ())

    def test_a_shard_is_read_key_by_key(self, source: Source) -> None:
        for shard in source.shards(source.scan().images):
            read = list(source.read(shard))
            assert [one.key for one in read] == list(shard.keys)
            for one in read:
                data = IMAGES[one.key]
                digest = hashlib.sha256(data).hexdigest()
                assert one == Sample(one.key, source.label(one.key), data, digest)
                assert source.sample(one.key) == one

    def test_a_part_of_a_shard_can_be_read(self, source: Source) -> None:
        (shard,) = source.shards(source.scan().images)
        assert [one.key for one in source.read(shard.part(1, 3))] == list(shard.keys[1:3])

    @pytest.mark.parametrize("key", ["no/such.png", "../a/1.png", "/a/1.png", "a/../a/1.png"])
    def test_what_is_not_there_is_a_failure_of_that_key(self, source: Source, key: str) -> None:
        (shard,) = source.shards(source.scan().images)
        with pytest.raises(SampleError):
            source.sample(key)
        keys = (shard.keys[0], key, shard.keys[1])
        read = list(source.read(type(shard)(shard.id, shard.url, keys)))
        assert [type(one) for one in read] == [Sample, Failure, Sample]
        assert [one.key for one in read] == list(keys)

    def test_other_files_come_in_parts(self, source: Source) -> None:
        for key, data in OTHERS.items():
            assert b"".join(source.parts(key)) == data
        with pytest.raises(SampleError):
            list(source.parts("no/such.txt"))

    def test_it_knows_the_names_that_it_holds(self, source: Source) -> None:
        assert all(source.holds(name) for name in (*IMAGES, *OTHERS))
        assert not source.holds("no/such.png")
        assert source.state("no/such.txt") == ""

    def test_workers_get_it_by_pickle(self, source: Source) -> None:
        again: Source = pickle.loads(pickle.dumps(source))
        assert again.scan() == source.scan()
        assert (again.url, again.name, again.beside) == (source.url, source.name, source.beside)
        assert all(place not in (source.beside, *source.beside.parents) for place in again.places())
