"""What an operator wishes of a deployment, as the parameters of the template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aws.ops.stack import Stack
from aws.ops.template import Template
from irss_core.errors import InvalidOptionError

EMAIL, IMAGE = "Email", "ImageUri"


@dataclass(frozen=True)
class Wishes:
    """Parameters by name. What is not wished stays as it is, or as the template has it."""

    parameters: Mapping[str, str] = field(default_factory=dict)

    def with_image(self, uri: str) -> Wishes:
        """Return them with an image of the worker."""
        return replace(self, parameters={**self.parameters, IMAGE: uri})


def wishes_of(
    template: Template, *, named: Mapping[str, object], others: Iterable[str], before: Stack | None
) -> Wishes:
    """Return what is wished, checked against what the template asks.

    Args:
        named: parameters by name, None: nothing is wished; a list becomes one text.
        others: further ones, each as NAME=VALUE.

    Raises:
        InvalidOptionError: no such parameter, a value that it does not take, or one is missing that it must have.
    """
    known: dict[str, Any] = template.get("Parameters", {})
    wished = {name: _text(value) for name, value in named.items() if value not in (None, [], ())}
    for other in others:
        name, equals, value = other.partition("=")
        if not equals or name not in known:
            raise InvalidOptionError(f"{other!r} sets nothing. Give NAME=VALUE, the name one of: {', '.join(known)}.")
        wished[name] = value
    for name, value in wished.items():
        if name not in known:
            raise InvalidOptionError(f"This template has no parameter {name}. It has: {', '.join(known) or 'none'}.")
        allowed = [str(each) for each in known[name].get("AllowedValues", ())]
        if allowed and value not in allowed:
            raise InvalidOptionError(f"{name} cannot be {value!r}. It takes {', '.join(allowed)}.")
    have = set(wished) | (set(before.parameters) if before is not None and before.exists else set())
    missing = [name for name, rules in known.items() if "Default" not in rules and name not in have]
    if missing:
        raise InvalidOptionError(
            f"{' and '.join(missing)} must be given for a new stack"
            + (": --email you@example.org." if EMAIL in missing else f": --set {missing[0]}=….")
        )
    return Wishes(wished)


def value_of(name: str, *, template: Template, wishes: Wishes, before: Stack | None) -> str:
    """Return what a parameter will be: as wished, else as it is, else as the template has it."""
    if name in wishes.parameters:
        return wishes.parameters[name]
    if before is not None and before.exists and name in before.parameters:
        return before.parameters[name]
    return str(template.get("Parameters", {}).get(name, {}).get("Default", ""))


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
