"""A campaign as it grows: other settings, more images, more people, and what is decided then."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from sfumato.annotations.annotations import Annotated
from sfumato.errors import UsageError
from sfumato.ledger.database import Database
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.settings import Settings
from sfumato.recipe import Recipe
from sfumato.review import outcome, people, store
from sfumato.review.campaign import Plan, Prepared, draw_of, searched, set_up
from sfumato.review.exchange import incoming
from sfumato.review.joining import come_in, open_door
from sfumato.review.planning import Rules
from sfumato.review.queue import Queue
from sfumato.review.queue import Rules as QueueRules
from sfumato.review.remainder import Remainder, remainder
from sfumato.review.vocabulary import MOST_MARKS, Answer, Lease, Mark
from sfumato.types import Box, Decision, Detection, Face

PROPOSED: Box = (10.0, 10.0, 40.0, 50.0)
DRAWN: Box = (60.0, 60.0, 90.0, 95.0)


@dataclass
class Campaign:
    """A ledger with made-up detections, and its queue; no image is there."""

    ledger: Ledger
    database: Database
    queue: Queue
    recipe: Recipe

    @property
    def fingerprint(self) -> str:
        return self.recipe.fingerprint("detect")

    def search(self, found: Sequence[Detection]) -> None:
        """Do as if these images were searched, and no others were there."""
        self.ledger.list_source({one.key: "image" for one in found})
        self.ledger.commit((self.fingerprint, one) for one in found)

    def set_up(self, **plan: object) -> Prepared:
        least = plan.pop("least", 0.0)
        rules = Rules(replicas=plan.pop("replicas", 1), least=least)  # type: ignore[arg-type]
        wanted = Plan(rules=rules, **plan)  # type: ignore[arg-type]
        return set_up(self.queue, self.database, self.ledger, self.recipe, wanted)

    def answer(self, name: str, *marks: Box, keys: Sequence[str] = (), keep: bool = True) -> int:
        """Have a person answer all there is for them, with these boxes added."""
        database, done = self.database, 0
        person = people.find(database, name)
        if person is None:
            people.invite(database, name, "reviewer")
            person = people.find(database, name)
        assert person is not None
        while leases := self.queue.lease(person, count=8):
            for lease in leases:
                said = _said(lease, marks if not keys or lease.key in keys else (), keep=keep)
                self.queue.submit(lease.token, person, said)
                done += 1
        return done

    def merge(self) -> outcome.Merged:
        return self.merged_by(())

    def merged_by(self, judges: Iterable[str]) -> outcome.Merged:
        given = list(self.queue.given())
        return outcome.merge(self.queue, given, self.ledger, self.fingerprint, judges)

    def left(self) -> Remainder:
        given = list(self.queue.given())
        return remainder(self.ledger, self.fingerprint, draw_of(self.database), given)

    def decisions(self) -> dict[str, Decision]:
        found = self.ledger.latest(self.fingerprint, ("decision",))
        return {one.key: one for one in found if isinstance(one, Decision)}


def _said(lease: Lease, marks: Sequence[Box], *, keep: bool) -> Answer:
    kept = lease.marks if keep else ()
    return Answer("correct", (*kept, *map(Mark, marks)), seconds=1.0)


def detection(key: str, faces: int = 1, candidates: int = 0, digest: str = "") -> Detection:
    found = tuple(
        Face((100.0 * i + 10, 10.0, 100.0 * i + 40, 50.0), 0.9, "yunet") for i in range(faces)
    )
    doubtful = tuple(
        Face((100.0 * i + 10, 110.0, 100.0 * i + 40, 150.0), 0.4, "yunet")
        for i in range(candidates)
    )
    return Detection(
        key, digest or "d" * 64, 640, 480, found, doubtful, label=key.rpartition("/")[0]
    )


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    where = tmp_path / "ledger.sqlite"
    recipe = Settings(detectors=("yunet",)).recipe()
    with Ledger(where) as ledger, closing(store.open(where)) as database:
        yield Campaign(ledger, database, Queue(database), recipe)


def test_one_more_answer_decides_nothing_anew_elsewhere(campaign: Campaign) -> None:
    campaign.search([detection(f"a/{i}.jpg") for i in range(6)])
    campaign.set_up(replicas=1)
    campaign.answer("anna")
    assert campaign.merge().written == 6
    campaign.search([detection(f"a/{i}.jpg") for i in range(7)])
    campaign.set_up(replicas=1)
    campaign.answer("ben", DRAWN)
    assert campaign.merge().written == 1


def test_images_that_came_later_are_drawn_from_too(campaign: Campaign) -> None:
    campaign.search([detection(f"a/{i}.jpg", faces=0) for i in range(4)])
    campaign.set_up(sample=4)
    campaign.search([detection(f"{c}/{i}.jpg", faces=0) for c in "ab" for i in range(8)])
    campaign.set_up(sample=4)
    assert campaign.answer("anna") == 16
    campaign.merge()
    assert sum(one.population for one in campaign.left().strata) == 16
    campaign.search([detection(f"a/{i}.jpg", faces=0) for i in range(3)])
    campaign.left()  # between a search and the next set-up
    assert searched(campaign.ledger, campaign.fingerprint) == 3
    campaign.set_up(sample=4)
    assert [(one.population, one.checked) for one in campaign.left().strata] == [(3, 3)]


@pytest.mark.slow
def test_a_image_drawn_later_is_seen_whole(campaign: Campaign) -> None:
    campaign.search([detection(f"a/{i}.jpg") for i in range(12)])
    campaign.set_up(sample=1)
    redacted = Queue(campaign.database, settings=QueueRules(redact=True))
    campaign.queue = redacted
    campaign.answer("anna")
    campaign.merge()
    assert campaign.left().strata[0].checked == 1
    campaign.set_up(sample=6)
    assert campaign.answer("ben") == 5
    campaign.merge()
    assert campaign.left().strata[0].checked == 6
    assert campaign.queue.progress().left == 0


def test_gold_that_has_no_risk_is_gold_all_the_same(campaign: Campaign, tmp_path: Path) -> None:
    campaign.search([detection(f"a/{i}.jpg", faces=0) for i in range(20)])
    gold = tmp_path / "gold.csv"
    rows = "".join(f"a/{i}.jpg,10,10,700,50\n" for i in range(20))
    gold.write_text("path,x0,y0,x1,y1\n" + rows)
    assert campaign.set_up(sample=2, gold=gold, least=0.01).gold == 20
    assert campaign.merge().decided == 20  # nobody need be asked what is known
    assert len(campaign.decisions()["a/3.jpg"].faces) == 1
    row = campaign.database.rows("SELECT truth FROM review_gold")[0]
    assert store.marks_from(row[0])[0].box == (10.0, 10.0, 640.0, 50.0)


def test_gold_of_another_size_is_refused(campaign: Campaign, tmp_path: Path) -> None:
    campaign.search([detection("a/0.jpg")])
    gold = tmp_path / "gold.json"
    image = {"id": 1, "file_name": "a/0.jpg", "width": 480, "height": 640}
    gold.write_text(json.dumps({"images": [image], "annotations": []}))
    with pytest.raises(UsageError, match="480×640"):
        campaign.set_up(gold=gold)
    box = {"image_id": 1, "category_id": 1, "bbox": [650, 10, 30, 30]}
    image.update(width=640, height=480)
    gold.write_text(json.dumps({"images": [image], "annotations": [box]}))
    with pytest.raises(UsageError, match="outside"):
        campaign.set_up(gold=gold)


def test_a_file_that_is_wrong_lends_nothing_and_rounding_moves_nothing(campaign: Campaign) -> None:
    campaign.search([detection("a/0.jpg", faces=0), detection("a/1.jpg")])
    campaign.set_up(replicas=1)
    campaign.answer("anna")
    wrong = Annotated("a/0.jpg", "7", (), (64, 48))
    assert incoming(campaign.database, [wrong], "cvat").problems
    assert campaign.queue.progress().left == 0
    assert campaign.answer("ben") == 0  # not wanted again
    box = (10.005, 9.996, 39.995, 50.004)
    sheet = Annotated("a/1.jpg", "7", (Face(box, 1.0, "file"),), (640, 480))
    assert incoming(campaign.database, [sheet], "cvat").answers == 1
    verdicts = campaign.database.rows("SELECT verdict FROM review_answers ORDER BY assignment")
    assert verdicts[-1][0] == "accept"


def test_who_judges_may_also_confirm_in_the_gallery(campaign: Campaign) -> None:
    campaign.search([detection(f"a/{i}.jpg") for i in range(4)])
    campaign.set_up(sample=1)
    people.invite(campaign.database, "owner", "manager")
    owner = people.find(campaign.database, "owner")
    assert owner is not None
    for lease in campaign.queue.lease(owner, count=50, gallery=True):
        campaign.queue.submit(lease.token, owner, Answer("accept", lease.marks, 1.0, "crops"))
    merged = campaign.merged_by({owner.id})
    assert (merged.decided, merged.disputed) == (3, 0)


@pytest.mark.slow
def test_faces_that_nobody_was_shown_stay(campaign: Campaign) -> None:
    many = detection("a/0.jpg", faces=MOST_MARKS + 5)
    campaign.search([many])
    campaign.set_up()
    campaign.answer("anna", keep=False)
    campaign.merge()
    decision = campaign.decisions()["a/0.jpg"]
    assert set(many.faces[MOST_MARKS:]) <= set(decision.faces)


def test_a_dispute_in_the_sample_doesnt_make_the_estimate_better(campaign: Campaign) -> None:
    keys = [f"a/{i}.jpg" for i in range(4)]
    campaign.search([detection(key, faces=0, candidates=1) for key in keys])
    campaign.set_up(sample=4, replicas=2)
    face = detection("", 0, 1).candidates[0].box
    campaign.answer("anna", face, keys=keys[:2], keep=False)
    campaign.answer("ben", face, keys=keys[1:3], keep=False)
    assert campaign.merge().disputed == 2
    left = campaign.left()
    assert left.estimate.overall is not None
    assert left.estimate.overall.found_images == 3
    assert (left.disputed, left.as_json()["disputed"]) == (2, 2)


def test_more_people_may_be_asked_later_and_never_fewer(campaign: Campaign) -> None:
    campaign.search([detection(f"a/{i}.jpg") for i in range(3)])
    campaign.set_up(replicas=1)
    campaign.answer("anna")
    assert campaign.answer("ben") == 0
    campaign.set_up(replicas=2)
    assert campaign.queue.progress().left == 3
    assert campaign.merge().waiting == 3
    assert campaign.answer("ben") == 3
    assert campaign.merge().decided == 3
    with pytest.raises(UsageError, match="goes to 2 people"):
        campaign.set_up(replicas=1)


def test_whose_link_was_revoked_doesnt_come_in_again(campaign: Campaign) -> None:
    door = open_door(campaign.database, "prolific", code="C", quota=1, days=1)
    assert come_in(campaign.database, door, "p1")
    people.revoke(campaign.database, "prolific:p1")
    assert come_in(campaign.database, door, "p1") is None
