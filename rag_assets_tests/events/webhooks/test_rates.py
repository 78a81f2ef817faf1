"""Who sends too much is refused, and nobody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rag_assets.events.inbox import Inbox
from rag_assets.events.webhooks import create_app
from rag_assets.events.webhooks.rates import Rates
from rag_assets.events.webhooks.refusal import Refusal
from rag_assets_tests.events.webhooks.corpora import ENVIRON, NARROW_VARIABLE, corpus
from rag_assets_tests.events.webhooks.receivers import serving


def until_refused(take: Callable[[], None]) -> int:
    """How often it is taken in a row."""
    for count in range(1000):
        try:
            take()
        except Refusal as refusal:
            assert refusal.status == 429
            assert 1 <= int(refusal.headers["Retry-After"]) <= 60
            return count
    raise AssertionError("never refused")


def test_addresses_have_limits_of_their_own() -> None:
    rates = Rates(5)
    assert until_refused(lambda: rates.check_address("192.0.2.1")) == 5
    assert until_refused(lambda: rates.check_address("192.0.2.2")) == 5


def test_whoever_has_an_ipv6_network_is_one_sender() -> None:
    rates = Rates(5)
    addresses = iter(f"2001:db8::{number:x}" for number in range(1, 100))
    assert until_refused(lambda: rates.check_address(next(addresses))) == 5
    rates.check_address("2001:db8:0:1::1")


@pytest.mark.parametrize("address", ["", "not an address"])
def test_what_is_no_address_is_counted_too(address: str) -> None:
    rates = Rates(5)
    assert until_refused(lambda: rates.check_address(address)) == 5


def test_senders_are_counted_by_corpus_and_scheme() -> None:
    rates = Rates(5)
    assert until_refused(lambda: rates.check_sender("one", "standard", 2)) == 2
    assert until_refused(lambda: rates.check_sender("one", "github", 3)) == 3
    assert until_refused(lambda: rates.check_sender("two", "standard", 2)) == 2


def test_requests_without_proof_are_limited_too(inbox: Inbox) -> None:
    corpora = {
        "one": corpus("one", requests_per_minute=2),
        "two": corpus("two", secret_variable=NARROW_VARIABLE, requests_per_minute=1),
    }
    with serving(create_app(corpora, inbox, ENVIRON)) as client:
        headers = {"content-type": "application/json"}
        statuses = [client.post("/hooks/one", content=b"{}", headers=headers).status_code for _ in range(4)]
        assert statuses == [401, 401, 401, 429]
