"""Who asks: addresses and their one spelling, session tokens, and the codes that are mailed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from itsdangerous import URLSafeTimedSerializer

from irss_core.errors import (
    InvalidOptionError,
    MailDeferredError,
    MailRefusedError,
    MailUncertainError,
    NotSignedInError,
    RateLimitedError,
)
from irss_core.jobs.codes import Codes
from irss_core.jobs.identity import SESSION_S, Owner, Sessions, normal_address
from tests.fakes.clock import FakeClock
from tests.fakes.mailer import FakeMailer
from tests.fakes.records import MemoryRecords
from tests.made_counter import at_once

DAY_S = 86_400
MINUTE_S = 60
SECRET = b"a secret of tests"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sessions(clock: FakeClock) -> Sessions:
    return Sessions(lambda: SECRET, clock=clock)


class MeddledRecords(MemoryRecords):
    """Records that somebody else writes, once, just after they were read."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.after_get: list[Callable[[], object]] = []

    def get(self, key: str) -> str | None:
        value = super().get(key)
        if self.after_get:
            self.after_get.pop()()
        return value


class Desk:
    """Codes over fakes, with what a visitor sees of them."""

    def __init__(self, clock: FakeClock, sessions: Sessions) -> None:
        self.clock, self.sessions = clock, sessions
        self.records, self.mailer = MeddledRecords(clock), FakeMailer()
        self.codes = Codes(
            records=self.records, mailer=self.mailer, clock=clock, sessions=sessions, sender="IRSS <irss@localhost>"
        )
        self.ana = sessions.owner_of_address("ana@example.org")

    def mailed(self, owner: Owner | None = None, ip: str | None = None) -> str:
        """Have a code mailed and read it."""
        self.codes.send(owner or self.ana, ip=ip)
        body = self.mailer.arrived[-1].get_body(("plain",))
        assert body is not None
        (code,) = set(re.findall(r"\b\d{6}\b", body.get_content()))
        return code

    def wrong(self, code: str) -> str:
        return f"{(int(code) + 1) % 10**6:06d}"


@pytest.fixture
def desk(clock: FakeClock, sessions: Sessions) -> Desk:
    return Desk(clock, sessions)


# ------------------------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("ana@example.org", "ana@example.org"),
        (" Ana@EXAMPLE.Org ", "Ana@example.org"),
        ("ana@exämple.org", "ana@xn--exmple-cua.org"),
        ("ana@exa\u0308mple.org", "ana@xn--exmple-cua.org"),  # the same letters, spelled otherwise
        ("ana+irss@example.org", "ana+irss@example.org"),
    ],
)
def test_an_address_has_one_spelling(typed: str, normal: str, sessions: Sessions) -> None:
    assert normal_address(typed) == normal
    assert sessions.owner_of_address(typed) == sessions.owner_of_address(normal)
    assert sessions.owner_of_address(typed).address == normal


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ana",
        "ana@",
        "@example.org",
        "ana@example",
        "ana@example.org\n",
        "ana@example.org\r\nBcc: eve@example.org",
        "ana\r\nBcc:eve@example.org",
        "ana@example.org\0",
        "ana@exam\u2028ple.org",
        "ana\u202e@example.org",
        "\ud800@example.org",
        "Ana <ana@example.org>",
        "<ana@example.org>",
        "ana@example.org, eve@example.org",
        "ana@example.org;eve@example.org",
        '"ana eve"@example.org',
        "ana@[127.0.0.1]",
        "ana@localhost",
        "jörg@example.org",
        f"{'a' * 65}@example.org",
        f"ana@{'a.' * 130}org",
        "a" * 100_000,
    ],
)
def test_what_is_no_plain_address_is_refused_and_not_repeated(typed: str, sessions: Sessions) -> None:
    with pytest.raises(InvalidOptionError, match=r"cannot be used\..*name@example\.org") as caught:
        sessions.owner_of_address(typed)
    assert not typed[1:] or typed not in str(caught.value).replace("name@example.org", "")
    with pytest.raises(InvalidOptionError):
        sessions.owner_of_subject("https://issuer.example", "7", typed)


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("ana@example.org\r\nBcc: eve@example.org", "It holds a line break"),
        (f"ana@{'a.' * 130}org", "It has 267 characters; an address has at most 254"),
    ],
)
def test_it_is_said_what_is_wrong_with_an_address(typed: str, why: str) -> None:
    with pytest.raises(InvalidOptionError, match=why):
        normal_address(typed)


def test_an_owner_is_known_by_what_does_not_tell_the_address(sessions: Sessions, clock: FakeClock) -> None:
    ana = sessions.owner_of_address("ana@example.org")
    assert re.fullmatch("[0-9a-f]{64}", ana.key)
    assert ana.key != sessions.owner_of_address("eve@example.org").key
    assert ana.key != Sessions(lambda: b"another secret", clock=clock).owner_of_address("ana@example.org").key


def test_the_secret_is_read_when_somebody_signs_in_and_once(clock: FakeClock) -> None:
    read: list[int] = []

    def read_secret() -> bytes:
        read.append(1)
        return SECRET

    sessions = Sessions(read_secret, clock=clock)
    assert not read
    sessions.owner(sessions.token(sessions.owner_of_address("ana@example.org")))
    assert len(read) == 1


def test_an_identity_provider_s_user_stays_the_same_when_the_address_changes(sessions: Sessions) -> None:
    before = sessions.owner_of_subject("https://issuer.example", "7", "ana@example.org")
    after = sessions.owner_of_subject("https://issuer.example", "7", "ana@example.com")
    assert before.key == after.key
    assert after.address == "ana@example.com"
    others = [
        sessions.owner_of_address("ana@example.org"),
        sessions.owner_of_subject("https://issuer.example", "8", "ana@example.org"),
        sessions.owner_of_subject("https://other.example", "7", "ana@example.org"),
    ]
    assert len({each.key for each in (before, *others)}) == 4


# --------------------------------------------------------------------------------------------------------------- tokens


def test_a_token_names_its_owner_for_thirty_days(sessions: Sessions, clock: FakeClock) -> None:
    ana = sessions.owner_of_address("ana@example.org")
    token = sessions.token(ana)
    assert re.fullmatch(r"[\w.-]+", token)
    clock.advance(30 * DAY_S)
    assert sessions.owner(token) == ana
    clock.advance(1)
    with pytest.raises(NotSignedInError, match="30 days ago"):
        sessions.owner(token)


def test_a_clock_that_was_set_back_signs_nobody_out(sessions: Sessions, clock: FakeClock) -> None:
    ana = sessions.owner_of_address("ana@example.org")
    token = sessions.token(ana)
    clock.advance(-20 * MINUTE_S)
    assert sessions.owner(token) == ana


def test_no_token_but_ours_is_taken(sessions: Sessions, clock: FakeClock) -> None:
    ana = sessions.owner_of_address("ana@example.org")
    eve = sessions.owner_of_address("eve@example.org")
    token, other = sessions.token(ana), sessions.token(eve)
    payload, stamp, signature = token.rsplit(".", 2)
    forged = [
        "",
        ".",
        "..",
        "é",
        "\ud800",
        "a" * 10_000,
        payload,
        f"{payload}.{stamp}.",
        f"{payload}.{stamp}.{signature[:-2]}",
        f"{other.rsplit('.', 2)[0]}.{stamp}.{signature}",
        f"{payload}.AAAA.{signature}",
        Sessions(lambda: b"another secret", clock=clock).token(ana),
        str(URLSafeTimedSerializer(SECRET, salt="another purpose").dumps([ana.key, ana.address])),
        str(URLSafeTimedSerializer(b"", salt="irss-session").dumps([ana.key, ana.address])),
    ]
    for text in forged:
        with pytest.raises(NotSignedInError, match="not signed in"):
            sessions.owner(text)
    assert sessions.owner(token) == ana
    assert SESSION_S == 30 * DAY_S


# ---------------------------------------------------------------------------------------------------------------- codes


def test_a_code_is_mailed_and_good_once_within_thirty_minutes(desk: Desk) -> None:
    assert desk.codes.send(desk.ana, ip=None) == 1800
    code = desk.mailed()
    (_, mail) = desk.mailer.arrived
    assert mail["To"] == "ana@example.org"
    desk.clock.advance(30 * MINUTE_S - 1)
    desk.codes.use(desk.ana, f" {code[:3]}-{code[3:]} ")
    with pytest.raises(NotSignedInError, match="used already"):
        desk.codes.use(desk.ana, code)


def test_a_code_is_over_after_thirty_minutes(desk: Desk) -> None:
    code = desk.mailed()
    desk.clock.advance(30 * MINUTE_S)
    with pytest.raises(NotSignedInError, match="30 minutes are over"):
        desk.codes.use(desk.ana, code)


def test_only_the_newest_code_of_an_address_counts(desk: Desk) -> None:
    first, second = desk.mailed(), desk.mailed()
    if first != second:
        with pytest.raises(NotSignedInError, match="newest mail"):
            desk.codes.use(desk.ana, first)
    desk.codes.use(desk.ana, second)


def test_a_code_is_for_its_address_alone(desk: Desk) -> None:
    code = desk.mailed()
    with pytest.raises(NotSignedInError, match="No code is waiting"):
        desk.codes.use(desk.sessions.owner_of_address("eve@example.org"), code)
    desk.codes.use(desk.ana, code)


def test_after_five_wrong_codes_the_right_one_is_over_too(desk: Desk) -> None:
    code = desk.mailed()
    words = []
    for _ in range(5):
        with pytest.raises(NotSignedInError) as caught:
            desk.codes.use(desk.ana, desk.wrong(code))
        words.append(str(caught.value))
    assert [re.findall(r"\d (?:tries are|try is) left", text) for text in words[:4]] == [
        ["4 tries are left"],
        ["3 tries are left"],
        ["2 tries are left"],
        ["1 try is left"],
    ]
    assert "Ask for a new code" in words[4]
    with pytest.raises(NotSignedInError, match=r"5 times.*Ask for a new code"):
        desk.codes.use(desk.ana, code)
    desk.codes.use(desk.ana, desk.mailed())


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "١٢٣٤٥٦", "12345a", "x" * 100_000])
def test_what_is_no_code_is_not_counted_as_a_guess(typed: str, desk: Desk) -> None:
    code = desk.mailed()
    for _ in range(10):
        with pytest.raises(NotSignedInError, match="6 digits"):
            desk.codes.use(desk.ana, typed)
    desk.codes.use(desk.ana, code)


def test_of_two_confirmations_at_once_one_wins(desk: Desk) -> None:
    for day in range(5):
        desk.clock.advance(day * DAY_S)
        code = desk.mailed()
        answers = at_once([lambda code=code: desk.codes.use(desk.ana, code)] * 4)
        assert answers.count(None) == 1
        assert sum(isinstance(answer, NotSignedInError) for answer in answers) == 3


def test_a_code_that_somebody_else_uses_meanwhile_is_used(desk: Desk) -> None:
    code = desk.mailed()
    desk.records.after_get.append(lambda: desk.codes.use(desk.ana, code))
    with pytest.raises(NotSignedInError, match="used already"):
        desk.codes.use(desk.ana, code)
    assert desk.records.after_get == []


def test_guesses_at_once_are_counted_one_by_one(desk: Desk) -> None:
    code = desk.mailed()
    answers = at_once([lambda: desk.codes.use(desk.ana, desk.wrong(code))] * 12)
    told = [str(answer) for answer in answers]
    assert sum("That is not the code" in text for text in told) == 5
    assert sum("5 times" in text for text in told) == 7


def test_codes_and_addresses_are_not_to_be_read_where_they_are_kept(desk: Desk) -> None:
    code = desk.mailed(ip="192.0.2.1")
    kept = repr(desk.records._entries)
    assert code not in kept
    assert "ana" not in kept
    assert "192.0.2.1" not in kept


def test_three_codes_a_day_are_mailed_to_an_address_however_it_is_spelled(desk: Desk) -> None:
    spellings = ["ana@example.org", "Ana@Example.org", "ana+more@example.org"]
    for typed in spellings:
        desk.mailed(desk.sessions.owner_of_address(typed))
        desk.clock.advance(3600)
    with pytest.raises(RateLimitedError, match="3 codes were mailed") as caught:
        desk.codes.send(desk.ana, ip=None)
    assert caught.value.retry_after_s == pytest.approx(DAY_S - 3 * 3600)
    assert len(desk.mailer.arrived) == 3
    desk.mailed(desk.sessions.owner_of_address("eve@example.org"))
    desk.clock.advance(caught.value.retry_after_s)
    desk.mailed()


def test_codes_asked_for_at_once_are_three_at_most(desk: Desk) -> None:
    answers = at_once([lambda: desk.codes.send(desk.ana, ip=None)] * 8)
    assert sum(isinstance(answer, RateLimitedError) for answer in answers) == 5
    assert len(desk.mailer.arrived) == 3


def test_codes_for_one_network_are_limited(desk: Desk) -> None:
    for number in range(20):
        owner = desk.sessions.owner_of_address(f"ana{number}@example.org")
        desk.mailed(owner, ip=f"2001:db8::{number:x}")  # a household's /64
    with pytest.raises(RateLimitedError, match="At most 20 codes an hour") as caught:
        desk.mailed(ip="2001:db8::ffff")
    assert 0 < caught.value.retry_after_s <= 3600
    desk.mailed(ip="2001:db8:1::1")
    desk.clock.advance(3600)
    desk.mailed(ip="2001:db8::ffff")


@pytest.mark.parametrize(
    ("fail", "error", "words"),
    [
        (lambda mailer: mailer.defer(), MailDeferredError, "again in some minutes"),
        (lambda mailer: mailer.refuse(), MailRefusedError, "Check its spelling"),
        (lambda mailer: mailer.be_uncertain(arrives=False), MailUncertainError, "ask for another"),
    ],
)
def test_a_mail_that_did_not_go_out_is_told_and_not_counted(
    fail: Callable[[FakeMailer], None], error: type[Exception], words: str, desk: Desk
) -> None:
    code = desk.mailed()
    for _ in range(5):
        fail(desk.mailer)
        with pytest.raises(error, match=words):
            desk.codes.send(desk.ana, ip=None)
    if error is not MailUncertainError:
        desk.codes.use(desk.ana, code)  # the one that did arrive
    desk.mailed()
    desk.mailed()
    with pytest.raises(RateLimitedError):
        desk.mailed()


def test_a_code_whose_mail_was_uncertain_counts_if_it_arrives(desk: Desk) -> None:
    desk.mailer.be_uncertain(arrives=True)
    with pytest.raises(MailUncertainError):
        desk.codes.send(desk.ana, ip=None)
    body = desk.mailer.arrived[-1].get_body(("plain",))
    assert body is not None
    (code,) = set(re.findall(r"\b\d{6}\b", body.get_content()))
    desk.codes.use(desk.ana, code)
