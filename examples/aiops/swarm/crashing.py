"""What every agent of the demo can be told that is to be seen crashing."""

from __future__ import annotations

from covey import Agent, handles

from .messages import Crash

__all__ = ["Crashing"]


class Crashing(Agent):
    """Fails when it is told to: the demo's own injection of an agent's crash."""

    @handles
    def crash(self, _crash: Crash) -> None:
        raise RuntimeError("an injected crash")
