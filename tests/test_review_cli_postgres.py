"""The review from the command line with everything on a server: one URL for search and release."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sfumato.review import people, store
from sfumato.review.queue import Queue
from sfumato.review.vocabulary import Answer
from sfumato.web import serving
from tests import dataset
from tests.command import Done, sfumato
from tests.dataset import WATCHER, Dataset

pytestmark = pytest.mark.postgres


@dataclass
class Site:
    """A searched data set whose records lie on a server."""

    data: Dataset
    url: str

    def review(self, verb: str, *words: str | Path) -> Done:
        done = sfumato("review", verb, self.data.source, *words, "--ledger", self.url)
        assert "w/ord" not in done.out + done.err
        return done

    def json(self, verb: str, *words: str | Path) -> dict[str, Any]:
        done = self.review(verb, *words, "--json")
        assert done.code == 0, done.err
        told: dict[str, Any] = json.loads(done.out)
        return told

    def answer(self, name: str) -> None:
        with closing(store.open(self.url)) as database:
            queue, person = Queue(database), people.find(database, name)
            assert person is not None
            while leases := queue.lease(person, count=8):
                for lease in leases:
                    queue.submit(lease.token, person, Answer("accept", lease.marks, 1.0))

    def run(self) -> tuple[int, dict[str, Any]]:
        words = ["--verify-detector", WATCHER[0], "--require-review", "-q", "--json"]
        where: list[str | Path] = ["--boxes", self.data.boxes, "--ledger", self.url]
        done = sfumato("run", self.data.source, self.data.out, *words, *where)
        summary: dict[str, Any] = json.loads(done.out)
        return done.code, summary


@pytest.fixture
def site(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(serving, "serve", lambda *_, ready, **__: ready("http://127.0.0.1:1"))
    data = dataset.make(tmp_path, count=2)
    words: list[str | Path] = ["detect", data.source, "--boxes", data.boxes, "-q"]
    done = sfumato(*words, "--ledger", postgres_url)
    assert done.code == 0, done.err
    return Site(data, postgres_url)


def test_from_a_search_to_a_release_with_one_url(site: Site, tmp_path: Path) -> None:
    assert "sfumato review serve" in site.review("status").err
    assert len(site.json("serve", "--reviewer", "anna", "--sample", "4")["links"]) == 1
    assert site.json("serve", "--all", "--sample", "8", "--replicas", "2")["sample"] == 8
    path = tmp_path / "file.xml"
    assert site.json("export", "--format", "cvat", "-o", path)["images"] == 12
    words = ["--format", "cvat", "--empty", "faceless"]
    assert site.json("import", path, *words)["answers"] == 12
    assert site.json("import", path, *words)["again"] == 12
    assert site.json("merge")["waiting"] == 12
    code, summary = site.run()
    assert (code, summary["refusals"]) == (3, {"REVIEW_MISSING": 12})
    site.answer("anna")
    merged = site.json("merge")
    assert (merged["decided"], merged["written"]) == (12, 12)
    assert site.json("merge")["written"] == 0
    code, summary = site.run()
    assert code == 0
    assert summary["account"]["obfuscated"] == len(site.data.with_face)
    assert summary["review"]["boxes"]["confirmed"] == len(site.data.with_face)


def test_figures_links_and_a_new_order(site: Site) -> None:
    site.json("serve", "--reviewer", "anna", "--all")
    site.answer("anna")
    assert site.json("estimate", "--plan")["measured"]
    assert "all 12 images" in site.review("estimate").out
    assert site.json("serve")["added"] == 0
    assert site.json("status")["answered"] == 12
    assert site.json("revoke", "anna") == {"revoked": 1}
    assert "/r/" in site.json("invite", "ben")["link"]
