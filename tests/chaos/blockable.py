"""An agent that holds its node's loop by order."""

from __future__ import annotations

import time

from covey import Agent, handles
from tests.conformance.shared_messages import Add, Hold, ListNumbers, Numbers

__all__ = ["Blockable"]


class Blockable(Agent):
    """Holds its node's loop for as long as it is told to."""

    @handles
    def hold(self, order: Hold) -> None:
        time.sleep(order.seconds)

    @handles
    def add(self, add: Add) -> None: ...

    @handles
    def count(self, question: ListNumbers) -> Numbers:
        return Numbers(values=[])
