"""Fixtures every suite shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Run networks on one thread, here and in the processes that tests start.

    They are tiny, several processes compute at once, and threads that wait for each other do so at full speed.
    """
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


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
