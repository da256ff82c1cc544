"""client_ip: from which address a request came, when proxies of our own stand in front."""

from __future__ import annotations

from collections.abc import Sequence


def client_ip(peer: str | None, forwarded: Sequence[str], *, trusted_proxies: int) -> str | None:
    """Return the address that a request came from, as limits count it.

    Each proxy adds whom it heard from to the right of X-Forwarded-For. With n proxies of our own the n-th entry from
    the right is the first that one of them wrote; everything left of it anybody may have written.

    Args:
        peer: who holds the connection.
        forwarded: the request's X-Forwarded-For headers, in order.
    """
    if not trusted_proxies:
        return peer
    entries = ",".join(forwarded).split(",")
    if len(entries) < trusted_proxies:
        return peer
    return _without_port(entries[-trusted_proxies].strip()) or peer


def _without_port(entry: str) -> str:
    """Return the address of "1.2.3.4:80" or "[::1]:80"; as it stands otherwise."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
