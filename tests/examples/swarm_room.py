"""One agent of the demo under test on `Swarm.local`, everybody around it replaced by recording agents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from covey import Agent, Swarm
from examples.aiops.swarm.surroundings import Surroundings, surroundings
from tests.examples.world import eventually

__all__ = ["Recorder", "Room", "surround"]

Answer = Callable[[Any], Any]


class Recorder(Agent):
    """Keeps what it is told, and answers an ask with what `answer` makes of the message."""

    def __init__(self, heard: list[tuple[str, Any]], answer: Answer) -> None:
        super().__init__()
        self._heard = heard
        self._answer = answer

    def on_receive(self, message: Any) -> Any:
        self._heard.append((self.key, message))
        return self._answer(message)


class Room:
    """A local swarm with recorders; what they heard, by kind, in order."""

    def __init__(self, swarm: Swarm) -> None:
        self.swarm = swarm
        self._heard: dict[str, list[tuple[str, Any]]] = {}

    def record(
        self, kind: str, keys: Sequence[str] = ("main",), answer: Answer = lambda _message: None
    ) -> None:
        """Put recorders of that kind at these keys."""
        recorder = type(f"Recorded{kind.title()}", (Recorder,), {"kind": kind})
        heard = self._heard.setdefault(kind, [])
        for key in keys:
            self.swarm.spawn(recorder, key, heard, answer)

    def heard(self, kind: str, message_type: type | None = None, key: str | None = None) -> list[Any]:
        """What recorders of that kind heard, of one type or one key if wanted."""
        return [
            message
            for at, message in list(self._heard[kind])
            if (message_type is None or type(message) is message_type) and key in (None, at)
        ]

    def hears(self, kind: str, message_type: type, count: int = 1, deadline_s: float = 5.0) -> list[Any]:
        """The same once there are `count` of them; fails the test if that takes too long."""
        in_time = eventually(lambda: len(self.heard(kind, message_type)) >= count, deadline_s)
        found = self.heard(kind, message_type)
        assert in_time, (
            f"{kind} heard only {found} within {deadline_s:g} s, not {count} {message_type.__name__}"
        )
        return found


def surround(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    registry: Path | None = None,
    *,
    repair: bool = True,
    forecaster: bool = True,
) -> Surroundings:
    """Give this process the surroundings of a node of the demo."""
    around = Surroundings(
        registry or folder / "registry.json",
        folder / "journal.jsonl",
        repair=repair,
        forecaster=forecaster,
        torch=False,
    )
    for name, value in around.to_environment().items():
        monkeypatch.setenv(name, value)
    surroundings.cache_clear()
    return around
