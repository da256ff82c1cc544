"""The courier: one mail, whatever the server answers, whoever is killed, however the clock jumps."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from irss_core.errors import ConflictError, MailRefusedError, ResourceError, StoreUnavailableError
from irss_core.jobs.delivery import Courier, Patience
from irss_core.jobs.job import JobStatus, Mail, MailState, begin_attempt, mail_sending, processed
from irss_core.jobs.ports import Message
from tests.fakes.mailer import FakeMailer
from tests.made_jobs import Backstage, letter

PATIENCE = Patience()


class Post:
    """A batch that is done, its mail, and a courier."""

    def __init__(self, folder: Path) -> None:
        self.backstage = Backstage(folder)
        self.clock, self.mailer, self.store = (
            self.backstage.clock,
            self.backstage.mailer,
            self.backstage.store,
        )
        self.compose = letter
        (self.made,) = self.backstage.batch()
        begun = begin_attempt(self.made, now=self.clock.now())
        self.store.save(self.made, begun)
        self.backstage.service.settle(begun, processed(begun, now=self.clock.now()))
        self.courier = self.another()

    def another(self) -> Courier:
        return Courier(
            store=self.store,
            mails=self.backstage.mails,
            mailer=self.mailer,
            clock=self.clock,
            compose=self._composed,
            patience=PATIENCE,
        )

    def _composed(self, *arguments: object) -> EmailMessage:
        return self.compose(*arguments)  # whatever it is by then

    @property
    def mail(self) -> Mail:
        return self.backstage.mail(self.made.batch_id)

    @property
    def status(self) -> JobStatus:
        return self.backstage.job(self.made).status

    def receive(self) -> Message | None:
        return self.backstage.mails.receive(wait_s=0, visibility_timeout_s=120)

    def deliver_all(self) -> int:
        """Deliver every message that can be had now; return how many that were."""
        count = 0
        while message := self.receive():
            self.courier.deliver(message)
            count += 1
        return count

    def run(self, *, hours: float) -> list[float]:
        """Deliver for so long; return after how many minutes something was tried."""
        begun, tried = self.clock.now(), []
        while self.clock.now() - begun <= hours * 3600:
            before = self.mail.attempt
            self.deliver_all()
            tried += [(self.clock.now() - begun) / 60] * (self.mail.attempt - before)
            self.clock.advance(30)
        return tried

    def crash_while_sending(self) -> None:
        """As after a kill between the row's SENDING and the server's answer."""
        message = self.receive()
        assert message is not None
        self.store.save_mail(self.mail, mail_sending(self.mail, now=self.clock.now()))
        self.clock.advance(121)  # the lease is over


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def test_a_mail_is_sent_and_its_jobs_are_delivered(post):
    assert post.deliver_all() == 1
    assert post.mail.state is MailState.SENT
    assert post.mail.answer == "250 taken"
    assert post.status is JobStatus.DELIVERED
    assert [mail["To"] for mail in post.mailer.arrived] == ["somebody@irss.test"]
    assert post.backstage.mails.depth().ready + post.backstage.mails.depth().delayed == 0


def test_any_number_of_messages_are_one_mail(post):
    for _ in range(3):
        post.backstage.mails.send(post.mail.id)
    assert post.deliver_all() == 4
    assert len(post.mailer.arrived) == 1


def test_of_two_couriers_at_once_one_sends(post):
    post.backstage.mails.send(post.mail.id)
    second = post.receive()
    assert second is not None

    def while_composing(*arguments: object) -> EmailMessage:
        post.compose = letter
        post.another().deliver(second)
        return letter(*arguments)

    post.compose = while_composing
    post.deliver_all()
    assert len(post.mailer.arrived) == 1
    assert post.mail.state is MailState.SENT


def test_the_row_says_sending_before_the_server_is_asked(post, monkeypatch):
    seen = []
    real_send = post.mailer.send
    monkeypatch.setattr(post.mailer, "send", lambda mail: (seen.append(post.mail.state), real_send(mail))[1])
    post.deliver_all()
    assert seen == [MailState.SENDING]


def test_a_message_of_a_forgotten_batch_is_dropped(post):
    post.store.forget(post.backstage.job(post.made))
    assert post.deliver_all() == 1
    assert post.mailer.arrived == []
    assert post.receive() is None


def test_a_server_that_is_down_is_asked_again_later_and_later(post):
    post.mailer.defer(5)
    tried = post.run(hours=4)
    assert [round(minutes) for minutes in tried] == [0, 1, 6, 21, 81, 141]
    assert post.mail.state is MailState.SENT
    assert len(post.mailer.arrived) == 1
    assert not post.mail.resent, "each time it surely was not taken"
    assert post.backstage.mails.depth().dead == 0, "trying often is no reason to be taken for dead"


def test_after_a_day_a_mail_has_failed_and_its_jobs_say_why(post):
    post.mailer.defer(1000)
    post.run(hours=30)
    assert post.mail.state is MailState.FAILED
    assert 20 < post.mail.attempt < 30
    job = post.backstage.job(post.made)
    assert (job.status, job.error_code) == (JobStatus.NOT_DELIVERED, "mail-failed")
    assert "Try again later." in str(job.error)


def test_an_outbox_that_slept_for_days_is_still_tried(post):
    post.clock.advance(5 * 86_400)
    post.deliver_all()
    assert post.mail.state is MailState.SENT


def test_a_refused_mail_is_not_tried_again(post):
    post.mailer.refuse()
    post.run(hours=2)
    assert (post.mail.state, post.mail.attempt) == (MailState.FAILED, 1)
    assert post.backstage.job(post.made).error == "No such mailbox."


def test_a_mail_that_cannot_be_composed_waits_and_is_sent_when_it_can(post):
    def fails(*_: object) -> EmailMessage:
        raise ResourceError("There is no room.")

    post.compose = fails
    post.deliver_all()
    assert (post.mail.state, post.mail.answer) == (MailState.PENDING, "The mail could not be put together.")
    post.compose = letter
    post.clock.advance(61)
    post.deliver_all()
    assert post.mail.state is MailState.SENT
    assert not post.mail.resent


def test_a_batch_whose_address_cannot_stand_in_a_mail_has_failed(post):
    def refuses(*_: object) -> EmailMessage:
        raise MailRefusedError("The address cannot stand in a mail.")

    post.compose = refuses
    post.deliver_all()
    assert (post.mail.state, post.mail.answer) == (MailState.FAILED, "The address cannot stand in a mail.")


def test_an_uncertain_mail_is_sent_once_more_after_a_quarter_of_an_hour_and_says_so(post):
    post.mailer.be_uncertain(arrives=True)
    assert [round(minutes) for minutes in post.run(hours=2)] == [0, 15]
    assert post.mail.state is MailState.SENT
    assert post.mail.resent
    first, second = post.mailer.arrived
    assert first["Message-ID"] == second["Message-ID"]
    assert "again" in second.get_content()


@pytest.mark.parametrize("arrives", [True, False])
def test_there_is_never_a_third_copy(post, arrives):
    for _ in range(3):
        post.mailer.be_uncertain(arrives=arrives)
    assert len(post.run(hours=30)) == 2
    assert post.mail.state is MailState.FAILED
    assert "nobody knows whether that arrived" in str(post.mail.answer)
    assert post.status is JobStatus.NOT_DELIVERED


def test_killed_after_the_server_took_it(post):
    post.mailer.send(letter(post.store.batch(post.made.batch_id), [], post.mail))
    post.crash_while_sending()
    post.run(hours=1)
    assert post.mail.state is MailState.SENT
    assert len(post.mailer.arrived) == 1, "the mailer had noted that it was taken"


def test_killed_while_nobody_knows(post):
    post.crash_while_sending()
    assert [round(minutes) for minutes in post.run(hours=1)] == [15]
    assert post.mail.state is MailState.SENT
    assert post.mail.resent
    assert len(post.mailer.arrived) == 1


class SureMailer(FakeMailer):
    """A mailer that always knows, as a folder of mails does."""

    def took(self, message_id: str) -> bool:
        return bool(super().took(message_id))


def test_killed_before_the_server_took_it_which_the_mailer_knows(post):
    post.mailer = SureMailer()
    post.courier = post.another()
    post.crash_while_sending()
    assert [round(minutes) for minutes in post.run(hours=1)] == [1]
    assert post.mail.state is MailState.SENT
    assert not post.mail.resent, "there is no second copy to speak of"


@pytest.mark.parametrize("jump_s", [20 * 60, -20 * 60])
def test_a_jump_of_the_clock_while_a_courier_talks_to_the_server_makes_no_copy(post, monkeypatch, jump_s):
    """The lease seems over and the mail seems long under way, while the first courier still waits for the answer."""
    real_send = post.mailer.send

    def slow(mail: EmailMessage) -> str:
        monkeypatch.setattr(post.mailer, "send", real_send)
        post.clock.advance(jump_s)
        post.deliver_all()
        return real_send(mail)

    monkeypatch.setattr(post.mailer, "send", slow)
    post.deliver_all()
    post.run(hours=2)
    assert post.mail.state is MailState.SENT
    assert len(post.mailer.arrived) == 1


def test_a_clock_that_is_set_back_delays_but_never_forgets(post):
    post.mailer.be_uncertain(arrives=False)
    post.deliver_all()
    post.clock.advance(-400 * 86_400)
    post.run(hours=1)
    assert post.mail.state is MailState.SENT
    assert len(post.mailer.arrived) == 1


def test_an_answer_that_cannot_be_written_is_found_out_by_the_next_delivery(post, monkeypatch):
    real_save = post.store.save_mail

    def full(before: Mail, after: Mail) -> None:
        if after.state is MailState.SENT:
            raise StoreUnavailableError("The disk is full.")
        real_save(before, after)

    monkeypatch.setattr(post.store, "save_mail", full)
    message = post.receive()
    with pytest.raises(StoreUnavailableError):
        post.courier.deliver(message)
    monkeypatch.setattr(post.store, "save_mail", real_save)
    post.clock.advance(121)
    post.deliver_all()
    assert post.mail.state is MailState.SENT
    assert len(post.mailer.arrived) == 1


def test_a_courier_that_was_overtaken_writes_nothing(post, monkeypatch):
    """Its own try is long over for the others, who have sent the mail again: its late answer changes nothing."""
    real_send = post.mailer.send

    def very_slow(mail: EmailMessage) -> str:
        monkeypatch.setattr(post.mailer, "send", real_send)
        post.run(hours=1)
        raise ConflictError("never seen by anybody")

    monkeypatch.setattr(post.mailer, "send", very_slow)
    post.deliver_all()
    assert post.mail.state is MailState.SENT
    assert len(post.mailer.arrived) == 1


class TestAMailerThatConfirmsLater:
    @pytest.fixture
    def post(self, post: Post) -> Post:
        post.mailer.confirms = True
        assert post.deliver_all() == 1
        return post

    def test_the_jobs_are_delivered_once_the_mail_arrived(self, post):
        assert (post.mail.state, post.mail.answer, post.status) == (MailState.SENDING, "250 taken", JobStatus.PROCESSED)
        post.courier.hear(post.mail.id, MailState.SENT, answer="It arrived.")
        assert (post.mail.state, post.mail.answer, post.status) == (MailState.SENT, "It arrived.", JobStatus.DELIVERED)

    def test_a_mail_that_comes_back_says_why(self, post):
        post.courier.hear(post.mail.id, MailState.FAILED, answer="There is no such mailbox.")
        job = post.backstage.job(post.made)
        assert (job.status, job.error) == (JobStatus.NOT_DELIVERED, "There is no such mailbox.")

    def test_news_that_come_again_or_of_nothing_change_nothing(self, post):
        post.courier.hear(post.mail.id, MailState.FAILED, answer="There is no such mailbox.")
        post.courier.hear(post.mail.id, MailState.SENT, answer="It arrived.")
        post.courier.hear("0" * 64, MailState.SENT, answer="It arrived.")
        assert post.status is JobStatus.NOT_DELIVERED

    def test_nothing_is_sent_again_while_news_are_awaited_and_silence_counts_as_delivered(self, post):
        assert post.run(hours=0.9) == []
        assert post.mail.state is MailState.SENDING
        post.run(hours=0.3)
        assert (post.mail.state, post.status) == (MailState.SENT, JobStatus.DELIVERED)
        assert len(post.mailer.arrived) == 1

    def test_news_that_overtake_the_answer_are_kept(self, post, monkeypatch):
        (made,) = post.backstage.batch()
        begun = begin_attempt(made, now=post.clock.now())
        post.store.save(made, begun)
        mail = post.backstage.service.settle(begun, processed(begun, now=post.clock.now()))
        send = post.mailer.send

        def heard_first(message: EmailMessage) -> str:
            post.another().hear(mail.id, MailState.SENT, answer="It arrived.")
            return send(message)

        monkeypatch.setattr(post.mailer, "send", heard_first)
        post.deliver_all()
        assert post.store.mail(mail.id).answer == "It arrived."
