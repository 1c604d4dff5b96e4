"""What the queue of review must do on every database.

Subclass `QueueContract` and give the fixture `where`: an empty place for a ledger.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from sfumato.ledger.database import Database
from sfumato.ledger.ledger import Ledger
from sfumato.review import people, store
from sfumato.review.choice import chance
from sfumato.review.quality import gold_share
from sfumato.review.queue import Queue, Rules
from sfumato.review.vocabulary import Answer, Item, Lease, Mark, Person, Reason, Role
from tests.review_views import View, views

FOUND = Mark((10.0, 10.0, 40.0, 50.0), score=0.8, origin="yunet-2023mar")
DRAWN = Mark((60.0, 20.0, 80.0, 45.0))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def item(
    number: int, *, replicas: int = 1, whole: bool = True, reason: Reason = "risk", marks: int = 1
) -> Item:
    return Item(
        f"a/{number:03d}.jpg",
        f"{number:064x}",
        100,
        80,
        "a",
        (FOUND,) * marks,
        number,
        reason,
        replicas,
        whole=whole,
    )


def truth(*numbers: int) -> dict[str, tuple[Mark, ...]]:
    return {f"a/{number:03d}.jpg": (Mark((12.0, 12.0, 42.0, 52.0)),) for number in numbers}


def keys(leases: list[Lease]) -> list[str]:
    return [lease.key for lease in leases]


class QueueContract:
    @pytest.fixture
    def database(self, where: str) -> Iterator[Database]:
        database = store.open(where)
        store.note(database, "fingerprint", "f" * 64)
        yield database
        database.close()

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def queue(self, database: Database, clock: Clock) -> Queue:
        return Queue(database, settings=Rules(lease_s=100), clock=clock)

    def person(self, database: Database, name: str = "ann", role: Role = "reviewer") -> Person:
        found = people.recognise(database, people.invite(database, name, role))
        assert found is not None
        return found

    def lend(self, queue: Queue, person: Person) -> Lease:
        (lease,) = queue.lease(person)
        return lease

    def test_filling_again_adds_what_is_new(self, queue: Queue, database: Database) -> None:
        items = [item(i, replicas=2) for i in range(4)]
        assert queue.fill(items[:3], strata={"a": 100}) == 3
        assert queue.fill(items, strata={"a": 120}) == 1
        assert queue.fill(items) == 0
        assert queue.strata() == {"a": 120}
        assert queue.progress().all_left == 8
        assert keys(queue.lease(self.person(database), count=8)) == [i.key for i in items]

    def test_two_places_for_each_image_and_none_more(
        self, queue: Queue, database: Database
    ) -> None:
        queue.fill([item(0, replicas=2), item(1, replicas=1)])
        ann, ben, eve = (self.person(database, name) for name in ("ann", "ben", "eve"))
        assert keys(queue.lease(ann, count=8)) == ["a/000.jpg", "a/001.jpg"]
        assert keys(queue.lease(ben, count=8)) == ["a/000.jpg"]
        assert queue.lease(eve, count=8) == []

    def test_never_twice_to_one_person(self, queue: Queue, database: Database) -> None:
        queue.fill([item(i, replicas=3, whole=i % 2 == 0) for i in range(6)])
        ann = self.person(database)
        seen = [*queue.lease(ann, count=2), *queue.lease(ann, count=2, gallery=True)]
        seen += queue.lease(ann, count=8)
        assert sorted(keys(seen)) == [f"a/{i:03d}.jpg" for i in range(6)]
        for lease in seen:
            queue.submit(lease.token, ann, Answer("accept", lease.marks))
        assert queue.lease(ann, count=8) == queue.lease(ann, count=8, gallery=True) == []

    def test_no_more_than_the_limit_are_held(self, queue: Queue, database: Database) -> None:
        queue.fill([item(i, whole=i < 20) for i in range(80)])
        ann = self.person(database)
        assert len(queue.lease(ann, count=100)) == 8
        assert queue.lease(ann) == []
        assert len(queue.lease(ann, count=100, gallery=True)) == 50
        assert queue.lease(ann, gallery=True) == []
        assert len(queue.held(ann)) == 58
        token = queue.held(ann)[0].token
        queue.submit(token, ann, Answer("accept", ()))
        assert keys(queue.lease(ann, count=3)) == ["a/008.jpg"]

    def test_the_gallery_has_only_what_can_be_judged_there(
        self, queue: Queue, database: Database
    ) -> None:
        queue.fill([item(0), item(1, whole=False), item(2, whole=False, marks=0), item(3)])
        queue.fill([item(4, whole=False), item(5, whole=False, reason="gold")])
        queue.add_gold(truth(4, 5))
        ann = self.person(database)
        (lease,) = queue.lease(ann, count=50, gallery=True)
        assert lease.key == "a/001.jpg"
        assert not lease.whole
        queue.submit(lease.token, ann, Answer("accept", lease.marks, scope="whole"))
        (given,) = queue.given()
        assert given.answer.scope == "crops"  # whatever the browser says

    def test_images_are_lent_as_crops_only_where_they_may(
        self, database: Database, clock: Clock
    ) -> None:
        queue = Queue(database, settings=Rules(redact=True), clock=clock)
        queue.fill([item(0), item(1, whole=False)])
        ann = self.person(database)
        assert [lease.whole for lease in queue.lease(ann, count=2)] == [True, False]

    def test_what_ran_out_goes_to_the_next_person(
        self, queue: Queue, database: Database, clock: Clock
    ) -> None:
        queue.fill([item(i) for i in range(3)])
        ann, ben = self.person(database), self.person(database, "ben")
        mine = self.lend(queue, ann)
        assert keys(queue.lease(ben)) == ["a/001.jpg"]  # ben's place is behind the first now
        queue.save(mine.token, ann, 1, (DRAWN,))
        clock.now += 101
        assert queue.held(ann) == []
        late = queue.lease_of(mine.token, ann)
        assert late is not None
        assert not late.open
        assert keys(queue.lease(ben)) == ["a/001.jpg"]  # first their own
        assert keys(queue.lease(ben)) == ["a/000.jpg"]
        with pytest.raises(store.Expired):
            queue.submit(mine.token, ann, Answer("correct", (DRAWN, FOUND)))
        with pytest.raises(store.Expired):
            queue.save(mine.token, ann, 9, (FOUND,))
        # Ben goes away: the boxes are still there, with those of the answer that came too late.
        queue.give_back(queue.held(ben)[1].token, ben)
        again = self.lend(queue, ann)
        assert (again.token, again.version, again.marks) == (mine.token, 9, (FOUND,))
        queue.submit(again.token, ann, Answer("correct", again.marks))

    @pytest.mark.parametrize("reclaimed", [False, True])
    def test_a_late_answer_counts_if_nobody_else_has_the_image(
        self, queue: Queue, database: Database, clock: Clock, reclaimed: bool
    ) -> None:
        queue.fill([item(0), item(1)])
        ann, ben = self.person(database), self.person(database, "ben")
        mine = self.lend(queue, ann)
        if reclaimed:
            queue.lease(ben)
        clock.now += 101
        if reclaimed:
            assert keys(queue.lease(ben)) == ["a/001.jpg"]
        queue.submit(mine.token, ann, Answer("accept", mine.marks))
        assert "a/000.jpg" not in keys(queue.lease(ben, count=8))
        assert [given.person for given in queue.given()] == [ann.id]

    def test_a_draft_renews_the_lease_and_no_older_one_replaces_it(
        self, queue: Queue, database: Database, clock: Clock
    ) -> None:
        queue.fill([item(0)])
        ann = self.person(database)
        token = self.lend(queue, ann).token
        assert queue.save(token, ann, 3, (DRAWN,)) == 3
        clock.now += 90
        assert queue.save(token, ann, 2, (FOUND,)) == 3
        assert queue.save(token, ann, 3, (FOUND,)) == 3
        clock.now += 90
        (held,) = queue.held(ann)
        assert (held.version, held.marks, held.expires) == (3, (DRAWN,), clock.now + 10)
        assert queue.lease_of(token, ann) == held

    def test_an_answer_counts_once(self, queue: Queue, database: Database) -> None:
        queue.fill([item(0), item(1)])
        ann = self.person(database)
        token = self.lend(queue, ann).token
        answer = Answer("correct", (FOUND, DRAWN), 3.5)
        receipt = queue.submit(token, ann, answer)
        assert queue.submit(token, ann, answer) == receipt
        assert queue.submit(token, ann, Answer("correct", (FOUND, DRAWN), 9.0)) == receipt
        for other in (Answer("unsure", answer.marks), Answer("correct", (FOUND,))):
            with pytest.raises(store.Conflict):
                queue.submit(token, ann, other)
        for call in (lambda: queue.save(token, ann, 7, ()), lambda: queue.give_back(token, ann)):
            with pytest.raises(store.Conflict):
                call()
        (given,) = queue.given()
        assert given.answer.seconds == 3.5
        progress = queue.progress(ann)
        assert (progress.answered, progress.left, progress.all_answered) == (1, 1, 1)

    def test_nobody_reaches_what_is_another_persons(self, queue: Queue, database: Database) -> None:
        queue.fill([item(0)])
        ann, ben = self.person(database), self.person(database, "ben")
        token = self.lend(queue, ann).token
        assert queue.lease_of(token, ben) is None
        for attempt in (
            lambda: queue.save(token, ben, 1, ()),
            lambda: queue.submit(token, ben, Answer("accept", ())),
            lambda: queue.give_back(token, ben),
            lambda: queue.saw(ben, token, "whole"),
            lambda: queue.submit("no such token", ann, Answer("accept", ())),
        ):
            with pytest.raises(store.UnknownLease):
                attempt()
        assert views(database) == []

    @pytest.mark.parametrize(
        "marks",
        [
            (Mark((0.0, 0.0, float("nan"), 10.0)),),
            (Mark((0.0, 0.0, float("inf"), 10.0)),),
            (Mark((20.0, 0.0, 10.0, 10.0)),),
            (Mark((10.0, 10.0, 10.0, 20.0)),),
            (Mark((-2.0, 0.0, 10.0, 10.0)),),
            (Mark((0.0, 0.0, 10.0, 81.0)),),
            (Mark((0.0, 0.0, 10.0, 10.0)),) * 1001,
        ],
        ids=["nan", "inf", "inverted", "empty", "left of it", "below it", "too many"],
    )
    def test_bad_boxes_leave_nothing(
        self, queue: Queue, database: Database, marks: tuple[Mark, ...]
    ) -> None:
        queue.fill([item(0)])
        ann = self.person(database)
        token = self.lend(queue, ann).token
        with pytest.raises(store.BadMarks):
            queue.save(token, ann, 5, marks)
        with pytest.raises(store.BadMarks):
            queue.submit(token, ann, Answer("correct", marks))
        assert queue.held(ann)[0].version == 0
        assert list(queue.given()) == []

    def test_each_persons_boxes_are_kept_once(
        self, queue: Queue, database: Database, where: str
    ) -> None:
        queue.fill([item(0, marks=2)])
        ann = self.person(database)
        lease = self.lend(queue, ann)
        left, _ = lease.marks
        moved = Mark((10.0, 10.0, 44.0, 50.0), proposal="p1", score=0.1, origin="forged")
        plate = Mark(DRAWN.box, "private")
        queue.submit(lease.token, ann, Answer("correct", (left, moved, plate), 2.5))
        (given,) = queue.given()
        assert (given.key, given.digest, given.person) == (lease.key, lease.digest, ann.id)
        said = given.answer
        assert (said.verdict, said.seconds, said.scope) == ("correct", 2.5, "whole")
        assert [(mark.origin, mark.score, mark.kind) for mark in said.marks] == [
            ("yunet-2023mar", 0.8, "face"),
            ("", None, "face"),  # what a browser says of scores and detectors doesn't count
            ("", None, "private"),
        ]
        assert [mark.box for mark in said.marks] == [left.box, moved.box, plate.box]
        with Ledger(where, read_only=True) as ledger:
            assert list(ledger.latest("f" * 64, ["review"])) == []
        assert given.proposals == lease.marks
        assert [mark.proposal for mark in given.answer.marks] == ["p0", "p1", ""]

    def test_gold_comes_first_with_its_score_and_then_without(
        self, queue: Queue, database: Database
    ) -> None:
        queue.fill([item(i) for i in range(20)])
        assert queue.add_gold(truth(*range(10, 20)) | {"no such image": ()}) == 10
        ann = self.person(database)
        for number in range(3):
            assert queue.progress(ann).tutorial
            lease = self.lend(queue, ann)
            assert int(lease.key[2:5]) >= 10
            wrong = queue.submit(lease.token, ann, Answer("accept", lease.marks))
            assert wrong is not None
            assert wrong < 0.72
            assert wrong == queue.submit(lease.token, ann, Answer("accept", lease.marks))
            assert queue.progress(ann).answered == number + 1
        assert not queue.progress(ann).tutorial
        for _ in range(8):
            lease = self.lend(queue, ann)
            assert queue.submit(lease.token, ann, Answer("accept", lease.marks)) is None
        assert {given.gold for given in queue.given() if given.key >= "a/010"} == {
            truth(10)["a/010.jpg"]
        }
        assert people.people(database)[0].gold >= 3
        assert people.people(database)[0].passed == 0
        assert queue.progress().all_left == 20 - 10 - queue.progress().all_answered

    def test_after_the_tutorial_gold_comes_by_chance_and_tells_no_score(
        self, database: Database, clock: Clock
    ) -> None:
        queue = Queue(database, settings=Rules(tutorial=0), clock=clock)
        queue.fill([item(i) for i in range(6)])
        queue.add_gold(truth(*range(3, 6)))
        due = [f"person {i}" for i in range(200) if chance(f"person {i}", 0) < gold_share(3)]
        other = next(f"person {i}" for i in range(200) if f"person {i}" not in due)
        assert 5 <= len(due) <= 40
        for name, golden in ((due[0], True), (due[1], True), (other, False)):
            people.invite(database, name, "reviewer")
            with database.transaction() as writing:
                writing.execute("UPDATE review_people SET id = name")
            person = Person(name, "reviewer", name)
            lease = self.lend(queue, person)
            assert (lease.key >= "a/003.jpg") == golden
            assert queue.submit(lease.token, person, Answer("accept", lease.marks)) is None
        assert [person.gold for person in people.people(database)].count(1) == 2

    def test_one_gold_question_is_not_found_twice(self, database: Database, clock: Clock) -> None:
        queue = Queue(database, settings=Rules(tutorial=1), clock=clock)
        queue.fill([item(0, reason="tutorial"), item(1), item(2)])
        queue.add_gold(truth(0))
        name = next(f"p{i}" for i in range(500) if chance(f"p{i}", 1) < gold_share(3))
        people.invite(database, name, "reviewer")
        with database.transaction() as writing:
            writing.execute("UPDATE review_people SET id = name")
        leases = queue.lease(Person(name, "reviewer", name), count=8)
        assert sorted(keys(leases)) == ["a/000.jpg", "a/001.jpg", "a/002.jpg"]

    def test_a_right_answer_to_gold_passes(self, queue: Queue, database: Database) -> None:
        queue.fill([item(i, reason="gold") for i in range(2)])
        queue.add_gold({**truth(0), "a/001.jpg": ()})
        ann = self.person(database)
        for lease in queue.lease(ann, count=2):
            right = truth(0).get(lease.key, ())
            assert lease.marks != right
            assert queue.submit(lease.token, ann, Answer("correct", right)) == 1.0
        assert people.people(database)[0].passed == 2

    def test_a_gold_lease_looks_like_any_other(self, queue: Queue, database: Database) -> None:
        queue.fill([item(i) for i in range(12)])
        queue.add_gold(truth(*range(6, 12)))
        ann = self.person(database)
        leases = queue.lease(ann, count=8)
        golden = [lease for lease in leases if int(lease.key[2:5]) >= 6]
        assert len(golden) >= 3
        for lease in leases:
            assert (lease.whole, lease.adjudication, lease.version) == (True, False, 0)
            assert len(lease.token) == 32
            assert [mark.proposal for mark in lease.marks] == [
                f"p{i}" for i in range(len(lease.marks))
            ]
            assert all(mark.score is not None for mark in lease.marks)
        left = [queue.progress(ann).left]
        for lease in leases:
            queue.submit(lease.token, ann, Answer("accept", lease.marks))
            left.append(queue.progress(ann).left)
        steps = [before - after for before, after in pairwise(left)]
        assert steps[:3] == [1, 1, 1], "the count falls alike for gold and for others"

    def test_disputes_go_to_adjudicators_who_had_no_part_in_them(
        self, queue: Queue, database: Database
    ) -> None:
        queue.fill([item(0, replicas=2)])
        ann = self.person(database, "ann", "adjudicator")
        ben = self.person(database, "ben")
        for person, marks in ((ann, (FOUND,)), (ben, (DRAWN,))):
            queue.submit(self.lend(queue, person).token, person, Answer("correct", marks))
        assert queue.fill([item(0, reason="adjudication")]) == 1
        assert queue.fill([item(0, reason="adjudication")]) == 0
        eve = self.person(database, "eve", "manager")
        assert queue.lease(ben) == []
        assert queue.lease(ann) == []  # while eve may settle it
        lease = self.lend(queue, eve)
        assert (lease.key, lease.adjudication) == ("a/000.jpg", True)
        assert Counter(marks[0].box for marks in queue.others(lease)) == Counter(
            [FOUND.box, DRAWN.box]
        )
        queue.give_back(lease.token, eve)
        people.revoke(database, "eve")
        settling = self.lend(queue, ann)  # nobody else is there
        queue.submit(settling.token, ann, Answer("correct", (FOUND, DRAWN)))
        assert [given.adjudication for given in queue.given()] == [False, False, True]

    def test_new_images_come_in_their_rank(self, queue: Queue, database: Database) -> None:
        queue.fill([item(i) for i in range(10, 14)])
        ann = self.person(database)
        assert keys(queue.lease(ann, count=2)) == ["a/010.jpg", "a/011.jpg"]
        queue.fill([item(3)])
        assert keys(queue.lease(ann, count=2)) == ["a/003.jpg", "a/012.jpg"]

    def test_what_was_given_back_comes_to_that_person_last(
        self, queue: Queue, database: Database
    ) -> None:
        queue.fill([item(i) for i in range(3)])
        ann, ben = self.person(database), self.person(database, "ben")
        queue.give_back(self.lend(queue, ann).token, ann)
        assert keys(queue.lease(ann, count=2)) == ["a/001.jpg", "a/002.jpg"]
        assert keys(queue.lease(ann)) == ["a/000.jpg"]
        queue.give_back(queue.held(ann)[0].token, ann)
        assert keys(queue.lease(ben)) == ["a/000.jpg"]

    def test_only_the_invited_get_images(self, queue: Queue, database: Database) -> None:
        queue.fill([item(0)])
        with pytest.raises(store.NotAllowed):
            queue.lease(Person("stranger", "manager"))
        ann = self.person(database)
        assert people.revoke(database, ann.id) == 1
        with pytest.raises(store.NotAllowed):
            queue.lease(ann)

    def test_links_end(self, database: Database) -> None:
        secret = people.invite(database, "ann", "reviewer", days=2, now=1000.0)
        found = people.recognise(database, secret, now=1000.0 + 2 * 86400 - 1)
        assert found is not None
        assert (found.name, found.role) == ("ann", "reviewer")
        assert people.recognise(database, secret, now=1000.0 + 2 * 86400 + 1) is None
        assert people.recognise(database, secret[:-1], now=1000.0) is None
        newer = people.invite(database, "ann", "adjudicator", now=1000.0)
        assert people.recognise(database, secret, now=1000.0) is None
        again = people.recognise(database, newer, now=1000.0)
        assert again == Person(found.id, "adjudicator", "ann")
        assert people.revoke(database, "ann") == 1
        assert people.revoke(database, "ann") == 0
        assert people.recognise(database, newer, now=1000.0) is None
        stored = [str(row) for row in database.read("SELECT * FROM review_people")]
        assert not any(secret in row or newer in row for row in stored)

    def test_the_log_of_who_saw_what(self, queue: Queue, database: Database, clock: Clock) -> None:
        queue.fill([item(0)])
        ann = self.person(database)
        lease = self.lend(queue, ann)
        queue.saw(ann, lease.token, "whole")
        clock.now += 5
        queue.saw(ann, lease.token, "crop")
        assert views(database) == [
            View(1000.0, ann.id, "a/000.jpg", "whole"),
            View(1005.0, ann.id, "a/000.jpg", "crop"),
        ]

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE review_answers SET verdict = 'accept'",
            "DELETE FROM review_answers",
            "UPDATE review_views SET person = ''",
            "DELETE FROM review_views",
            (
                "INSERT INTO review_views SELECT * FROM review_views WHERE true "
                "ON CONFLICT (id) DO UPDATE SET person = ''"
            ),
        ],
    )
    def test_answers_and_views_stay(self, queue: Queue, database: Database, statement: str) -> None:
        queue.fill([item(0)])
        ann = self.person(database)
        token = self.lend(queue, ann).token
        queue.saw(ann, token, "whole")
        queue.submit(token, ann, Answer("unsure", (DRAWN,)))
        with (
            pytest.raises(database.errors, match="append-only"),
            database.transaction() as writing,
        ):
            writing.execute(statement)
        assert [given.answer.verdict for given in queue.given()] == ["unsure"]
        assert [view.person for view in views(database)] == [ann.id]

    def test_a_crowd_at_once_never_shares_a_place(self, queue: Queue, database: Database) -> None:
        queue.fill([item(i, replicas=2) for i in range(12)])
        crowd = [self.person(database, f"person {i}") for i in range(6)]
        errors: list[BaseException] = []

        def work(person: Person) -> None:
            try:
                while leases := queue.lease(person, count=2):
                    for lease in leases:
                        queue.submit(lease.token, person, Answer("accept", lease.marks))
            except BaseException as error:
                errors.append(error)
                raise

        threads = [threading.Thread(target=work, args=(person,)) for person in crowd]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        told = Counter((given.key, given.person) for given in queue.given())
        assert set(told.values()) == {1}
        assert Counter(key for key, _ in told) == {f"a/{i:03d}.jpg": 2 for i in range(12)}
        assert queue.progress().all_left == 0

    def survives_kills(self, where: str, database: Database, kills: int) -> None:
        """Kill a process that submits as fast as it can, again and again, and look."""
        rng = random.Random(0)
        Queue(database).fill([item(i, replicas=2) for i in range(900)])
        secret = people.invite(database, "ann", "reviewer")
        acknowledged: list[str] = []
        for _ in range(kills):
            process = subprocess.Popen(
                [sys.executable, "-c", _SUBMITS, where, secret],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout is not None
            for _ in range(rng.randint(1, 40)):
                line = process.stdout.readline()
                assert line.endswith("\n")
                acknowledged.append(line.strip())
            process.send_signal(signal.SIGKILL)
            # What it had written to the pipe is acknowledged too, if the line is whole.
            acknowledged += [x.strip() for x in process.stdout if x.endswith("\n")]
            process.wait()
            process.stdout.close()
        stored = [
            (token, key)
            for token, key in database.read(
                "SELECT a.token, i.key FROM review_answers AS b JOIN review_assignments AS a "
                "ON a.id = b.assignment JOIN review_items AS i ON i.id = b.item"
            )
        ]
        tokens = [token for token, _ in stored]
        assert len(set(acknowledged)) == len(acknowledged) >= kills
        assert set(acknowledged) <= set(tokens), "an acknowledged answer is lost"
        assert len(tokens) == len(set(tokens)) == len({key for _, key in stored})
        # A process killed between commit and acknowledgement has told nobody: one each at most.
        assert len(tokens) - len(acknowledged) <= kills
        assert Queue(database).progress().all_answered == len(tokens)


_SUBMITS = """
import sys
from sfumato.review import people, store
from sfumato.review.queue import Queue
from sfumato.review.vocabulary import Answer
database = store.open(sys.argv[1])
person = people.recognise(database, sys.argv[2])
queue = Queue(database)
while leases := queue.held(person) or queue.lease(person, count=4):
    for lease in leases:
        queue.save(lease.token, person, lease.version + 1, lease.marks)
        queue.submit(lease.token, person, Answer("accept", lease.marks))
        print(lease.token, flush=True)
"""
