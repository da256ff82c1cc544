"""Tables of an emulated DynamoDB, each a test's own."""

from __future__ import annotations

import secrets
from typing import Any

from irss_core.adapters.aws.table import TABLE


def made_table(dynamodb: Any) -> str:
    """The name of a new table with nothing in it, where that client leads."""
    name = f"irss-{secrets.token_hex(8)}"
    dynamodb.create_table(TableName=name, **TABLE)
    return name
