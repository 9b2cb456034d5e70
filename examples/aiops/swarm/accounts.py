"""The nodes' last figures: asked for when the agents have ended, so that the readings add up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from covey import CoveyError, Swarm

from .messages import Account, NodeNews
from .surroundings import DESK

__all__ = ["is_balanced", "settle"]

ASK_S = 1.0
SETTLE_S = 0.5
"""A reading that is still on its way when the agents have ended arrives within this."""
LOOK_S = 0.03


def settle(swarm: Swarm, nodes: Sequence[str]) -> None:
    """Ask each node for its figures until they add up, or `SETTLE_S` have passed, and tell the desk."""
    until = time.monotonic() + SETTLE_S
    accounts = _accounts(swarm, nodes)
    while not is_balanced(accounts) and time.monotonic() < until:
        time.sleep(LOOK_S)
        accounts = _accounts(swarm, nodes)
    # An ask: what was told before is shown by then, too. A desk that does not answer shows what it has.
    for told in [swarm.agent(*DESK).ask(account, timeout=ASK_S) for account in accounts]:
        with contextlib.suppress(CoveyError):
            told.get()


def is_balanced(accounts: Sequence[NodeNews]) -> bool:
    """Whether every reading that was sent was handled or is a dead letter."""
    counts = [account.readings for account in accounts]
    return sum(count.sent - count.handled - count.dead for count in counts) == 0


def _accounts(swarm: Swarm, nodes: Sequence[str]) -> list[NodeNews]:
    replies = [swarm.agent("reporter", node).ask(Account(), timeout=ASK_S) for node in nodes]
    accounts = []
    for reply in replies:
        try:
            accounts.append(reply.get())
        except CoveyError:
            continue  # a node that is gone tells nothing any more: what the desk heard last counts
    return accounts
