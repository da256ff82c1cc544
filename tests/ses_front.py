"""SesFront: an endpoint before moto's SES that answers, breaks off or falls silent as it is told."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

from tests.aws_emulator import moto_endpoint

DROP = "drop"

_ERROR = """<ErrorResponse xmlns="http://ses.amazonaws.com/doc/2010-12-01/">
<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId>
</ErrorResponse>"""


class SesFront:
    """What is in ``todo`` happens to every mail: ``DROP`` (moto takes it, and the line breaks), or an answer."""

    def __init__(self) -> None:
        self.todo: str | tuple[int, str] | None = None
        self.bodies: list[bytes] = []  # of the requests
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def fail(self, status: int, code: str, message: str = "No.") -> None:
        self.todo = (status, _ERROR.format(code=code, message=message))

    def say(self, text: str) -> None:
        self.todo = (200, text)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler_of(front: SesFront) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            front.bodies.append(body)
            if isinstance(front.todo, tuple):
                status, text = front.todo
                self._answer(status, text.encode())
                return
            status, answer = self._moto(body)
            if front.todo == DROP:
                self.close_connection = True
            else:
                self._answer(status, answer)

        def _moto(self, body: bytes) -> tuple[int, bytes]:
            moto = http.client.HTTPConnection(urlsplit(moto_endpoint()).netloc, timeout=10)
            moto.request("POST", self.path, body, dict(self.headers))
            answer = moto.getresponse()
            return answer.status, answer.read()

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing: a test's output is its own."""

    return Handler
