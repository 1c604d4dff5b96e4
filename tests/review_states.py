"""People who do anything in any order: hypothesis drives the queue, and nothing may break.

A machine's `where` makes an empty place for a ledger; subclasses say on which database.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sfumato.review import people, store
from sfumato.review.queue import Queue, Rules
from sfumato.review.vocabulary import Answer, Lease, Mark, Person
from tests.contract.review_queue import Clock, item, truth

PEOPLE = st.integers(0, 2)
PICK = st.integers(0, 30)
IMAGES, GOLD = 9, 2


class QueueStates(RuleBasedStateMachine):
    """The model: every lease that was ever given, every answer with a receipt, every draft."""

    def where(self) -> str:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.database = store.open(self.where())
        rules = Rules(lease_s=100, hold=3, gallery=4, tutorial=1)
        self.queue = Queue(self.database, settings=rules, clock=self.clock)
        self.queue.fill([item(i, replicas=1 + i % 2, whole=i % 3 == 0) for i in range(IMAGES)])
        self.queue.add_gold(truth(*range(IMAGES - GOLD, IMAGES)))
        self.people = [Person(name, "reviewer", name) for name in ("ann", "ben", "eve")]
        for person in self.people:
            people.invite(self.database, person.name, person.role)
        with self.database.transaction() as writing:
            # Pseudonyms are random, and decide when gold comes: here, the same at every run.
            writing.execute("UPDATE review_people SET id = name")
        self.lent: dict[str, tuple[Person, Lease]] = {}
        self.answered: dict[str, Answer] = {}
        self.drafts: dict[str, tuple[int, tuple[Mark, ...]]] = {}

    def chosen(self, pick: int) -> str:
        """Return the token of some lease that was ever given, later ones more often."""
        tokens = list(self.lent)
        return tokens[-1 - pick % len(tokens)]

    def teardown(self) -> None:
        """Whatever happened: when everybody goes on to the end, all is answered."""
        self.clock.now += 1000
        for person in self.people * 2:
            while leases := self.queue.lease(person, count=3):
                for lease in leases:
                    self.queue.submit(lease.token, person, Answer("accept", lease.marks))
        left = self.queue.progress().all_left
        self.database.close()
        assert left == 0

    @rule(who=PEOPLE, count=st.integers(1, 4), gallery=st.booleans())
    def lease(self, who: int, count: int, gallery: bool) -> None:
        person = self.people[who]
        before = {lease.token for lease in self.queue.held(person)}
        for lease in self.queue.lease(person, count=count, gallery=gallery):
            assert lease.token not in before, "what is held was lent again"
            assert lease.token not in self.answered, "what is answered was lent again"
            others = {
                token
                for token, (whose, old) in self.lent.items()
                if whose == person and old.key == lease.key
            }
            assert others <= {lease.token}, "one image has two leases of one person"
            self.lent[lease.token] = (person, lease)
            if lease.token in self.drafts:
                assert (lease.version, lease.marks) == self.drafts[lease.token], "a draft is lost"

    @rule(seconds=st.sampled_from([10, 60, 101]))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @precondition(lambda self: self.lent)
    @rule(pick=PICK, version=st.integers(1, 4), left=st.integers(1, 20))
    def save(self, pick: int, version: int, left: int) -> None:
        token = self.chosen(pick)
        person, _ = self.lent[token]
        marks = (Mark((float(left), 1.0, 50.0, 60.0)),)
        known = self.drafts.get(token, (0, ()))
        try:
            stored = self.queue.save(token, person, version, marks)
        except store.Conflict:
            assert token in self.answered
            return
        except store.Expired:
            stored = max(version, known[0])
        assert token not in self.answered
        assert stored == max(version, known[0])
        if version > known[0]:
            self.drafts[token] = (version, marks)

    @precondition(lambda self: self.lent)
    @rule(pick=PICK, left=st.integers(1, 3))
    def submit(self, pick: int, left: int) -> None:
        token = self.chosen(pick)
        person, _ = self.lent[token]
        answer = Answer("correct", (Mark((float(left), 2.0, 50.0, 60.0)),))
        try:
            self.queue.submit(token, person, answer)
        except store.Conflict:
            assert self.answered[token] != answer
        except store.Expired:
            assert token not in self.answered
            version, _ = self.drafts.get(token, (0, ()))
            self.drafts[token] = (version + 1, answer.marks)
        else:
            assert self.answered.setdefault(token, answer) == answer

    @precondition(lambda self: self.lent)
    @rule(pick=PICK)
    def give_back(self, pick: int) -> None:
        token = self.chosen(pick)
        person, _ = self.lent[token]
        try:
            self.queue.give_back(token, person)
        except store.Conflict:
            assert token in self.answered

    @invariant()
    def every_answer_is_there_once(self) -> None:
        stored = Counter((given.person, given.key) for given in self.queue.given())
        told = Counter(
            (person.id, lease.key)
            for token, (person, lease) in self.lent.items()
            if token in self.answered
        )
        assert stored == told

    @invariant()
    def no_image_has_more_people_than_it_should(self) -> None:
        used = Counter(
            lease.key for token, (person, lease) in self.lent.items() if token in self.answered
        )
        for person in self.people:
            used.update(lease.key for lease in self.queue.held(person))
        for number in range(IMAGES - GOLD):
            assert used[item(number).key] <= 1 + number % 2

    @invariant()
    def slots_add_up(self) -> None:
        rows = self.database.rows(
            "SELECT i.replicas, i.open, (SELECT COUNT(*) FROM review_assignments AS a "
            "WHERE a.item = i.id AND a.state < 2) FROM review_items AS i WHERE i.queue = 0"
        )
        assert all(replicas == open_ + used for replicas, open_, used in rows)
        progress = self.queue.progress()
        assert progress.all_left == sum(row[0] for row in rows) - progress.all_answered
