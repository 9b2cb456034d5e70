"""A node under fire: the first of two, on virtual time, with everything that it says and keeps in view."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Event, get_ident
from time import perf_counter
from typing import Any

from covey import Swarm
from covey.framework.proto.envelope_pb2 import Envelope, Frame
from covey.framework.reply import LOOP_THREADS
from covey.framework.transport import OutsideRequest
from covey.testing import ManualClock
from covey.transports import MemoryHub, MemoryTransport
from tests.fuzz.agents import HANDLED, Count, Far, Listener, Narrow, Near
from tests.fuzz.expectation import Expectation
from tests.fuzz.samples import SOURCES

__all__ = ["Input", "Log", "Victim", "logged", "victim"]

Input = Callable[[], None]

_WATCHED = ("import", "open", "exec", "os.", "subprocess.", "socket.", "pickle.", "ctypes.", "shutil.")
_audited: list[str] | None = None
"""What happened in the threads of nodes; None while nobody watches."""


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _audited is not None and event.startswith(_WATCHED) and get_ident() in LOOP_THREADS:
        _audited.append(f"{event} {arguments!r}"[:300])


sys.addaudithook(_audit)


def _later() -> None:
    """The turn is due already."""


class _Stranger:
    """Takes what the node sends to a source of frames, and counts the answers."""

    def __init__(self) -> None:
        self.answers = 0

    def on_frame(self, _source: str, data: bytes) -> None:
        for envelope in Frame.FromString(data).envelopes:
            self.answers += Envelope.FromString(envelope).kind in (Envelope.REPLY, Envelope.FAILURE)

    def on_beacon(self, _source: str, _data: bytes) -> None:
        """There are many."""

    def on_undelivered(self, _node: str, _number: int) -> None:
        """It sends nothing."""


class Log(logging.Handler):
    """What is logged, by its text before it is filled in; errors with a traceback are kept whole."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.counts[f"{record.levelname} {record.msg}"] += 1
        if record.exc_info and "failed on node" not in record.getMessage():  # that is an agent's own failure
            self.errors.append(logging.Formatter().format(record))


@contextmanager
def logged() -> Iterator[Log]:
    """What Covey logs in the block."""
    log, logger = Log(), logging.getLogger("covey")
    was = logger.level, logger.propagate
    logger.addHandler(log)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # pytest would keep every line
    try:
        yield log
    finally:
        logger.removeHandler(log)
        logger.level, logger.propagate = was


class Victim:
    """Nodes `a`, which is fuzzed and hosts `Near`, and `b`, which hosts `Far` and goes on asking."""

    def __init__(self, a: Swarm, b: Swarm, clock: ManualClock, log: Log) -> None:
        self.a, self.b, self.clock, self.log = a, b, clock, log
        self.node = a._running
        # Agents take their turns after the inputs of a batch: it is not by chance what a cancellation meets.
        self.node.dispatcher.turn_now = _later  # type: ignore[method-assign]
        self.strangers = {name: _Stranger() for name in SOURCES}
        orders = frozenset(self.node.inbound._system)
        self.expected = Expectation(self.epoch_of, orders)
        self.requests: list[list[tuple[bytes, Mapping[str, str]]]] = []
        """The answers to each request of a client that waits for one."""
        self.inputs = 0
        self.slowest_s = 0.0
        self.frames_of_b: list[bytes] = []
        self._asked = 0
        self.is_asking = False
        """Whether what comes from `b` is its own."""

    def epoch_of(self, source: str) -> int:
        """By which the node knows its own end of the link to a source."""
        return self.node.outbound.peer(source).epoch

    # -- inputs ------------------------------------------------------------------------------------

    def frame(self, source: str, data: bytes) -> Input:
        self.expected.frame(source, data)
        return lambda: self.node.on_frame(source, data)

    def replay(self, data: bytes) -> Input:
        """A frame of the other node once more, as it was or cut."""
        self.expected.replay(data)
        return lambda: self.node.on_frame("b", data)

    def beacon(self, source: str, data: bytes) -> Input:
        self.expected.beacon(source, data)
        return lambda: self.node.on_beacon(source, data)

    def publication(self, topic: str, data: bytes) -> Input:
        self.expected.publication(data)
        return lambda: self.node.on_publication("news.>", "", topic, data)

    def request(
        self, address: str, data: bytes, json_type: str | None, *, waits: bool, remaining_ms: int = 0
    ) -> Input:
        answers: list[tuple[bytes, Mapping[str, str]]] = []
        if waits:
            self.requests.append(answers)
        respond = (lambda data, headers: answers.append((data, headers))) if waits else None
        request = OutsideRequest(address, data, json_type, respond, remaining_ms)
        self.expected.request(request)
        return lambda: self.node.on_request(request)

    def undelivered(self, name: str, number: int) -> Input:
        return lambda: self.node.on_undelivered(name, number)

    # -- running them ------------------------------------------------------------------------------

    def run(self, inputs: Iterable[Input]) -> None:
        """Give the node the inputs on its loop, and wait until all is done; raises what they raise."""
        inputs = list(inputs)
        done = Event()
        raised: list[BaseException] = []

        def run() -> None:
            before = perf_counter()
            for give in inputs:
                try:
                    give()
                except BaseException as error:  # whatever it is, it must not come out
                    raised.append(error)
                now = perf_counter()
                self.slowest_s = max(self.slowest_s, now - before)
                before = now
            done.set()

        self.node.dispatcher.loop.call_soon_threadsafe(run)
        assert done.wait(60.0), "the node hangs"
        self.clock.settle()
        self.expected.settled()
        self.inputs += len(inputs)
        if raised:
            raise raised[0]

    def check(self, *, still_serves: bool = True) -> None:
        """Exactly what was to be expected has happened, and nothing else."""
        outcomes = self.outcomes()
        wanted = self.expected.outcomes
        for what, count in outcomes.items():
            if what.startswith("answer") and count > wanted[what]:
                wanted[what] = count  # the asker has told that answers were lost: they were sent again
        differ = {
            what: (outcomes[what], wanted[what])
            for what in {*outcomes, *wanted}
            if outcomes[what] != wanted[what]
        }
        assert not differ, f"what happened, and what was to happen: {differ}"
        assert all(len(answers) == 1 for answers in self.requests), (
            "a client got none, or more than one answer"
        )
        self.requests.clear()
        assert not self.log.errors, self.log.errors[0]
        if still_serves:
            self.still_serves()

    def outcomes(self) -> Counter[str]:
        """What has happened so far, on both nodes."""
        found: Counter[str] = Counter()
        for swarm in (self.a, self.b):
            for reason, count in swarm.dead_letters().counts.items():
                found[f"dead letter: {reason}"] += count
        for kind, count in HANDLED.items():
            found[f"handled by {kind}"] += count
        for name, stranger in self.strangers.items():
            found[f"answer to {name}"] += stranger.answers
        return found

    def still_serves(self) -> None:
        """Agents of both nodes ask each other as if nothing had happened."""
        self._asked += 1
        self.is_asking = self._asked < 10
        for swarm, kind in ((self.a, "near"), (self.b, "near"), (self.a, "far"), (self.b, "far")):
            reply = swarm.agent(kind, "0").ask(Count(number=self._asked), timeout=60)
            self.clock.settle()
            assert reply.get(timeout=10) == Count(number=self._asked)
            self.expected.outcomes[f"handled by {kind}"] += 1
        self.is_asking = False
        self.expected._alive |= {"near/0", "far/0"}

    def pass_time(self, seconds: float) -> None:
        """Nodes tick; what is missing is given up."""
        self.clock.advance(seconds)
        self.expected.ticked()

    @contextmanager
    def nothing_is_touched(self) -> Iterator[None]:
        """Nodes import no module, open no file, make no code and start no process in the block."""
        global _audited
        modules = set(sys.modules)
        _audited = seen = []
        try:
            yield
        finally:
            _audited = None
        # The text of a traceback quotes the lines of modules that are loaded.
        loaded = {str(getattr(module, "__file__", "")) for module in tuple(sys.modules.values())}
        seen = [event for event in seen if not any(file and file in event for file in loaded)]
        assert not seen, seen[:3]
        assert set(sys.modules) == modules


@contextmanager
def victim() -> Iterator[Victim]:
    """Two nodes of a swarm that see each other; their agents have been made and asked."""
    HANDLED.clear()
    hub, clock = MemoryHub(), ManualClock()
    options: dict[str, Any] = {"clock": clock, "trace_ratio": 0.0}
    with ExitStack() as stack:
        make = lambda: MemoryTransport(hub)  # noqa: E731
        a = stack.enter_context(Swarm("fuzz", transport=make, hosts=[Near, Narrow], node="a", **options))
        b = stack.enter_context(Swarm("fuzz", transport=make, hosts=[Far], node="b", **options))
        assert clock.advance_until(lambda: len(a.nodes()) == len(b.nodes()) == 2, within_s=10)
        a.spawn(Listener, "0")
        found = Victim(a, b, clock, stack.enter_context(logged()))
        _attach(found, hub)
        _keep_frames_of_b(found)
        found.still_serves()
        yield found


def _attach(victim: Victim, hub: MemoryHub) -> None:
    loop = victim.node.dispatcher.loop

    async def attach() -> None:
        for name in SOURCES:
            await MemoryTransport(hub).start("fuzz", name, victim.strangers[name])  # type: ignore[arg-type]

    asyncio.run_coroutine_threadsafe(attach(), loop).result(10)


def _keep_frames_of_b(victim: Victim) -> None:
    """To be replayed."""
    inbound = victim.node.inbound
    take = inbound.on_frame

    def on_frame(source: str, data: bytes) -> None:
        if source == "b" and victim.is_asking:
            victim.frames_of_b.append(data)
        take(source, data)

    inbound.on_frame = on_frame  # type: ignore[method-assign]
