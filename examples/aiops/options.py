"""What `covey demo aiops` was asked to do, checked once at the door."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from covey.framework.errors import ConfigurationError

__all__ = ["MAX_CRASHES", "MAX_NODES", "MAX_PATIENTS", "MIN_SECONDS", "DemoOptions"]

MAX_NODES = 16
MAX_PATIENTS = 12
MAX_CRASHES = 50
MIN_SECONDS = 8.0
"""A shorter run has no time for one fault, its repair and the proof."""

NATS_SCHEMES = ("nats", "tls", "ws", "wss")


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of one run.

    Raises:
        ConfigurationError: an option makes no sense; the message names it and what would.
    """

    seconds: float = 35.0
    """How long the swarm runs, start-up included."""
    nodes: int = 3
    """Node processes."""
    patients: int = 6
    """Treated services; the untreated twin comes on top."""
    seed: int = 1
    """Which faults come when."""
    nats: str | None = None
    """A NATS server of the user's own; None starts a private one."""
    faults: bool = True
    """Whether faults (and one crash of an agent, unless `crash_agents` says how many) are injected."""
    repair: bool = True
    """Whether the swarm may repair what it finds."""
    crash_agents: int | None = None
    """How many agents are made to crash; None is one where there are faults, else none."""
    report: Path | None = None
    """Where the report goes as JSON."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.seconds) or self.seconds < MIN_SECONDS:
            raise ConfigurationError(
                f"--seconds {self.seconds:g} is too short for one fault and its repair: "
                f"give {MIN_SECONDS:g} or more (the default is 35)"
            )
        _check_range("--nodes", self.nodes, MAX_NODES, "node processes")
        _check_range("--patients", self.patients, MAX_PATIENTS, "services")
        if self.crash_agents is not None and not 0 <= self.crash_agents <= MAX_CRASHES:
            raise ConfigurationError(
                f"--crash-agents {self.crash_agents} is out of range: the demo injects 0 to {MAX_CRASHES} "
                "crashes"
            )
        if self.nats is not None:
            _check_nats_url(self.nats)
        if self.report is not None:
            _check_report_path(self.report)

    @property
    def crashes(self) -> int:
        """How many agents are made to crash."""
        return int(self.faults) if self.crash_agents is None else self.crash_agents


def _check_range(option: str, value: int, most: int, what: str) -> None:
    if not 1 <= value <= most:
        raise ConfigurationError(f"{option} {value} is out of range: the demo runs 1 to {most} {what}")


def _check_nats_url(url: str) -> None:
    example = "give an address such as nats://127.0.0.1:4222"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"--nats {url!r} is no URL ({error}): {example}") from error
    if parts.scheme not in NATS_SCHEMES:
        raise ConfigurationError(
            f"--nats {url!r} does not start with {', '.join(s + '://' for s in NATS_SCHEMES)}: {example}"
        )
    if not parts.hostname or port == 0:
        raise ConfigurationError(f"--nats {url!r} names no host and port to connect to: {example}")


def _check_report_path(path: Path) -> None:
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ConfigurationError(
            f"--report {path} cannot be written: the folder {folder} does not exist; make it first"
        )
    if path.is_dir():
        raise ConfigurationError(
            f"--report {path} is a folder: name a file in it, such as {path}/report.json"
        )
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ConfigurationError(
            f"--report {path} cannot be written: you may not write there; choose another"
        )
