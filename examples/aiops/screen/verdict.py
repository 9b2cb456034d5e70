"""The verdict on a run: one sentence and an exit status, both from nothing but the board."""

from __future__ import annotations

from .board import Board
from .board_events import TORCH_ABSENT
from .median import median_of

__all__ = ["exit_status", "verdict"]

MAX_NAMED = 2
"""Unrepaired faults named in the sentence; more are counted."""


def exit_status(board: Board) -> int:
    """0 if the run proved what it was to prove, else 1.

    With faults: every one injected on a treated patient was repaired by the witness's word, and at least
    one was injected. Without faults: nothing was repaired.
    """
    if not board.wants_faults:
        return 1 if board.repair_count else 0
    treated = board.treated
    return 1 if not treated or any(fault.is_open for fault in treated) else 0


def verdict(board: Board) -> str:
    """The first line of the report: what was proved, or what failed, and whether torch took part."""
    return "; ".join(part for part in (_outcome(board), _torch_shortfall(board)) if part)


def _outcome(board: Board) -> str:
    treated = board.treated
    failed = [fault for fault in treated if fault.is_open]
    if not board.wants_faults:
        if board.repair_count:
            return f"no faults were injected, yet the swarm made {_count(board.repair_count, 'repair')}"
        return "no faults injected, no repairs made: a quiet swarm leaves healthy services alone"
    if not treated:
        return "no fault was injected: the run ended before the first one; give it more --seconds"
    if failed:
        names = ", ".join(f"{fault.kind} on {fault.patient}" for fault in failed[:MAX_NAMED])
        more = f" and {len(failed) - MAX_NAMED} more" if len(failed) > MAX_NAMED else ""
        which = f"{names}{more}" if board.may_repair else "repairs are off (--no-repair)"
        return f"{len(failed)} of {_count(len(treated), 'injected fault')} not repaired: {which}"
    middle = median_of(fault.repair_s for fault in treated)
    within = "" if middle is None else f"; half of them within {middle:.1f} s"
    if len(treated) == 1:
        return "the one injected fault repaired" + ("" if middle is None else f" in {middle:.1f} s")
    return f"all {len(treated)} injected faults repaired{within}"


def _torch_shortfall(board: Board) -> str:
    torch, baseline = board.verdicts.torch, board.verdicts.baseline
    installed = board.torch not in ("", TORCH_ABSENT)
    if not installed or torch >= baseline:
        return ""
    return f"torch gave only {torch} of {torch + baseline} verdicts"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
