"""The deployed service that the tests of the cloud share: deployed once for a file of tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.aws.cloud import MINISTACK, Cloud, deployed


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: Any) -> Iterator[Cloud]:
    """The whole stack in an emulator, and a mail server."""
    if not MINISTACK.exists():
        pytest.skip(f"no emulator at {MINISTACK} (sh scripts/aws_tools.sh installs it)")
    with deployed(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud
        cloud.stop()
