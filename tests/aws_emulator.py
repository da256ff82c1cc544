"""moto as a server on a free loopback port: the AWS that the adapters' tests talk to, over real HTTP."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import boto3
from botocore.config import Config
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

REGION = "us-east-1"


@functools.cache
def moto_endpoint() -> str:
    """The address of the server, started at the first call and once a process; it ends with the process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    server._server.app = _one_at_a_time(server._server.app)
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


@functools.cache
def client(service: str) -> Any:
    """A client of moto's ``service``, for any number of threads; made once a process."""
    return client_at(moto_endpoint(), service)


def client_at(endpoint: str, service: str) -> Any:
    """A client of an emulator's ``service``, with credentials of nobody, that never tries a second time."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=20,
        connect_timeout=5,
        read_timeout=60,
        signature_version="s3v4" if service == "s3" else None,
        s3={"addressing_style": "path"},  # else a bucket's name would have to be resolved
        proxies={},
    )
    session = boto3.Session(aws_access_key_id="nobody", aws_secret_access_key="nothing", region_name=REGION)
    return session.client(service, endpoint_url=endpoint, config=config)


def _one_at_a_time(moto: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """moto, with DynamoDB's calls one after the other.

    It has no locks: what is written beside a transaction that fails would be undone with it. AWS isolates them.
    """
    calling = threading.Lock()

    def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB"):
            with calling:
                return moto(environ, start_response)
        return moto(environ, start_response)

    return call
