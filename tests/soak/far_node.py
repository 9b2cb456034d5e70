"""`python -m tests.soak.far_node URL SIDE`: one of the two nodes of the soak over a server.

It does what it is told on standard input, a word a line, and answers each with one line of JSON: `round`
sends a round of load to the other node, `books` says what was sent and what has come, `roll` asks every agent
of the other node once, `look` takes a census, `end` gives the verdict: what is wrong, in words.
"""

from __future__ import annotations

import json
import logging
import pickle
import sys
import tempfile
from collections import Counter
from time import monotonic
from typing import Any

from covey import Swarm
from covey.framework.dead_letters import DeadLetter
from tests.framework.waiting import held_up
from tests.soak.census import Census, take_census
from tests.soak.curve import growths, table
from tests.soak.far_agents import BOOKS, hosted
from tests.soak.far_load import FarLoad
from tests.soak.soak import STORED, is_quiet

EXPECTED_LETTERS = ("late reply", "expired", "cancelled")
"""What becomes of asks whose askers waited no longer; any other dead letter is a loss."""
EXPECTED_EVENTS = ("AgentStarted", "AgentStopped", "DeadLettered", "LoopHeld", "NodeJoined")
ABOUT_THE_MACHINE = "covey.watchdog"
"""Says when a loop turned slowly, as it does while a census is taken."""
WAVER = 2
"""The last frame may not have been acknowledged at a quiet point, and a timer of the transport be due."""


class Problems(logging.Handler):
    """Whatever the node reports that a healthy link does not bring about."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name != ABOUT_THE_MACHINE and not text.startswith("dead letter"):
            self.found[text] += 1

    def event(self, event: Any) -> None:
        if type(event).__name__ not in EXPECTED_EVENTS:
            self.found[repr(event)] += 1

    def letter(self, letter: DeadLetter) -> None:
        if letter.reason not in EXPECTED_LETTERS:
            self.found[f"{letter.reason}: {letter.message_type} to {letter.target}: {letter.detail}"] += 1


class FarNode:
    """The node, its load, and its curve; which lies in a file: kept here, it would be what grows."""

    def __init__(self, swarm: Swarm, side: str, problems: Problems) -> None:
        self._swarm = swarm
        self._problems = problems
        self._load = FarLoad(swarm, side)
        self._curve = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the node
        self._looks = 0
        self._begun = monotonic()

    def round(self) -> None:
        self._load.round()

    def roll(self) -> None:
        self._load.call_the_roll()

    def books(self) -> dict[str, Any]:
        letters = sum(1 for _ in self._swarm.dead_letters())
        return {
            "sent": dict(BOOKS.sent),
            "got": dict(BOOKS.got),
            "quiet": is_quiet(self._swarm) and not BOOKS.unanswered,
            "full": letters >= STORED,
        }

    def look(self) -> None:
        sent, asked = BOOKS.sent.total(), BOOKS.asked["made"]
        with held_up(self._swarm):
            pickle.dump(take_census(monotonic() - self._begun, sent, asked), self._curve)
        self._looks += 1

    def end(self) -> dict[str, Any]:
        self._curve.seek(0)
        curve: list[Census] = [pickle.load(self._curve) for _ in range(self._looks)]
        wrong = [*growths(curve, WAVER), *BOOKS.disorder]
        unexpected = BOOKS.asked.keys() - {"made", "answer", "AskTimeoutError", "AskCancelledError"}
        wrong += [f"{BOOKS.asked[name]} asks ended with {name}" for name in sorted(unexpected)]
        wrong += [f"{count} times: {text}" for text, count in self._problems.found.most_common(10)]
        letters = Counter(letter.reason for letter in self._swarm.dead_letters())
        return {
            "wrong": wrong,
            "table": table(curve),
            "asks": dict(BOOKS.asked),
            "letters": dict(letters),
        }


def main(url: str, side: str, *options: str) -> None:
    """Do what standard input says until its `end`, or until it closes."""
    if "--leak" in options:
        BOOKS.kept = []
    problems = Problems()
    for name in ("covey", "asyncio"):
        logging.getLogger(name).addHandler(problems)
        logging.getLogger(name).propagate = False
    with Swarm.connect(url, name="soak", node=side, hosts=hosted(side), trace_ratio=0.0) as swarm:
        swarm.dead_letters().subscribe(problems.letter)
        swarm.on_event(problems.event)
        assert swarm.wait_for_nodes(2, timeout=20.0)
        node = FarNode(swarm, side, problems)
        print(json.dumps("ready"), flush=True)
        for line in sys.stdin:
            print(json.dumps(getattr(node, line.strip())()), flush=True)
            if line == "end\n":
                break
        sys.stdin.read()  # the other node may still want this one


if __name__ == "__main__":
    main(*sys.argv[1:])
