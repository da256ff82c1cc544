"""Fixtures every suite shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Run this process's networks on one thread: they are tiny, and threads waiting for each other cost more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_data_of_the_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep votes that a test casts out of the user's own data folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IRSS_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def weights_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for converted weights, made once a session and never the user's own."""
    return tmp_path_factory.mktemp("weights-cache")
