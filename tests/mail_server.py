"""MailServer: a real SMTP server on loopback that takes mails, or answers, breaks off or falls silent as it is told."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "irss", "correct horse"
DROP, SILENCE = "drop", "silence"


class MailServer:
    """What is in ``script`` happens instead of the usual, by the verb: an answer, ``DROP`` or ``SILENCE``.

    The verbs: GREETING, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BODY (the first line of the data), and DOT, the end of
    it. At DOT the mail has been taken, if it is one of DROP and SILENCE.
    """

    def __init__(self, *, security: str = "none", certificate: Certificate | None = None) -> None:
        self.script: dict[str, str] = {}
        self.arrived: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._security = security
        self._tls = certificate.context() if certificate else None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *exc_info: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        tls = self._tls if self._security == "tls" else None
        self._server = await self._loop.create_server(self._session, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _session(self) -> SMTP:
        self.connections += 1
        return _Session(
            self,
            tls_context=self._tls if self._security == "starttls" else None,
            auth_require_tls=False,
            authenticator=_authenticate,
            hostname="mail.test",
            loop=self._loop,
        )

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        todo = self.script.get("DOT", "250 2.0.0 Ok: queued as 4711")
        if not todo.startswith(("4", "5")):
            self.raw.append(bytes(envelope.content or b""))
            message = message_from_bytes(self.raw[-1], policy=policy.default)
            assert isinstance(message, EmailMessage)
            self.arrived.append(message)
        await act(server, todo)
        return todo


class _Session(SMTP):
    def __init__(self, site: MailServer, **options: Any) -> None:
        super().__init__(site, **options)
        self._site = site
        for verb, usual in list(self._smtp_methods.items()):
            self._smtp_methods[verb] = self._instead(verb, usual)

    def _instead(self, verb: str, usual: Callable[[str], Awaitable[None]]) -> Callable[[str], Awaitable[None]]:
        async def answer(argument: str) -> None:
            todo = self._site.script.get(verb)
            if verb == "DATA" and "BODY" in self._site.script:
                await self.push("354 Go on")
                await self._reader.readline()
                await act(self, self._site.script["BODY"])
            elif todo is None:
                await usual(argument)
            else:
                await act(self, todo)
                await self.push(todo)

        return answer

    async def push(self, status: Any) -> None:
        greeting = self._site.script.get("GREETING")
        if greeting and str(status).startswith("220 mail.test"):
            await act(self, greeting)
            status = greeting
        await super().push(status)


async def act(server: SMTP, todo: str) -> None:
    """Break off or fall silent, if it is that; this ends the session."""
    if todo == DROP and server.transport is not None:
        server.transport.abort()
    if todo in (DROP, SILENCE):
        await asyncio.Event().wait()


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
    expected = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=given == expected, handled=False)


class Certificate:
    """A self-made certificate for 127.0.0.1, and its key."""

    def __init__(self, folder: Path) -> None:
        self.path, self._key_path = folder / "certificate.pem", folder / "certificate.key"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self._key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def context(self) -> ssl.SSLContext:
        """What a server needs of it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self._key_path)
        return context
