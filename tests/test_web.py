"""The HTTP interface, against a real queue in a SQLite ledger, without a socket."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sfumato.errors import LedgerError, UsageError
from sfumato.review import joining, people
from sfumato.review.queue import Rules
from sfumato.review.vocabulary import Mark
from sfumato.web.admission import POLICY
from sfumato.web.application import build as application
from sfumato.web.limits import Limits
from sfumato.web.refusals import Refusal
from sfumato.web.workers import Workers
from tests.review_views import views
from tests.web_service import (
    BOX,
    FILE,
    FOLDER,
    HEIGHT,
    SECRETS,
    WIDTH,
    Browser,
    Service,
    in_parts,
    make_item,
    served,
)

PROPOSED = {"id": "p0", "box": list(BOX), "kind": "face", "proposal": "p0", "score": 0.4}
DRAWN = {"id": "n1", "box": [1, 2, 20, 30.5], "kind": "face", "proposal": "", "score": None}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A campaign for all tests: each asks as somebody new."""
    with served(tmp_path_factory.mktemp("campaign"), 12) as service:
        yield service


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Service]:
    """A campaign of one image, for one answer."""
    with served(tmp_path, 0) as service:
        service.queue.fill([make_item(service.root, 0, replicas=1)])
        yield service


@pytest.fixture
def browser(service: Service) -> Browser:
    return service.browser()


@pytest.fixture(scope="module")
def visitor(service: Service) -> Browser:
    """Somebody for all tests that store nothing."""
    return service.browser()


def answer(marks: list[Any], verdict: str = "correct", **more: object) -> dict[str, object]:
    return {"verdict": verdict, "marks": marks, "seconds": 3.5, "scope": "whole", **more}


# The way in


def test_a_link_becomes_a_cookie_that_scripts_cannot_read(service: Service) -> None:
    browser = service.stranger()
    assert browser.code("POST", "/api/next", {}) == (401, "NO_SESSION")
    response = browser.get(f"/r/{service.invite()[1]}")
    assert (response.status_code, response.headers["location"]) == (303, "/")
    cookie = response.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
    assert "secure" not in cookie  # it came over HTTP
    me = browser.get("/api/me").json()
    assert me == {"role": "reviewer", "answered": 0, "left": 12, "redact": False, "tutorial": False}


def test_over_https_the_cookie_stays_there(service: Service) -> None:
    response = service.stranger().get(f"https://127.0.0.1/r/{service.invite()[1]}")
    assert "secure" in response.headers["set-cookie"].lower()


@pytest.mark.parametrize("secret", ["x", "x" * 43, "%00" * 20, "é" * 20, "x" * 5_000])
def test_a_wrong_link_opens_nothing(service: Service, secret: str) -> None:
    response = service.stranger(secret[:9]).get(f"/r/{secret}")
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert "Ask for a new one" in response.text


def test_a_revoked_link_ends_the_session_at_once(service: Service, browser: Browser) -> None:
    assert browser.get("/api/me").status_code == 200
    assert people.revoke(service.database, browser.name) == 1
    assert browser.code("GET", "/api/me") == (401, "NO_SESSION")
    assert browser.get(f"/r/{browser.secret}").status_code == 403


def test_a_link_in_an_image_of_another_page_opens_nothing(service: Service) -> None:
    path = f"/r/{service.invite()[1]}"
    response = service.stranger().get(path, headers={"Sec-Fetch-Dest": "image"})
    assert (response.status_code, "set-cookie" in response.headers) == (403, False)


def test_who_tries_many_links_has_to_wait_and_others_need_not(service: Service) -> None:
    strict = service.again(limits=Limits(failed_links=(0.1, 3)))
    guesser = strict.stranger("10.0.0.1")
    tried = [guesser.get(f"/r/{number:032}").status_code for number in range(5)]
    assert tried == [403, 403, 403, 429, 429]
    assert strict.browser().get("/api/me").status_code == 200
    service.time.now += 10
    assert guesser.get(f"/r/{service.invite()[1]}").status_code == 303


def test_the_secret_is_nowhere_in_the_ledger(service: Service, browser: Browser) -> None:
    browser.next()
    folder = service.root.parent
    held = b"".join(path.read_bytes() for path in folder.glob("ledger.sqlite*"))
    assert browser.name.encode() in held  # we do read the right files
    assert browser.secret.encode() not in held


# The page's files


def test_the_page_needs_no_cookie_and_is_kept_by_its_tag(service: Service) -> None:
    browser = service.stranger()
    for path, kind in (("/", "text/html"), ("/static/review.js", "text/javascript")):
        first = browser.get(path)
        assert first.status_code == 200
        assert first.headers["content-type"].startswith(kind)
        again = browser.get(path, headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/static/notes.txt",
        "/static/../ledger.sqlite",
        "/static/..%2fledger.sqlite",
        "/static/%2e%2e/ledger.sqlite",
        "/static/..%5cledger.sqlite",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/review.js%00.txt",
        "/static/",
        "/image/../../etc/passwd",
        "/image/..%2f..%2fetc%2fpasswd",
        f"/image/{FOLDER}/quokkafile0.png",
        "/api/lease/..%2f..%2fx",
        "/ledger.sqlite",
        "/.env",
    ],
)
def test_no_path_leads_out(visitor: Browser, path: str) -> None:
    response = visitor.get(path)
    assert response.status_code in (404, 405)
    assert set(response.json()) == {"error", "code"}


def test_a_page_that_is_missing_is_said_at_once(service: Service, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError):
        application(service.database, service.queue, tmp_path, page=tmp_path / "empty")


# Work


def test_a_lease_tells_what_the_page_needs_and_no_more(browser: Browser) -> None:
    (lease,) = browser.next()
    assert lease.keys() == {
        "token", "width", "height", "image", "marks", "version", "expires", "whole",
        "adjudication",
    }  # fmt: skip
    assert (lease["width"], lease["height"]) == (WIDTH, HEIGHT)
    assert lease["image"] == f"/image/{lease['token']}"
    assert (lease["marks"], lease["version"]) == ([PROPOSED], 0)


def test_what_is_held_comes_first_with_its_draft(browser: Browser) -> None:
    first, second = browser.next(2)
    path = f"/api/lease/{first['token']}"
    draft = {"version": 3, "marks": [PROPOSED, DRAWN]}
    assert browser.send("PUT", path, draft).json() == {"version": 3}
    assert browser.send("PUT", path, draft).json() == {"version": 3}
    older = {"version": 2, "marks": []}
    assert browser.send("PUT", path, older).json() == {"version": 3}
    leases = browser.next(3)
    assert [lease["token"] for lease in leases[:2]] == [first["token"], second["token"]]
    assert len({lease["token"] for lease in leases}) == 3
    assert leases[0]["version"] == 3
    assert [mark["box"] for mark in leases[0]["marks"]] == [list(BOX), DRAWN["box"]]


def test_a_proposal_that_a_draft_left_out_can_come_back(browser: Browser) -> None:
    (lease,) = browser.next()
    path = f"/api/lease/{lease['token']}"
    assert browser.send("PUT", path, {"version": 1, "marks": []}).status_code == 200
    assert browser.send("PUT", path, {"version": 2, "marks": [PROPOSED]}).status_code == 200
    response = browser.send("POST", f"{path}/answer", answer([PROPOSED], "accept"))
    assert response.status_code == 200


def test_an_answer_is_stored_once_however_often_it_comes(
    service: Service, browser: Browser
) -> None:
    (lease,) = browser.next()
    path = f"/api/lease/{lease['token']}/answer"
    sent = answer([{**PROPOSED, "box": [11, 8, 30, 32]}, DRAWN], seconds=7.25)
    for _ in range(3):
        response = browser.send("POST", path, sent)
        assert (response.status_code, response.json()) == (200, {"score": None})
    assert browser.code("POST", path, answer([])) == (409, "CONFLICT")
    (given,) = [each for each in service.queue.given() if each.answer.seconds == 7.25]
    assert [mark.box for mark in given.answer.marks] == [(11, 8, 30, 32), (1, 2, 20, 30.5)]
    assert [mark.proposal for mark in given.answer.marks] == ["p0", ""]
    assert given.answer.verdict == "correct"
    assert browser.get("/api/me").json()["answered"] == 1


def test_a_image_given_back_goes_to_others(small: Service) -> None:
    browser = small.browser()
    (lease,) = browser.next()
    path = f"/api/lease/{lease['token']}"
    for _ in range(2):
        assert browser.send("DELETE", path).json() == {}
    assert browser.code("GET", lease["image"]) == (404, "UNKNOWN_LEASE")
    _finish(small)
    draft = {"version": 1, "marks": []}
    assert browser.code("PUT", path, draft) == (410, "EXPIRED")


def test_what_is_another_persons_does_not_exist(service: Service, browser: Browser) -> None:
    (lease,) = browser.next()
    stranger = service.browser()
    stranger.next()
    token = lease["token"]
    before = service.stored()
    refusals = {
        stranger.code("PUT", f"/api/lease/{token}", {"version": 9, "marks": []}),
        stranger.code("POST", f"/api/lease/{token}/answer", answer([])),
        stranger.code("DELETE", f"/api/lease/{token}"),
        stranger.code("GET", f"/image/{token}"),
        stranger.code("GET", f"/image/{token}?crop=0,0,9,9"),
        stranger.code("GET", f"/image/{token}/face/p0"),
        stranger.code("GET", "/image/" + "A" * len(token)),  # never was
    }
    assert refusals == {(404, "UNKNOWN_LEASE")}
    assert service.stored() == before


def test_two_people_never_hold_the_same_token(service: Service, browser: Browser) -> None:
    mine = {lease["token"] for lease in browser.next(8)}
    theirs = {lease["token"] for lease in service.browser().next(8)}
    assert len(mine) == len(theirs) == 8
    assert not mine & theirs


# What must be refused, and leave nothing behind

BAD_MARKS = [
    [{**DRAWN, "box": [-5, 0, 10, 10]}],
    [{**DRAWN, "box": [0, 0, WIDTH + 2, 10]}],
    [{**DRAWN, "box": [10, 0, 0, 10]}],
    [{**DRAWN, "box": [5, 5, 5, 5]}],
    [{**DRAWN, "box": ["<script>", 0, 1, 1]}],
    [{**DRAWN, "id": "<script>alert(1)</script>"}],
    [{**DRAWN, "kind": "<img src=x onerror=alert(1)>"}],
    [{**DRAWN, "proposal": "p7"}],
    [{**DRAWN, "name": "x"}],
    [{"id": f"n{number}", "box": [0, 0, 9, 9]} for number in range(10_000)],
    "marks",
    None,
]


@pytest.mark.slow
@pytest.mark.parametrize("marks", BAD_MARKS, ids=range(len(BAD_MARKS)))
def test_bad_boxes_store_nothing(service: Service, visitor: Browser, marks: Any) -> None:
    (lease,) = visitor.next()
    before = service.stored()
    path = f"/api/lease/{lease['token']}"
    for response in (
        visitor.send("PUT", path, {"version": 1, "marks": marks}),
        visitor.send("POST", f"{path}/answer", answer(marks)),
    ):
        assert response.status_code in (413, 422)
        assert set(response.json()) == {"error", "code"}
        assert "script" not in response.text
        assert "img" not in response.text
    assert service.stored() == before


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"version": 1, "marks": [{"id": "n1", "box": [0, 0, NaN, 9]}]}', 400),
        (b'{"version": 1, "marks": [{"id": "n1", "box": [0, 0, Infinity, 9]}]}', 400),
        (b'{"version": 1, "marks": [{"id": "n1", "box": [0, 0, 1e999, 9]}]}', 422),
        (b'{"version": 1, "version": 2, "marks": []}', 400),
        (b'{"version": 1, "marks": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400),
        (b"\xff\xfe", 400),
        (b"", 400),
        (b" " * 1_000_001, 413),
    ],
)
def test_bad_bodies_store_nothing(
    service: Service, visitor: Browser, content: bytes, status: int
) -> None:
    (lease,) = visitor.next()
    before = service.stored()
    path = f"/api/lease/{lease['token']}"
    assert visitor.send("PUT", path, content=content).status_code == status
    parts = in_parts([content[:100], content[100:]])
    assert visitor.send("PUT", path, content=parts).status_code == status
    assert service.stored() == before


def test_without_the_pages_headers_nothing_happens(service: Service, browser: Browser) -> None:
    (lease,) = browser.next()
    before = service.stored()
    path = f"/api/lease/{lease['token']}"
    good = {"X-Sfumato": "1", "Content-Type": "application/json"}
    for headers in (
        {"Content-Type": "application/json"},
        {"X-Sfumato": "1", "Content-Type": "text/plain"},
        {**good, "Origin": "http://evil.example"},
        {**good, "Sec-Fetch-Site": "same-site"},
    ):
        response = browser.request("DELETE", path, headers=headers)
        assert response.status_code in (403, 415)
    assert service.stored() == before


def test_a_lease_that_ran_out_takes_nothing_once_others_have_the_image(small: Service) -> None:
    browser = small.browser()
    (lease,) = browser.next()
    small.time.now += Rules().lease_s + 1
    assert browser.code("GET", lease["image"]) == (404, "UNKNOWN_LEASE")
    _finish(small)
    before = small.stored()["review_answers"]
    path = f"/api/lease/{lease['token']}/answer"
    assert browser.code("POST", path, answer([])) == (410, "EXPIRED")
    assert small.stored()["review_answers"] == before


def test_a_person_may_ask_only_so_often(service: Service) -> None:
    strict = service.again(limits=Limits(person=(1.0, 5)))
    browser = strict.browser()
    tried = [browser.get("/api/me") for _ in range(7)]
    assert [response.status_code for response in tried] == [200] * 5 + [429] * 2
    assert tried[-1].headers["retry-after"] == "1"
    assert strict.browser().get("/api/me").status_code == 200


# What is seen


def test_every_view_is_noted_before_it_leaves(service: Service, browser: Browser) -> None:
    def noted() -> list[str]:
        who = people.find(service.database, browser.name)
        assert who is not None
        seen = [view for view in views(service.database) if view.person == who.id]
        assert all(view.key.startswith(f"{FOLDER}/{FILE}") for view in seen)
        return [view.what for view in seen]

    (lease,) = browser.next()
    for path in ("", "?crop=0,0,20,20", "/face/p0"):
        response = browser.get(lease["image"] + path)
        assert response.status_code == 200
        assert response.headers["content-type"] == "image/jpeg"
        assert response.headers["cache-control"] == "private, no-store"
    assert noted() == ["whole", "crop", "gallery"]
    assert browser.get(lease["image"] + "?crop=5,5,1,1").status_code == 422
    assert browser.get(lease["image"] + "/face/n9").status_code == 404
    assert len(noted()) == 3


def test_a_copy_is_not_the_file(service: Service, browser: Browser) -> None:
    (lease,) = browser.next()
    data = browser.get(lease["image"]).content
    assert Image.open(io.BytesIO(data)).size == (WIDTH, HEIGHT)
    assert data[:3] == b"\xff\xd8\xff"
    crop = browser.get(f"{lease['image']}?crop=2,3,22,13").content
    assert Image.open(io.BytesIO(crop)).size == (20, 10)
    face = browser.get(f"{lease['image']}/face/p0").content
    assert Image.open(io.BytesIO(face)).size == (160, 160)


def test_a_file_that_changed_or_went_is_not_shown(small: Service) -> None:
    browser = small.browser()
    (path,) = (small.root / FOLDER).iterdir()
    path.write_bytes(path.read_bytes() + b"more")
    (lease,) = browser.next()
    assert browser.code("GET", lease["image"]) == (409, "IMAGE_CHANGED")
    path.unlink()
    assert browser.code("GET", lease["image"]) == (422, "IMAGE_GONE")
    assert not views(small.database)


def test_redacted_images_show_crops_and_take_answers_about_crops(service: Service) -> None:
    browser = service.again(rules=Rules(redact=True)).browser()
    assert browser.get("/api/me").json()["redact"] is True
    whole, lease = browser.next(2)
    assert (whole["whole"], lease["whole"]) == (True, False)
    path = f"/api/lease/{lease['token']}"
    # A box drawn over everything must not uncover anything.
    everything = {**DRAWN, "box": [0, 0, WIDTH, HEIGHT]}
    assert browser.send("PUT", path, {"version": 1, "marks": [everything]}).status_code == 200
    for view in (lease["image"], f"{lease['image']}?crop=0,0,{WIDTH},{HEIGHT}"):
        corner = _corner(browser.get(view).content)
        assert all(abs(value - 128) <= 2 for value in corner)
    assert all(value < 120 for value in _corner(browser.get(whole["image"]).content))
    response = browser.send("POST", f"{path}/answer", answer([PROPOSED], "accept", seconds=8.5))
    assert response.status_code == 200
    (given,) = [each for each in service.queue.given() if each.answer.seconds == 8.5]
    assert given.answer.scope == "crops"  # whatever the browser says of it


def test_the_gallery_and_single_images_are_held_apart(browser: Browser) -> None:
    single = browser.next(2)
    gallery = browser.next(3, gallery=True)
    assert len(gallery) == 3
    assert not {lease["token"] for lease in single} & {lease["token"] for lease in gallery}
    assert [lease["token"] for lease in browser.next(2)] == [lease["token"] for lease in single]
    assert [lease["token"] for lease in browser.next(3, gallery=True)] == [
        lease["token"] for lease in gallery
    ]


# When something goes wrong here


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (sqlite3.OperationalError("/secret/ledger.sqlite is locked"), 503, "LEDGER_UNAVAILABLE"),
        (LedgerError("/secret/ledger.sqlite is broken"), 503, "LEDGER_UNAVAILABLE"),
        (ZeroDivisionError("/secret/source"), 500, "INTERNAL_ERROR"),
    ],
)
def test_our_own_troubles_are_told_without_details(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str,
) -> None:
    browser = service.browser()
    browser.client._transport.raise_app_exceptions = False  # type: ignore[attr-defined] # httpx's

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(service.queue, "progress", fail)
    response = browser.get("/api/me")
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert "secret" not in response.text
    assert response.headers["retry-after"] == "2"
    assert response.headers["content-security-policy"] == POLICY


def test_only_so_many_wait_for_a_image() -> None:
    async def ask() -> list[object]:
        workers = Workers(decodes=1, waiting=1)
        go = threading.Event()
        first = [asyncio.create_task(workers.decoding(go.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refusal:
            await workers.decoding(go.wait)
        go.set()
        done = await asyncio.gather(*first)
        again = await workers.decoding(go.wait)
        workers.close()
        return [refusal.value.status, *done, again]

    assert asyncio.run(ask()) == [429, True, True, True]


# Roles, and that nothing leaks


def test_only_managers_see_how_all_are_doing(service: Service, browser: Browser) -> None:
    (lease,) = browser.next()
    browser.send("POST", f"/api/lease/{lease['token']}/answer", answer([]))
    assert browser.code("GET", "/api/status") == (403, "NOT_ALLOWED")
    assert service.browser("adjudicator").code("GET", "/api/status") == (403, "NOT_ALLOWED")
    status = service.browser("manager").get("/api/status").json()
    assert status["progress"]["answered"] >= 1
    (figures,) = [person for person in status["people"] if person["name"] == browser.name]
    assert (figures["answered"], figures["seconds"], figures["gold"]) == (1, 3.5, None)
    assert (figures["role"], figures["revoked"]) == ("reviewer", False)
    text = json.dumps(status)
    assert not [word for word in (FOLDER, FILE, browser.secret) if word in text]


def test_a_code_is_given_when_it_is_earned(service: Service, browser: Browser) -> None:
    who = people.find(service.database, browser.name)
    assert who is not None
    joining.promise(service.database, who, "C0DE", 2)
    for expected in (None, None, "C0DE"):
        assert browser.get("/api/me").json().get("completion") == expected
        (lease,) = browser.next()
        browser.send("POST", f"/api/lease/{lease['token']}/answer", answer([]))
    assert "completion" not in service.browser().get("/api/me").json()


@pytest.mark.slow
def test_nothing_that_leaves_tells_what_it_must_not(tmp_path: Path) -> None:
    """Walk through everything that a reviewer can ask for, well and badly, and read it all."""
    with served(tmp_path, 16) as service:
        keys = [row[0] for row in service.database.read("SELECT key FROM review_items")]
        assert service.queue.add_gold({key: (Mark(BOX),) for key in keys[:4]}) == 4
        browser = service.browser()
        for lease in browser.next(5):
            _walk(browser, lease)
        for path in ("/", "/static/review.js", "/static/none", "/api/me", "/api/status", "/r/no"):
            browser.get(path)
        leases = browser.next(2)
        for file in (service.root / FOLDER).iterdir():
            file.write_bytes(b"broken")
        for lease in leases:
            browser.get(lease["image"])
        golden = [each for each in service.queue.given() if each.gold is not None]
        assert golden  # and nothing told which
    assert len(browser.seen) > 60
    assert {response.status_code for response in browser.seen} >= {200, 303, 403, 404, 409, 422}
    for response in browser.seen:
        words = response.content + b"".join(name + value for name, value in response.headers.raw)
        leaks = [word for word in (*SECRETS, str(service.root)) if word.encode() in words]
        assert not leaks, (response.request.url, leaks)
        if response.status_code >= 400 and not response.request.url.path.startswith("/r/"):
            assert set(response.json()) == {"error", "code"}
        assert "set-cookie" in response.headers or browser.secret.encode() not in words


@pytest.mark.slow
def test_the_score_is_told_in_the_tutorial_only(tmp_path: Path) -> None:
    with served(tmp_path, 8) as service:
        keys = [row[0] for row in service.database.read("SELECT key FROM review_items")]
        service.queue.add_gold({key: (Mark(BOX),) for key in keys[:2]})
        tutor = service.again(rules=Rules(tutorial=1)).browser()
        told = []
        for _ in range(6):
            tutorial = tutor.get("/api/me").json()["tutorial"]
            (lease,) = tutor.next()
            path = f"/api/lease/{lease['token']}/answer"
            right = [{"id": "n1", "box": list(BOX)}]
            told.append((tutorial, tutor.send("POST", path, answer(right)).json()["score"]))
        assert told == [(True, 1.0), *[(False, None)] * 5]


@pytest.mark.slow
def test_few_gold_questions_come_once_each(tmp_path: Path) -> None:
    """Eight images at once, with three gold questions for the tutorial and few besides."""
    with served(tmp_path, 8) as service:
        keys = [row[0] for row in service.database.read("SELECT key FROM review_items")]
        service.queue.add_gold({key: (Mark(BOX),) for key in keys[:3]})
        for _ in range(6):
            leases = service.browser().next(8)
            assert len({lease["token"] for lease in leases}) == 8


@pytest.mark.postgres
def test_all_of_it_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    with served(tmp_path, 8, postgres_url) as service:
        browser, other = service.browser(), service.browser()
        for lease in browser.next(4):
            assert other.code("GET", lease["image"]) == (404, "UNKNOWN_LEASE")
            _walk(browser, lease)
        answered = [response for response in browser.seen if "answer" in response.request.url.path]
        assert [response.status_code for response in answered] == [200, 200, 409] * 4
        assert len(list(service.queue.given())) == 4
        assert len(views(service.database)) == 12
        assert len(browser.next(8, gallery=True)) == 2  # of the odd ones, those not lent yet
        status = service.browser("manager").get("/api/status").json()
        assert status["progress"]["answered"] == 4
        assert {response.status_code for response in other.seen + browser.seen} <= {
            *(200, 303, 404, 409, 422)
        }


def test_an_adjudicator_sees_others_boxes_without_their_names(small: Service) -> None:
    item = make_item(small.root, 2, replicas=1)
    _finish(small)
    small.queue.fill([item])
    small.queue.fill([replace(item, reason="adjudication")])
    _finish(small, [PROPOSED])
    judge = small.browser("adjudicator")
    (lease,) = judge.next()
    assert lease["adjudication"] is True
    boxes = sorted([mark["box"] for mark in marks] for marks in lease["others"])
    assert boxes == [[list(BOX)]]
    assert not [word for word in SECRETS if word in judge.seen[-1].text]


def _finish(service: Service, marks: list[Any] | None = None) -> None:
    """Have somebody else answer the next image."""
    browser = service.browser()
    (lease,) = browser.next()
    path = f"/api/lease/{lease['token']}/answer"
    assert browser.send("POST", path, answer(marks or [])).status_code == 200


def _walk(browser: Browser, lease: dict[str, Any]) -> None:
    token = lease["token"]
    for path in ("", "?crop=0,0,20,20", "?crop=x", "/face/p0", "/face/zzz"):
        browser.get(f"/image/{token}{path}")
    browser.send("PUT", f"/api/lease/{token}", {"version": 1, "marks": [DRAWN]})
    browser.send("PUT", f"/api/lease/{token}", {"version": 1, "marks": [{}]})
    path = f"/api/lease/{token}/answer"
    browser.send("POST", path, answer(lease["marks"], "accept"))
    browser.send("POST", path, answer(lease["marks"], "accept"))
    browser.send("POST", path, answer([]))
    browser.send("DELETE", f"/api/lease/{token}")


def _corner(data: bytes) -> tuple[int, ...]:
    corner = Image.open(io.BytesIO(data)).convert("RGB").getpixel((WIDTH - 1, HEIGHT - 1))
    assert isinstance(corner, tuple)
    return corner
