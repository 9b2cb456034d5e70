"""What a watcher gets when the agent that it watches has ended."""

from __future__ import annotations

from covey.framework.messages.message import message

__all__ = ["Terminated"]


@message
class Terminated:
    """An agent that was watched has ended for good: a restart, a move and passivation are no end."""

    address: str
    reason: str
    """`stopped`, `failed: ...`, or why nothing is known of it any more."""
