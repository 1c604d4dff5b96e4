"""The review from the command line: from a searched folder to a release that people decided on."""

from __future__ import annotations

import asyncio
import csv
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from sfumato.errors import UsageError
from sfumato.ledger.ledger import Ledger
from sfumato.review import people, store
from sfumato.review.joining import come_in, open_door
from sfumato.review.queue import Queue
from sfumato.review.vocabulary import Answer, Given, Lease, Mark
from sfumato.sources.private import private_folder
from sfumato.types import Decision, Detection
from sfumato.web import serving
from sfumato.web.application import build as application
from tests import dataset
from tests.command import Done, sfumato
from tests.dataset import BOX, SIDE, WATCHER, Dataset
from tests.prolific_service import TOKEN
from tests.prolific_service import serving as prolific_serving

DRAWN = (4.0, 5.0, 24.0, 30.0)


@dataclass
class Site:
    """A searched data set with its ledger."""

    data: Dataset

    @property
    def source(self) -> Path:
        return self.data.source

    @property
    def ledger(self) -> Path:
        return private_folder(self.source) / "ledger.sqlite"

    def review(self, verb: str, *words: str | Path) -> Done:
        return sfumato("review", verb, self.source, *words)

    def json(self, verb: str, *words: str | Path) -> dict[str, Any]:
        done = self.review(verb, *words, "--json")
        assert done.code == 0, done.err
        told: dict[str, Any] = json.loads(done.out)
        return told

    @contextmanager
    def queue(self) -> Iterator[Queue]:
        with closing(store.open(self.ledger)) as database:
            yield Queue(database)

    def given(self) -> list[Given]:
        with self.queue() as queue:
            return list(queue.given())

    def answer(self, name: str, say: Callable[[Lease], Answer]) -> int:
        """Have a person answer all there is for them; return how many images that was."""
        done = 0
        with closing(store.open(self.ledger)) as database:
            queue, person = Queue(database), people.find(database, name)
            assert person is not None
            while leases := queue.lease(person, count=4):
                for lease in leases:
                    queue.submit(lease.token, person, say(lease))
                    done += 1
        return done

    def records(self, kind: str) -> list[Any]:
        with Ledger(self.ledger, read_only=True) as ledger:
            recipe = ledger.last_run("%detect%")
            assert recipe is not None
            prints = [r[0] for r in _rows(self.ledger, "SELECT DISTINCT fingerprint FROM records")]
            return [one for p in prints for one in ledger.latest(p, (kind,))]


def _rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    data = dataset.make(tmp_path, count=1)

    def served(_: object, __: object, *, ready: Callable[[str], None], **___: object) -> None:
        ready("http://127.0.0.1:1")

    monkeypatch.setattr(serving, "serve", served)
    done = sfumato("detect", data.source, "--boxes", data.boxes, "-q")
    assert done.code == 0, done.err
    return Site(data)


def accept(lease: Lease) -> Answer:
    return Answer("accept", lease.marks, seconds=2.0)


def reject(lease: Lease) -> Answer:
    return Answer("correct", (), seconds=1.0)


def add(lease: Lease) -> Answer:
    return Answer("correct", (*lease.marks, Mark(DRAWN)), seconds=3.0)


def test_before_anything_was_searched_or_begun_a_sentence_says_what_to_do(
    tmp_path: Path, site: Site
) -> None:
    (tmp_path / "other").mkdir()
    done = sfumato("review", "status", tmp_path / "other")
    assert (done.code, done.out) == (2, "")
    assert "run `sfumato detect" in done.err
    for verb in ("status", "merge", "estimate"):
        done = site.review(verb)
        assert done.code == 2
        assert "sfumato review serve" in done.err


@pytest.mark.slow
def test_from_links_to_a_release(site: Site, tmp_path: Path) -> None:
    told = site.json("serve", "--reviewer", "anna", "--reviewer", "ben", "--replicas", "2", "--all")
    assert [row["name"] for row in told["links"]] == ["anna", "ben"]
    assert all("/r/" in row["link"] for row in told["links"])
    assert told["added"] == len(site.data.keys)
    assert site.answer("anna", add) == len(site.data.keys)
    assert site.json("merge")["waiting"] == len(site.data.keys)  # two people shall look
    site.answer("ben", add)
    merged = site.json("merge")
    assert (merged["decided"], merged["disputed"]) == (len(site.data.keys), 0)
    assert site.json("merge")["written"] == 0
    status = site.json("status")
    assert {p["name"]: p["answered"] for p in status["people"]} == dict.fromkeys(
        ("anna", "ben"), len(site.data.keys)
    )
    assert status["assessment"]["agreement"]["n"] in (0, len(site.data.keys))

    out = tmp_path / "out"
    words: list[str | Path] = ["--boxes", site.data.boxes, "--verify-detector", WATCHER[0]]
    words.append("--require-review")
    done = sfumato("run", site.source, out, *words, "-q", "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary["account"]["obfuscated"] == len(site.data.keys)
    boxes = summary["review"]["boxes"]
    assert (boxes["confirmed"], boxes["added"]) == (3, 6)
    assert summary["review"]["estimate"]["overall"]["found_faces"] == 6
    page = (out / "report.html").read_text()
    assert "People checked all 6 images" in page
    assert "anna" not in page
    everybody = {p["person"] for p in status["people"]}
    for path in out.rglob("*"):
        if path.is_file():
            assert not any(one.encode() in path.read_bytes() for one in everybody)


@pytest.mark.slow
def test_raw_boxes_and_everybodys_stay_beside_the_decision(site: Site) -> None:
    site.json("serve", "--reviewer", "anna", "--all")
    site.answer("anna", add)
    site.json("merge")
    assert {type(one) for one in site.records("detection")} == {Detection}
    given = site.given()
    assert len(given) == len(site.records("decision")) == len(site.data.keys)
    said, decision = given[0], site.records("decision")[0]
    assert isinstance(decision, Decision)
    assert said.answer.seconds == 3.0
    assert DRAWN in [face.box for face in decision.faces]
    assert said.person == decision.reviewers[0]
    assert "anna" not in repr((said, decision))


@pytest.mark.slow
def test_a_dispute_waits_for_an_adjudicator_and_is_covered_meanwhile(
    site: Site, tmp_path: Path
) -> None:
    site.json("serve", "--reviewer", "anna", "--reviewer", "ben", "--replicas", "2", "--all")
    site.answer("anna", accept)
    site.answer("ben", reject)
    merged = site.json("merge")
    assert merged["disputed"] == 3  # those with a proposal
    words: list[str | Path] = ["--boxes", site.data.boxes, "--verify-detector", WATCHER[0]]
    words += ["-q", "--json"]
    done = sfumato("run", site.source, tmp_path / "a", *words, "--require-review")
    assert done.code == 3
    assert json.loads(done.out)["refusals"] == {"REVIEW_MISSING": 3}
    done = sfumato("run", site.source, tmp_path / "b", *words)
    assert json.loads(done.out)["account"]["obfuscated"] == 3
    assert site.review("invite", "judge", "--role", "adjudicator").code == 0
    assert site.answer("judge", reject) == 3
    assert site.json("merge")["disputed"] == 0
    decided = {one.key: one for one in site.records("decision")}
    assert {decided[key].basis for key in site.data.with_face} == {"adjudicated"}
    assert all(decided[key].faces == () for key in site.data.with_face)


@pytest.mark.slow
def test_the_estimate_can_be_quoted_and_says_not_measured_before(site: Site) -> None:
    site.json("serve", "--reviewer", "anna", "--sample", "4")
    done = site.review("estimate")
    assert "not measured" in done.out
    assert done.err == ""
    with Ledger(site.ledger) as ledger:  # an image goes
        ledger.list_source(dict.fromkeys(site.data.keys[1:], "image"))
        assert "there are 5 now" in site.review("estimate").err
        ledger.list_source(dict.fromkeys(site.data.keys, "image"))
    site.answer("anna", accept)
    done = site.review("estimate", "--plan", "--half-width", "5%")
    assert "95 % interval" in done.out
    assert "more images" in done.out
    told = site.json("estimate", "--plan")
    assert told["measured"]
    assert told["plan"]["more"] >= 0
    assert site.review("estimate", "--half-width", "wide").code == 2


def test_a_larger_sample_keeps_the_smaller(site: Site) -> None:
    site.json("serve", "--sample", "3")
    with closing(store.open(site.ledger)) as database:
        first = json.loads(store.campaign(database, "draw"))
    site.json("serve")
    assert len({key for s in _draw(site)["strata"] for key in s["keys"]}) == 3
    site.json("serve", "--sample", "6")
    with closing(store.open(site.ledger)) as database:
        second = json.loads(store.campaign(database, "draw"))
    keys = [{key for s in draw["strata"] for key in s["keys"]} for draw in (first, second)]
    assert keys[0] < keys[1]
    assert keys[1] == set(site.data.keys)


@pytest.mark.slow
def test_gold_tells_who_is_careful(site: Site, tmp_path: Path) -> None:
    gold = tmp_path / "gold.csv"
    with gold.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["path", "x0", "y0", "x1", "y1"], [site.data.with_face[0], *BOX]]
        )
    assert site.json("serve", "--reviewer", "anna", "--gold", gold, "--all")["gold"] == 1
    site.answer("anna", lambda lease: Answer("correct", (Mark(BOX),), 1.0))
    (anna,) = site.json("status")["people"]
    assert (anna["gold"], anna["gold_passed"]) == (1, 1)
    gold.write_text("path,x0,y0,x1,y1\nnowhere.png,1,2,3,4\n")
    done = site.review("serve", "--gold", gold)
    assert done.code == 2
    assert "nowhere.png" in done.err


@pytest.mark.parametrize("tool", ["label-studio", "cvat", "coco"])
def test_another_tool_takes_part(site: Site, tmp_path: Path, tool: str) -> None:
    site.json("serve", "--all")
    path = tmp_path / "file"
    told = site.json("export", "--format", tool, "-o", path)
    assert told == {"images": 6, "boxes": 3}
    if tool == "label-studio":
        tasks = json.loads(path.read_text())
        for task in tasks:
            result = task["predictions"][0]["result"]
            task["annotations"] = [{"completed_by": 4, "result": result, "lead_time": 9.0}]
        path.write_text(json.dumps(tasks))
    words = ["--format", tool, "--empty", "faceless"]
    assert site.json("import", path, *words)["answers"] == 6
    assert site.json("import", path, *words)["again"] == 6
    assert site.json("merge")["decided"] == 6
    boxes = {one.key: [f.box for f in one.faces] for one in site.records("decision")}
    for key in site.data.with_face:
        assert max(abs(a - b) for a, b in zip(boxes[key][0], BOX, strict=True)) < 0.01
    assert all(boxes[key] == [] for key in site.data.without)


def test_a_file_with_wrong_images_is_named(site: Site, tmp_path: Path) -> None:
    site.json("serve", "--all")
    path = tmp_path / "file"
    site.json("export", "--format", "cvat", "-o", path)
    text = path.read_text()
    wide = f'width="{SIDE[0]}"'
    path.write_text(text.replace(wide, 'width="77"', 1).replace('xtl="40.0"', 'xtl="900"', 1))
    done = site.review("import", path, "--format", "cvat", "--json")
    assert done.code == 1
    reasons = " ".join(one["reason"] for one in json.loads(done.out)["problems"])
    assert "x1 must exceed x0" in reasons or "outside" in reasons
    path.write_text('<annotations><image name="other.png" width="1" height="1"/></annotations>')
    done = site.review("import", path, "--format", "cvat", "--empty", "faceless")
    assert done.code == 2
    assert "is this its file?" in done.err


def test_links_end(site: Site) -> None:
    site.json("serve")
    link = site.json("invite", "anna", "--url", "https://review.example.org/")["link"]
    assert link.startswith("https://review.example.org/r/")
    assert site.json("revoke", "anna") == {"revoked": 1}
    done = site.review("revoke", "anna")
    assert done.code == 2
    with closing(store.open(site.ledger)) as database:
        assert people.recognise(database, link.rpartition("/")[2]) is None


@pytest.mark.slow
def test_paid_participants_come_in_by_one_door(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.json("serve", "--all")
    monkeypatch.setenv("PROLIFIC_API_TOKEN", TOKEN)
    with prolific_serving() as service:
        api = ["--api", service.url]
        url = ["--url", "https://review.example.org", "--images", "2"]
        assert site.review("offer", "publish", *api).code == 2  # there is none yet
        draft = site.json("offer", "draft", *api, *url)
        assert (draft["state"], draft["cost"]) == ("draft", 3500)
        assert "stop it first" in site.review("offer", "draft", *api, *url).err
        assert "--prod" in site.review("offer", "publish", *api).err
        assert "--max-cost" in site.review("offer", "publish", *api, "--prod").err
        told = site.json("offer", "publish", *api, "--prod", "--max-cost", "35")
        assert told["state"] == "open"
        study = service.studies[draft["id"]]
        code = study["completion_codes"][0]["code"]
        door = study["external_study_url"].partition("?")[0].partition("/join/")[2]
        assert _participant(site, door, "p1") == code
        service.submissions[draft["id"]] = [
            {"id": "s1", "participant_id": "p1", "status": "AWAITING REVIEW", "study_code": code},
            {"id": "s2", "participant_id": "p2", "status": "AWAITING REVIEW", "study_code": "X"},
            {"id": "s3", "participant_id": "p3", "status": "AWAITING REVIEW", "study_code": code},
        ]
        rows = site.json("offer", "status", *api)["submissions"]
        assert [(r["person"] is not None, r["code"]) for r in rows] == [
            (True, "right"),
            (False, "wrong"),
            (False, "right"),  # a code that somebody else has told
        ]
        assert site.review("offer", "settle", *api).code == 2  # it pays
        assert site.json("offer", "settle", *api, "--prod")["approved"] == 1
        left = [row["status"] for row in service.submissions[draft["id"]][1:]]
        assert left == ["AWAITING REVIEW"] * 2
        assert site.json("offer", "stop", *api)["state"] == "closed"
        assert _participant(site, door, "p3") is None


def _participant(site: Site, door: str, name: str) -> str | None:
    """Work as a participant does, in a browser; return the code that the page gives."""

    async def work() -> str | None:
        with closing(store.open(site.ledger)) as database:
            app = application(database, Queue(database), site.source)
            transport = httpx.ASGITransport(app=app)
            headers = {"X-Sfumato": "1"}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1", headers=headers
            ) as client:
                came = await client.get(
                    f"/join/{door}",
                    params={"PROLIFIC_PID": name},
                    headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"},
                )
                if came.status_code != 303:
                    return None
                leases = (await client.post("/api/next", json={"count": 2})).json()["leases"]
                for lease in leases:
                    body = {
                        "verdict": "accept",
                        "marks": lease["marks"],
                        "seconds": 1,
                        "scope": "whole",
                    }
                    await client.post(f"/api/lease/{lease['token']}/answer", json=body)
                me: dict[str, str] = (await client.get("/api/me")).json()
                return me.get("completion")

    return asyncio.run(work())


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, "ü"])
def test_a_door_opens_for_real_names_only(site: Site, name: str) -> None:
    with closing(store.open(site.ledger)) as database:
        secret = open_door(database, "prolific", code="C", quota=1, days=1)
        assert come_in(database, secret, name) is None
        assert come_in(database, "wrong" * 8, "p1") is None
        first, second = (come_in(database, secret, "p1") for _ in range(2))
        assert first is not None
        assert second is not None
        assert people.recognise(database, first) is None  # the newer link counts
        person = people.recognise(database, second)
        assert person is not None
        assert person.name == "prolific:p1"


@pytest.mark.slow
def test_classes_with_misses_come_first_from_then_on(site: Site) -> None:
    site.json("serve", "--reviewer", "anna", "--all", "--sample", "2")
    drawn = {key for s in _draw(site)["strata"] for key in s["keys"]}
    # The last two images of one class, of which none was drawn, among those that wait.
    last = [key for key in _waiting(site) if _label(key) not in map(_label, drawn)][-1]
    with closing(store.open(site.ledger)) as database:
        queue, anna = Queue(database), people.find(database, "anna")
        assert anna is not None
        leases = {lease.key: lease for lease in queue.lease(anna, count=8)}
        (other,) = [key for key in leases if _label(key) == _label(last) and key != last]
        queue.submit(leases[other].token, anna, add(leases[other]))
        for key in leases.keys() - {other}:
            queue.give_back(leases[key].token, anna)
    assert _waiting(site)[0] != last
    site.json("merge")
    site.json("serve", "--all", "--sample", "2")
    assert _waiting(site)[0] == last


def _label(key: str) -> str:
    return key.rpartition("/")[0]


def _waiting(site: Site) -> list[str]:
    """Return the images that want answers and weren't drawn, the most urgent first."""
    drawn = {key for s in _draw(site)["strata"] for key in s["keys"]}
    with closing(store.open(site.ledger)) as database:
        rows = list(database.read("SELECT key FROM review_items WHERE open > 0 ORDER BY rank"))
    return [key for (key,) in rows if key not in drawn]


def _draw(site: Site) -> dict[str, Any]:
    with closing(store.open(site.ledger)) as database:
        drawn: dict[str, Any] = json.loads(store.campaign(database, "draw"))
    return drawn


def test_persons_that_another_detector_saw_need_a_image_of_the_source(
    site: Site, tmp_path: Path
) -> None:
    table = tmp_path / "persons.csv"
    table.write_text("path\nnowhere.png\n")
    done = site.review("serve", "--persons", table)
    assert done.code == 2
    assert "names no image of the source" in done.err
    site.json("serve", "--all", "--sample", "2")
    last = [key for key in _waiting(site) if key in site.data.without][-1]
    assert _waiting(site)[0] != last
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path"], [last]])
    site.json("serve", "--persons", table, "--all")
    assert _waiting(site)[0] == last


def test_a_port_that_is_taken_ends_no_link_and_a_role_stays(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.json("serve")
    site.review("invite", "judge", "--role", "adjudicator")
    links = site.json("serve", "--reviewer", "judge", "--reviewer", "anna")["links"]
    assert [row["role"] for row in links] == ["adjudicator", "reviewer"]

    def taken(*_: object, **__: object) -> None:
        raise UsageError("Can't listen there.")

    monkeypatch.setattr(serving, "serve", taken)
    assert site.review("serve", "--reviewer", "anna").code == 2
    with closing(store.open(site.ledger)) as database:
        person = people.recognise(database, links[1]["link"].rpartition("/")[2])
    assert person is not None


@pytest.mark.slow
def test_answers_of_one_search_say_nothing_of_another(site: Site) -> None:
    site.json("serve", "--reviewer", "anna", "--all")
    site.answer("anna", reject)
    with site.data.boxes.open("a", encoding="utf-8") as file:
        file.write(f"{site.data.with_face[0]},1,1,20,20\n")
    assert sfumato("detect", site.source, "--boxes", site.data.boxes, "-q").code == 0
    for verb in ("serve", "merge", "estimate", "status"):
        done = site.review(verb)
        assert done.code == 2
        assert "searched with other settings" in done.err
    assert site.records("decision") == []
