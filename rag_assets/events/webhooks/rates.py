"""How many requests are taken in a minute: of one address, and of one sender of a corpus.

Counted in this process, over a moving minute. The seam to limits.
"""

from __future__ import annotations

import ipaddress
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from rag_assets.events.webhooks.refusal import Refusal

ADDRESS_BUCKETS = 65_536
"""Counters for all addresses of the internet: so many bound the memory, and few addresses share one."""


class Rates:
    """Counts requests and refuses those above a limit. May be used by many threads at once."""

    def __init__(self, address_per_minute: int) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._of_address = RateLimitItemPerMinute(address_per_minute)

    def check_address(self, address: str) -> None:
        """Before anything is known of the sender. Raises Refusal (429)."""
        # hash() is salted: nobody can choose to share a counter with somebody else.
        self._check(self._of_address, "address", str(hash(network(address)) % ADDRESS_BUCKETS))

    def check_sender(self, corpus: str, scheme: str, per_minute: int) -> None:
        """When it is proven that the sender may announce changes. Raises Refusal (429)."""
        self._check(RateLimitItemPerMinute(per_minute), corpus, scheme)

    def _check(self, limit: RateLimitItemPerMinute, *key: str) -> None:
        if not self._limiter.hit(limit, *key):
            resets = self._limiter.get_window_stats(limit, *key).reset_time
            raise Refusal(
                429,
                "too-many-requests",
                f"more than {limit.amount} requests in a minute",
                retry_after=resets - time.time(),
            )


def network(address: str) -> str:
    """What an address counts as: of IPv6 the /64, since who has one address there has all 2⁶⁴."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a socket of the machine itself has no address
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network(f"{parsed}/64", strict=False))
    return address
