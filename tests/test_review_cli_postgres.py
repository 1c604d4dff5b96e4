"""The review from the command line with everything on a server: one URL for search and release."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sfumato.review import people, store
from sfumato.review.queue import Queue
from sfumato.review.records import Answer
from sfumato.web import serving
from tests import dataset
from tests.command import sfumato
from tests.dataset import WATCHER

pytestmark = pytest.mark.postgres


def test_from_a_search_to_a_release_with_one_url(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset.make(tmp_path, count=2)
    monkeypatch.setattr(serving, "serve", lambda *_, ready, **__: ready("http://127.0.0.1:1"))

    def told(*words: str | Path, code: int = 0) -> Any:
        done = sfumato("review", words[0], data.source, *words[1:], "--ledger", postgres_url)
        assert done.code == code, done.err
        assert "w/ord" not in done.out + done.err
        return json.loads(done.out) if "--json" in words else done

    done = sfumato(
        "detect", data.source, "--boxes", data.boxes, "-q", "--ledger", postgres_url
    )
    assert done.code == 0, done.err
    assert "sfumato review serve" in told("status", code=2).err
    links = told("serve", "--reviewer", "anna", "--sample", "4", "--json")["links"]
    assert len(links) == 1
    again = told("serve", "--all", "--sample", "8", "--replicas", "2", "--json")
    assert again["sample"] == 8
    path = tmp_path / "tasks.json"
    assert told("export", "--format", "cvat", "-o", path, "--json")["pictures"] == 12
    words = ("import", path, "--format", "cvat", "--empty", "faceless", "--json")
    assert told(*words)["answers"] == 12
    assert told(*words)["again"] == 12
    assert told("merge", "--json")["waiting"] == 12
    out = tmp_path / "out"
    run = ["run", data.source, out, "--boxes", data.boxes, "--verify-detector", WATCHER[0]]
    run += ["--require-review", "-q", "--json", "--ledger", postgres_url]
    done = sfumato(*run)
    assert done.code == 3
    assert json.loads(done.out)["refusals"] == {"REVIEW_MISSING": 12}
    with closing(store.open(postgres_url)) as database:
        queue, anna = Queue(database), people.find(database, "anna")
        assert anna is not None
        while leases := queue.lease(anna, count=8):
            for lease in leases:
                queue.submit(lease.token, anna, Answer("accept", lease.marks, 1.0))
    merged = told("merge", "--json")
    assert (merged["decided"], merged["written"]) == (12, 12)
    assert told("merge", "--json")["written"] == 0
    assert told("serve", "--json")["added"] == 0  # in a new order
    assert told("estimate", "--plan", "--json")["measured"]
    assert told("status", "--json")["answered"] == 24
    assert "95 % interval" in told("estimate").out or "all 12 pictures" in told("estimate").out
    done = sfumato(*run)
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary["account"]["obfuscated"] == len(data.with_face)
    assert summary["review"]["boxes"]["confirmed"] == len(data.with_face)
    assert told("revoke", "anna", "--json") == {"revoked": 1}
    assert "/r/" in told("invite", "ben", "--json")["link"]
