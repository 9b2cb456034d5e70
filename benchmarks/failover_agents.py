"""The agents of `failover`: each says which process it lives in."""

from __future__ import annotations

import os

from covey import Agent, handles, message

__all__ = ["Home", "WhereAreYou", "Worker"]


@message
class WhereAreYou:
    pass


@message
class Home:
    pid: int


class Worker(Agent):
    @handles
    def where(self, question: WhereAreYou) -> Home:
        return Home(pid=os.getpid())
