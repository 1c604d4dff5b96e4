"""Paid participants: drafts are free, spending needs a word and a limit, nothing is paid twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sfumato.errors import UsageError
from sfumato.review.prolific import Offer, Prolific, ProlificError, Submission, reachable
from tests.prolific_service import TOKEN, Service, serving

URL = "https://review.example.org/join/s3cret"
COST = 2800  # 10 × 2.00 and the service's fee


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as one:
        yield one


def prolific(service: Service, *, prod: bool = False, token: str = TOKEN) -> Prolific:
    return Prolific(token=token, code="DONE1", prod=prod, api=service.url)


def offered(provider: Prolific, reward: int = 200) -> Offer:
    text = "Mark every face."
    return provider.offer(URL, "Faces", text, places=10, minutes=12, reward=reward)


def test_a_draft_costs_nothing_and_says_what_it_would(service: Service) -> None:
    with prolific(service) as provider:
        offer = offered(provider)
    assert (offer.state, offer.cost, offer.currency) == ("draft", COST, "GBP")
    study = service.studies[offer.id]
    assert study["external_study_url"] == (
        URL + "?PROLIFIC_PID={{%PROLIFIC_PID%}}&SESSION_ID={{%SESSION_ID%}}"
    )
    assert study["completion_codes"][0]["code"] == "DONE1"
    assert study["completion_codes"][0]["actions"] == [{"action": "MANUALLY_REVIEW"}]
    assert [method for method, _, _ in service.asked] == ["POST"]
    assert service.tokens == {f"Token {TOKEN}"}


def test_publishing_needs_the_word_and_stays_below_the_limit(service: Service) -> None:
    with prolific(service) as provider:
        offer = offered(provider)
        with pytest.raises(UsageError, match="say --prod"):
            provider.publish(offer, most=10**9)
    with prolific(service, prod=True) as provider:
        with pytest.raises(UsageError, match=r"costs 28\.00 GBP, more than the 27\.99"):
            provider.publish(offer, most=COST - 1)
        assert service.studies[offer.id]["status"] == "UNPUBLISHED"
        assert provider.publish(offer, most=COST).state == "open"
        assert provider.publish(offer, most=0).state == "open"  # once is enough
    published = [body for _, path, body in service.asked if path.endswith("/transition/")]
    assert published == [{"action": "PUBLISH"}]


def test_a_study_without_a_price_is_not_published(service: Service) -> None:
    service.with_cost = False
    with prolific(service, prod=True) as provider:
        offer = offered(provider)
        assert offer.cost is None
        with pytest.raises(UsageError, match="doesn't say what the study costs"):
            provider.publish(offer, most=10**9)


def test_submissions_come_page_by_page_and_are_settled_once(service: Service) -> None:
    states = ["ACTIVE", "AWAITING REVIEW", "APPROVED", "RETURNED", "AWAITING REVIEW"]
    with prolific(service, prod=True) as provider:
        offer = offered(provider)
        service.submissions[offer.id] = [
            {"id": f"s{i}", "participant_id": f"p{i}", "status": state, "study_code": "DONE1"}
            for i, state in enumerate(states)
        ]
        found = list(provider.submissions(offer))
        assert [one.person for one in found] == ["p0", "p1", "p2", "p3", "p4"]
        progress = ["working", "done", "accepted", "given up", "done"]
        assert [one.progress for one in found] == progress
        provider.approve(found[1])
        provider.approve(found[2])
    done = [(path, body["action"]) for _, path, body in service.asked if "submissions/s" in path]
    assert done == [("/api/v1/submissions/s1/transition/", "APPROVE")]


def test_approving_pays_so_it_needs_the_word(service: Service) -> None:
    with prolific(service) as provider, pytest.raises(UsageError, match="say --prod"):
        provider.approve(Submission("s1", "p1", "done"))
    assert service.asked == []


def test_stopping_deletes_a_draft_and_closes_what_is_open(service: Service) -> None:
    with prolific(service, prod=True) as provider:
        draft, open_ = offered(provider), offered(provider)
        provider.publish(open_, most=COST)
        assert provider.stop(draft).state == "closed"
        assert provider.stop(open_).state == "closed"
    assert list(service.studies) == [open_.id]


@pytest.mark.slow
def test_a_busy_service_is_asked_again_but_a_study_is_made_once(service: Service) -> None:
    with prolific(service) as provider:
        service.busy = [429, 429]
        offer = offered(provider)
        service.busy = [503]
        assert list(provider.submissions(offer)) == []
        service.busy = [500]  # it may have made the study all the same: a person looks
        with pytest.raises(ProlificError, match="500"):
            offered(provider)
    assert len(service.studies) == 1


@pytest.mark.slow
def test_its_own_words_come_through(service: Service) -> None:
    with (
        prolific(service) as provider,
        pytest.raises(ProlificError, match="reward is below the minimum"),
    ):
        offered(provider, reward=1)
    with (
        prolific(service, token="wrong") as provider,
        pytest.raises(ProlificError, match="refuses the token in PROLIFIC_API_TOKEN"),
    ):
        offered(provider)


def test_wrong_set_ups_are_refused_before_anything_is_asked(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROLIFIC_API_TOKEN", raising=False)
    with pytest.raises(UsageError, match="needs a token"):
        Prolific(api=service.url)
    with pytest.raises(UsageError, match="with https"):
        reachable("http://review.example.org")
    with pytest.raises(UsageError, match="need an address"):
        reachable(None)
    assert reachable("https://review.example.org/") == "https://review.example.org"
    monkeypatch.setenv("PROLIFIC_API_TOKEN", TOKEN)
    with Prolific(api=service.url) as provider:
        assert len(provider.code) == 10
        service.studies["x"] = {"id": "x", "status": "NEWLY INVENTED"}
        with pytest.raises(ProlificError, match="NEWLY INVENTED"):
            provider.publish(Offer("x", "prolific", "draft"), most=1)
    assert len(service.asked) == 1


def test_nobody_answers() -> None:
    provider = Prolific(token=TOKEN, api="http://127.0.0.1:9")
    with provider, pytest.raises(ProlificError, match="can't be reached"):
        offered(provider)


def test_the_token_goes_to_no_other_server_and_what_is_over_stays_so(service: Service) -> None:
    with prolific(service, prod=True) as provider:
        offer = offered(provider)
        service.submissions[offer.id] = [
            {"id": f"s{i}", "participant_id": "p", "status": "ACTIVE"} for i in range(3)
        ]
        own, service.url = service.url, "http://127.0.0.1:9"
        with pytest.raises(ProlificError, match="another server"):
            list(provider.submissions(offer))
        service.url = own
        service.studies[offer.id]["status"] = "AWAITING REVIEW"
        with pytest.raises(UsageError, match="is over"):
            provider.publish(offer, most=10**9)
