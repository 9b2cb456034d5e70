"""What the load has sent and what became of it: the books that must balance at every quiet point."""

from __future__ import annotations

import threading
from collections import Counter
from functools import partial
from typing import Any

from covey import AgentRef, Reply
from covey.framework.dead_letters import DeadLetter

__all__ = ["NEVER_BEGUN", "TALLY", "Tally"]

NEVER_BEGUN = ("stopped", "unhandled", "expired", "dropped", "mailbox full", "no host")
"""Reasons of those dead letters that no handler saw; all others were begun."""

LETTERS = (
    *(reason for reason in NEVER_BEGUN if reason != "no host"),
    "failed",
    "rejected",
    "cancelled",
)
OUTCOMES = (
    "answer",
    "AgentDeadError",
    "AskCancelledError",
    "AskTimeoutError",
    "Broken",
    "MailboxFullError",
)
HAPPENINGS = (
    "AgentFailed",
    "AgentPassivated",
    "AgentRestarted",
    "await gave up",
    "get gave up",
    "no room for a coroutine",
    "no room for a plain handler",
    "no room for a thread",
    "terminated",
    "tick",
)


class Tally:
    """Counts messages, asks and what happened; thread-safe.

    A message is sent once and then either begun by a handler or a dead letter that no handler saw.
    """

    def __init__(self) -> None:
        # Re-entrant: a garbage collection inside may end a tell that nobody awaited.
        self._lock = threading.RLock()
        self.sent = 0
        self.begun = 0
        self.asked = 0
        self.resolved = 0
        self.letters: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        """How asks ended: `answer`, or the name of the error."""
        self.happened: Counter[str] = Counter()
        """Everything else worth a count: restarts, passivations, ends that were watched."""
        self.kept: list[Reply[Any]] | None = None
        """A list makes the soak leak on purpose: it keeps every reply."""

    def send(self, count: int = 1) -> None:
        """So many messages are about to be sent."""
        with self._lock:
            self.sent += count

    def begin(self) -> None:
        """A handler has begun with a message."""
        with self._lock:
            self.begun += 1

    def note(self, what: str) -> None:
        """Something happened."""
        with self._lock:
            self.happened[what] += 1

    def letter(self, letter: DeadLetter) -> None:
        """A dead letter came up."""
        with self._lock:
            self.letters[letter.reason] += 1

    def ask(self, ref: AgentRef, message: Any, timeout_s: float | None = None) -> Reply[Any]:
        """Ask, and count the ask and its end."""
        with self._lock:
            self.sent += 1
            self.asked += 1
        reply = ref.ask(message, timeout=timeout_s)
        if self.kept is not None:
            self.kept.append(reply)
        reply.add_done_callback(partial(self._ended, reply))
        return reply

    def _ended(self, reply: Reply[Any]) -> None:
        error = reply.error()
        with self._lock:
            self.resolved += 1
            self.outcomes["answer" if error is None else type(error).__name__] += 1

    def unbalanced(self) -> str:
        """What is still on its way, in words; empty when the books balance."""
        with self._lock:
            unseen = sum(self.letters[reason] for reason in NEVER_BEGUN)
            wrong = []
            if self.sent != self.begun + unseen:
                wrong.append(
                    f"{self.sent} messages were sent, {self.begun} were begun by a handler and {unseen} are "
                    f"dead letters that none saw {dict(self.letters)}"
                )
            if self.asked != self.resolved:
                wrong.append(f"{self.asked} asks were made and {self.resolved} resolved")
            if self.happened["watched"] != self.happened["terminated"]:
                wrong.append(
                    f"{self.happened['watched']} ends were watched and {self.happened['terminated']} told"
                )
            return "; ".join(wrong)

    def missing(self) -> list[str]:
        """What the load is meant to bring about and never did."""
        return [
            *(f"an ask that ends with {name}" for name in OUTCOMES if not self.outcomes[name]),
            *(f"a dead letter: {reason}" for reason in LETTERS if not self.letters[reason]),
            *(name for name in HAPPENINGS if not self.happened[name]),
        ]

    def __str__(self) -> str:
        return "\n".join(
            f"{name}: " + ", ".join(f"{what} {count}" for what, count in counts.most_common())
            for name, counts in (
                ("asks", self.outcomes),
                ("dead letters", self.letters),
                ("happened", self.happened),
            )
        )


TALLY = Tally()
"""Of this process: agents that are placed construct without arguments, so they cannot be given one."""
