"""A world that is made once, and a copy of it for each attack."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks import stage as stages
from tests.attacks.stage import Stage
from tests.plugins import warm


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return the world that others are copied from; nobody changes it."""
    return stages.build(tmp_path_factory.mktemp("attacks") / "world")


@pytest.fixture
def stage(request: pytest.FixtureRequest, prepared: Stage, tmp_path: Path) -> Stage:
    """Return a world of one's own: a change that lacks one approval, and people to attack it."""
    return stages.copy(prepared, tmp_path, warm=warm.wanted(request))
