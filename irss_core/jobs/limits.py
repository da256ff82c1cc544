"""JobLimits: how much may be handed in, how often, and how long it is kept; and the counting of submissions."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from irss_core.errors import RateLimitedError
from irss_core.jobs.identity import Owner
from irss_core.jobs.ports import JobStore, Records

_MEBIBYTE = 1024 * 1024
_HOUR_S, _DAY_S = 3600.0, 24 * 3600.0
_LOOK_AGAIN_S = 60.0  # when one of several submissions may be finished: nobody knows


@dataclass(frozen=True)
class JobLimits:
    """What an operator lets visitors do; the defaults are those of the settings."""

    max_files: int = 500  # of a submission, zips unpacked
    max_image_bytes: int = 256 * _MEBIBYTE
    max_clip_bytes: int = 2048 * _MEBIBYTE  # also of a zip, packed and unpacked
    submissions_per_hour: int = 10  # from an IP address
    submissions_per_day: int = 20  # of an owner
    submissions_in_flight: int = 5  # of an owner
    upload_bytes_per_day: int = 20 * 1024 * _MEBIBYTE  # of an owner, submitted or not
    keep_inputs_s: float = 7 * _DAY_S  # after the job is finished
    keep_results_s: float = 30 * _DAY_S


def admit_submission(
    owner: Owner, *, network: str | None, limits: JobLimits, store: JobStore, records: Records, now: float
) -> None:
    """Count one more submission of an owner and, if it is known, from a network.

    Raises:
        RateLimitedError: that would be one too many.
    """
    open_batches = store.open_batches_of(owner.key)
    if open_batches >= limits.submissions_in_flight:
        raise RateLimitedError(
            f"{open_batches} of your submissions are still in work; at most {limits.submissions_in_flight} may be. "
            "Wait until one is finished, or cancel one.",
            retry_after_s=_LOOK_AGAIN_S,
        )
    if network is not None:
        count(
            records,
            f"submissions-from:{network}",
            most=limits.submissions_per_hour,
            window_s=_HOUR_S,
            now=now,
            what="submissions an hour are taken from one network address",
        )
    count(
        records,
        f"submissions-of:{owner.key}",
        most=limits.submissions_per_day,
        window_s=_DAY_S,
        now=now,
        what="submissions a day are taken of one person",
    )


def admit_upload(owner: Owner, size_bytes: int, *, limits: JobLimits, records: Records, now: float) -> None:
    """Count the bytes of one more file of an owner, whatever becomes of it.

    Raises:
        RateLimitedError: that would be too many; the file is not counted.
    """
    count(
        records,
        f"uploaded-by:{owner.key}",
        amount=size_bytes,
        most=limits.upload_bytes_per_day,
        window_s=_DAY_S,
        now=now,
        what="bytes a day are taken of one person (IRSS_UPLOAD_BYTES_PER_DAY)",
    )


def count(records: Records, key: str, *, most: int, window_s: float, now: float, what: str, amount: int = 1) -> None:
    """Count one more, or as many as ``amount`` says, under the key in this hour, day or other window of time.

    Raises:
        RateLimitedError: there were as many already as there may be; the words say that at most N ``what``.
    """
    window, over_s = divmod(now, window_s)
    counter, ends_at = f"{key}:{window:.0f}", (window + 1) * window_s
    if records.count(counter, expires_at=ends_at, amount=amount) > most:
        if amount > 1:  # a smaller one may still be taken
            records.count(counter, expires_at=ends_at, amount=-amount)
        wait_s = window_s - over_s
        raise RateLimitedError(
            f"At most {most:,} {what}. Try again in {_time_words(wait_s)}.",
            retry_after_s=wait_s,
        )


def network_of(ip: str) -> str:
    """Return what stands for who is behind an address: the address, or of IPv6 the /64 that a household has."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:  # a socket's name or the like
        return ip
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(address), 64), strict=False))
        address = address.ipv4_mapped
    return str(address)


def _time_words(seconds: float) -> str:
    minutes = max(round(seconds / 60), 1)
    if minutes < 90:
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{round(minutes / 60)} hours"
