"""What a test is told when its agents did not do what it waits for."""

from __future__ import annotations

from covey.framework.errors import CoveyError

__all__ = ["ExpectationError", "NeverQuietError"]


class ExpectationError(CoveyError, AssertionError):
    """A probe did not get what a test expects, or got what it does not; the message lists what came."""


class NeverQuietError(CoveyError, TimeoutError):
    """Agents were still at work after the real time that the test allows; names them.

    Attributes:
        busy: who was at work and with what, one text each.
    """

    def __init__(self, busy: tuple[str, ...], real_timeout_s: float) -> None:
        super().__init__(
            f"virtual time stands still: after {real_timeout_s:g} real seconds still busy: "
            f"{'; '.join(busy) or 'nobody by now'}. Virtual time moves only while no agent is at work: end "
            "the loop or the blocking call there, or give advance(..., real_timeout_s=...) more"
        )
        self.busy = busy
