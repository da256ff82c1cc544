"""Who a request came from, when proxies stand in front and anybody may write a header."""

from __future__ import annotations

import pytest

from irss_core.jobs.client_ip import client_ip


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        ([], 0, "10.0.0.9"),
        (["203.0.113.7"], 0, "10.0.0.9"),
        (["203.0.113.7"], 1, "203.0.113.7"),
        (["6.6.6.6, 203.0.113.7"], 1, "203.0.113.7"),
        (["6.6.6.6", "203.0.113.7, 10.0.0.2"], 2, "203.0.113.7"),
        (["203.0.113.7"], 2, "10.0.0.9"),
        ([], 1, "10.0.0.9"),
        (["203.0.113.7:4711"], 1, "203.0.113.7"),
        (["[2001:db8::7]:4711"], 1, "2001:db8::7"),
        (["2001:db8::7"], 1, "2001:db8::7"),
        ([" "], 1, "10.0.0.9"),
    ],
)
def test_only_what_our_own_proxies_wrote_is_believed(forwarded: list[str], proxies: int, address: str) -> None:
    assert client_ip("10.0.0.9", forwarded, trusted_proxies=proxies) == address


def test_nobody_is_known_where_there_is_no_connection() -> None:
    assert client_ip(None, [], trusted_proxies=0) is None
