"""What a node process of the demo needs to know, handed down in the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..world.journal import Journal
from ..world.registry import Registry

__all__ = ["DESK", "FORECASTER", "Surroundings", "surroundings"]

DESK = ("desk", "main")
"""Kind and key of the agent that tells the terminal what happens."""

FORECASTER = ("forecaster", "main")
"""Kind and key of the agent that runs the torch model; by its name, as only its own node imports torch."""

_PREFIX = "COVEY_AIOPS_"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the patients are registered, where repairs are written down, and what is allowed."""

    registry_path: Path
    journal_path: Path
    repair: bool
    forecaster: bool
    """Whether any node of the swarm runs the torch model."""
    torch: bool
    """Whether this one does."""

    def to_environment(self) -> dict[str, str]:
        """The variables that `surroundings()` reads in a child process."""
        return {
            f"{_PREFIX}REGISTRY": str(self.registry_path),
            f"{_PREFIX}JOURNAL": str(self.journal_path),
            f"{_PREFIX}REPAIR": str(int(self.repair)),
            f"{_PREFIX}FORECASTER": str(int(self.forecaster)),
            f"{_PREFIX}TORCH": str(int(self.torch)),
        }

    @property
    def registry(self) -> Registry:
        """Who the patients are now."""
        return Registry(self.registry_path)

    @property
    def journal(self) -> Journal:
        """Where repairs are written down for the witness."""
        return Journal(self.journal_path)


@lru_cache(maxsize=1)
def surroundings() -> Surroundings:
    """This process's surroundings."""
    return Surroundings(
        Path(os.environ[f"{_PREFIX}REGISTRY"]),
        Path(os.environ[f"{_PREFIX}JOURNAL"]),
        repair=os.environ[f"{_PREFIX}REPAIR"] == "1",
        forecaster=os.environ[f"{_PREFIX}FORECASTER"] == "1",
        torch=os.environ[f"{_PREFIX}TORCH"] == "1",
    )
