"""Accounts to operate in: moto's, and one whose services answer what a test says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from aws.ops.account import Account
from tests.aws_emulator import REGION, client_at, moto_endpoint

ID = "123456789012"
CALLER = f"arn:aws:iam::{ID}:user/ada"

Call = Callable[..., Any]


def moto_account() -> Account:
    """The account that moto emulates; by a name, because it takes a template's address with a number for a bucket."""
    return Account(ID, REGION, CALLER, _client)


@functools.cache
def _client(service: str) -> Any:
    return client_at(moto_endpoint().replace("127.0.0.1", "localhost"), service)


def made_account(**clients: Any) -> Account:
    """An account of these clients, by the names of their services with "_" for "-"; others are not to be asked."""
    return Account(ID, REGION, CALLER, lambda service: clients[service.replace("-", "_")])


class MadeClient:
    """A client whose calls are the functions given; it notes what was asked. A listing is one page."""

    def __init__(self, **calls: Call) -> None:
        self._calls = calls
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Call:
        if name.startswith("_") or name not in self._calls:
            raise AttributeError(name)

        def call(**parameters: Any) -> Any:
            self.asked.append((name, parameters))
            return self._calls[name](**parameters)

        return call

    def get_paginator(self, name: str) -> MadeListing:
        return MadeListing(getattr(self, name))

    def names(self) -> list[str]:
        """What was asked, without the parameters."""
        return [name for name, _ in self.asked]


class MadeListing:
    def __init__(self, call: Call) -> None:
        self._call = call

    def paginate(self, **parameters: Any) -> list[Any]:
        return [self._call(**parameters)]


def refuse(code: str, message: str = "No.") -> Call:
    """A call that AWS refuses."""

    def call(**_: Any) -> Any:
        raise ClientError(
            {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "x"
        )

    return call


def answer(told: Any) -> Call:
    """A call with always the same answer."""
    return lambda **_: told
