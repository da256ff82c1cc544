"""What S3 checks of a form that is sent to it, and moto does not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

_SECRET = "nothing"  # that the emulator's clients sign with


class FormRefused(Exception):
    """Why S3 would not take the form."""


class FormTooLarge(FormRefused):
    """The file has more bytes than the form takes."""


def policy_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return what a form says may be sent with it: "expiration" and "conditions"."""
    policy: dict[str, Any] = json.loads(base64.b64decode(fields["policy"]))
    return policy


def hold_to_policy(fields: Mapping[str, str], *, bucket: str, size_bytes: int) -> None:
    """Return if a form is signed, has what its policy asks for and nothing else. Its end is not looked at."""
    named = {name.lower(): value for name, value in fields.items()}
    if "policy" not in named or named.pop("x-amz-signature", None) != _signature(named):
        raise FormRefused("the signature is not the policy's")
    asked = {"bucket": bucket, **named}
    del asked["policy"]
    for condition in policy_of(fields)["conditions"]:
        match condition:
            case ["content-length-range", least, most]:
                if size_bytes > most:
                    raise FormTooLarge(f"{size_bytes} > {most}")
                if size_bytes < least:
                    raise FormRefused(f"{size_bytes} < {least}")
            case dict():
                ((name, value),) = condition.items()
                if asked.pop(name.lower(), None) != value:
                    raise FormRefused(f"{name} is not {value}")
            case _:
                raise AssertionError(f"a condition that is not exact: {condition}")
    if asked:
        raise FormRefused(f"no condition names {sorted(asked)}")


def _signature(fields: Mapping[str, str]) -> str:
    """Return the signature of a form's policy (AWS Signature Version 4)."""
    _, *scope = fields.get("x-amz-credential", "").split("/")
    key = b"AWS4" + _SECRET.encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, fields["policy"].encode(), hashlib.sha256).hexdigest()
