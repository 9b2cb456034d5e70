"""The front door: starting, stopping, options, threads and traces of a local swarm."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from covey import (
    Agent,
    AgentDeadError,
    AskTimeoutError,
    ConfigurationError,
    Swarm,
    TransportError,
    every,
    handles,
)
from covey.framework.events import HandledMessage
from tests.framework.waiting import eventually


class Echo(Agent):
    @handles
    def echo(self, text: str) -> str:
        return text

    @handles
    async def never(self, number: int) -> None:
        await asyncio.Event().wait()


class Relay(Agent):
    @handles
    async def relay(self, text: str) -> str:
        return str(await self.agent(Echo, "e").ask(text))


def test_async_with_works_in_a_running_loop_and_replies_are_awaited_there() -> None:
    async def main() -> str:
        async with Swarm.local(trace_ratio=0.0) as swarm:
            return str(await swarm.agent(Relay, "r").ask("x"))

    assert asyncio.run(main()) == "x"


def test_a_plain_with_works_in_a_running_loop() -> None:
    async def main() -> str:
        with Swarm.local(trace_ratio=0.0) as swarm:
            swarm.agent(Echo, "e")
            return str(await swarm.agent(Relay, "r").ask("x"))

    assert asyncio.run(main()) == "x"


def test_stopping_leaves_no_thread() -> None:
    class Threaded(Echo):
        dispatcher = "thread"

    before = set(threading.enumerate())
    with Swarm.local(trace_ratio=0.0) as swarm:
        assert swarm.agent(Echo, "e").ask("x").get() == "x"
        for key in "abc":
            assert swarm.agent(Threaded, key).ask("x").get() == "x"
    assert not [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]


def test_an_error_in_the_block_passes_through() -> None:
    with pytest.raises(KeyError), Swarm.local(trace_ratio=0.0):
        raise KeyError("mine")


def test_a_swarm_that_is_not_started_or_started_twice_says_so() -> None:
    swarm = Swarm.local(trace_ratio=0.0)
    with pytest.raises(ConfigurationError, match="the swarm is not started"):
        swarm.agent(Echo, "e")
    swarm.stop()
    with swarm, pytest.raises(ConfigurationError, match="was started before"):
        swarm.start()
    swarm.stop()
    with pytest.raises(ConfigurationError, match="has stopped"):
        swarm.spawn(Echo, "late")


def test_unknown_options_are_named() -> None:
    with pytest.raises(ConfigurationError, match="unknown option colour: choose from ask_timeout_s"):
        Swarm.local(colour="red")
    with pytest.raises(ConfigurationError, match="ask_timeout_s=0"):
        Swarm.local(ask_timeout_s=0)


def test_environment_variables_set_what_arguments_leave_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_ASK_TIMEOUT_S", "0.05")
    monkeypatch.setenv("COVEY_NODE_NAME", "named")
    with Swarm.local(trace_ratio=0.0) as swarm:
        assert [node.name for node in swarm.nodes()] == ["named"]
        with pytest.raises(AskTimeoutError, match=r"within 0\.05 s"):
            swarm.agent(Echo, "e").ask(1).get()
        swarm.stop(0.1)
    monkeypatch.setenv("COVEY_ASK_TIMEOUT_S", "soon")
    with pytest.raises(ConfigurationError, match="COVEY_ASK_TIMEOUT_S='soon'"):
        Swarm.local()
    assert Swarm.local(ask_timeout_s=1.0)._options.ask_timeout_s == 1.0


def test_wait_returns_when_the_swarm_has_stopped() -> None:
    with Swarm.local(trace_ratio=0.0) as swarm:
        assert swarm.wait(0.01) is False
        threading.Timer(0.02, swarm.stop).start()
        assert swarm.wait(5) is True


def test_two_swarms_live_side_by_side_in_one_process() -> None:
    with Swarm.local("one", trace_ratio=0.0) as one, Swarm.local("two", trace_ratio=0.0) as two:

        class Named(Agent):
            def __init__(self, name: str) -> None:
                super().__init__()
                self.name = name

            @handles
            def who(self, text: str) -> str:
                return self.name

        first, second = one.spawn(Named, "a", "first"), two.spawn(Named, "a", "second")
        assert (first.ask("x").get(), second.ask("x").get()) == ("first", "second")
        assert pickle.loads(pickle.dumps(second)).ask("x").get() == "second"
    with pytest.raises(ConfigurationError, match="no running node in swarm 'two'"):
        pickle.loads(pickle.dumps(second))


def test_handled_messages_are_counted_on_loop_and_threads() -> None:
    class Threaded(Echo):
        dispatcher = "thread"

    with Swarm.local(trace_ratio=0.0) as swarm:
        for _ in range(3):
            swarm.agent(Echo, "e").ask("x").get()
            swarm.agent(Threaded, "t").ask("x").get()
        eventually(lambda: swarm.handled == 6)


SPAN: contextvars.ContextVar[bytes] = contextvars.ContextVar("span", default=b"")


class RecordingSink:
    """Keeps what the framework tells of spans, and draws contexts like a real sink."""

    destination = "nowhere"

    def __init__(self, sampled: bool) -> None:
        self.sampled = sampled
        self.handled: list[HandledMessage] = []
        self.outgoing_in: list[bytes] = []
        self.spans: list[tuple[str, bytes]] = []
        self.numbers = iter(range(1, 1000))

    def emit(self, event: Any) -> None: ...

    def context(self, trace: bytes) -> bytes:
        return (
            (trace or next(self.numbers).to_bytes(16, "big"))
            + next(self.numbers).to_bytes(8, "big")
            + b"\x01"
        )

    def outgoing(self, operation: str, target_kind: str, message_type: str) -> bytes:
        self.outgoing_in.append(SPAN.get())
        current = SPAN.get()
        if not current:
            return self.context(b"") if self.sampled else bytes(24) + b"\x00"
        return current

    @contextmanager
    def process(self, handled: HandledMessage) -> Iterator[Any]:
        self.handled.append(handled)
        token = SPAN.set(self.context(handled.context[:16]))
        try:
            yield None
        finally:
            SPAN.reset(token)

    @contextmanager
    def span(
        self, name: str, kind: str, attributes: Any, *, new_trace: bool = False, start_time_s: Any = None
    ) -> Any:
        self.spans.append((name, SPAN.get()[:16]))
        if not SPAN.get() and not new_trace:
            yield _Span("")
            return
        token = SPAN.set(self.context(SPAN.get()[:16]))
        try:
            yield _Span(SPAN.get()[:16].hex())
        finally:
            SPAN.reset(token)

    def close(self, timeout_s: float) -> None: ...


class _Span:
    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id

    def set(self, **attributes: Any) -> None: ...


class Spanning(Agent):
    @handles
    def open_one(self, new_trace: bool) -> None:
        with self.span("block", new_trace=new_trace):
            self.agent(Echo, "e").tell("inside")
        self.agent(Echo, "e").tell("outside")


@pytest.fixture
def traced() -> Iterator[tuple[Swarm, Any]]:
    with Swarm.local(trace_ratio=0.0) as swarm:
        yield swarm, lambda sampled: _record(swarm, sampled)


def _record(swarm: Swarm, sampled: bool) -> RecordingSink:
    sink = swarm._running.sink = RecordingSink(sampled)  # type: ignore[assignment]
    return sink  # type: ignore[return-value]


def test_one_trace_runs_through_a_chain_of_handlers(traced: Any) -> None:
    swarm, record = traced
    swarm.agent(Echo, "e")
    sink = record(True)
    assert swarm.agent(Relay, "r").ask("x").get() == "x"
    relay, echo = sink.handled
    assert (relay.kind, relay.key, relay.is_ask, relay.sender) == ("relay", "r", True, "")
    assert (echo.kind, echo.sender, echo.remote) == ("echo", "relay/r", False)
    assert relay.context[:16] == echo.context[:16]
    assert relay.context[16:24] != echo.context[16:24]


def test_an_unsampled_message_never_calls_the_sink_inside_its_handlers(traced: Any) -> None:
    swarm, record = traced
    swarm.agent(Echo, "e")
    sink = record(False)
    assert swarm.agent(Relay, "r").ask("x").get() == "x"
    assert sink.handled == []
    assert len(sink.outgoing_in) == 1


def test_an_agent_whose_trace_is_off_makes_no_spans_and_starts_no_trace(traced: Any) -> None:
    swarm, record = traced

    class Silent(Relay):
        trace = "off"

        @every(0.005)
        def tick(self) -> None:
            self.agent(Echo, "e").tell("tick")

    swarm.agent(Echo, "e")
    sink = record(True)
    assert swarm.agent(Silent, "s").ask("x").get() == "x"
    eventually(lambda: swarm.handled >= 5)
    assert sink.handled == []
    assert len(sink.outgoing_in) == 1


def test_a_timer_may_begin_a_trace(traced: Any) -> None:
    swarm, record = traced

    class Ticking(Agent):
        @every(0.005)
        async def tick(self) -> None:
            self.agent(Echo, "e").tell("tick")

    swarm.agent(Echo, "e")
    sink = record(True)
    swarm.spawn(Ticking, "t")
    eventually(lambda: len(sink.handled) >= 1)
    assert sink.handled[0].sender == "ticking/t"


def test_a_span_begins_a_trace_only_when_it_is_told_to(traced: Any) -> None:
    swarm, record = traced
    swarm.agent(Echo, "e")
    sink = record(False)
    spanning = swarm.agent(Spanning, "s")
    spanning.ask(False).get()
    assert sink.spans == [("block", b"")]
    assert len(sink.outgoing_in) == 1
    spanning.ask(True).get()
    eventually(lambda: len(sink.handled) == 1)
    assert [context != b"" for context in sink.outgoing_in] == [False, False, True]


def test_a_taken_port_of_the_embedded_server_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TransportError, match=f"port {port} is taken"):
            Swarm.embedded(port=port).start()


def test_refs_of_two_local_swarms_differ_and_unpickle_to_their_own() -> None:
    class Named(Agent):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        @handles
        def say(self, text: str) -> str:
            return self.name

    with Swarm.local(trace_ratio=0.0) as one, Swarm.local(trace_ratio=0.0) as two:
        first, second = one.spawn(Named, "a", "one"), two.spawn(Named, "a", "two")
        assert len({first, second, one.agent(Echo, "e"), two.agent(Echo, "e")}) == 4
        for ref, name in ((first, "one"), (second, "two")):
            copy = pickle.loads(pickle.dumps(ref))
            assert copy == ref
            assert copy.ask("x").get() == name
        left = pickle.dumps(one.agent(Echo, "e"))
        two.stop()
        assert pickle.loads(left).ask("x").get() == "x"


def test_a_ref_of_the_default_node_unpickles() -> None:
    started = Echo.start()
    actor: Any = started._actor_weakref()
    assert pickle.loads(pickle.dumps(actor.ref)).ask("x").get() == "x"
    started.stop()


def test_a_start_that_is_cancelled_leaves_neither_a_node_nor_a_server() -> None:
    swarm = Swarm.embedded(name="cancelled", trace_ratio=0.0)

    async def main() -> None:
        async def enter() -> None:
            async with swarm:
                await asyncio.Event().wait()

        entering = asyncio.create_task(enter())
        await asyncio.to_thread(eventually, lambda: swarm._server is not None and swarm._lock.locked())
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering

    asyncio.run(main())
    assert swarm._running.ended.is_set()
    with pytest.raises(TransportError):
        Swarm.connect(swarm.url, name="cancelled", trace_ratio=0.0).start()


def test_leaving_that_is_cancelled_goes_on_to_its_end() -> None:
    seen: list[str] = []

    class Slow(Agent):
        @handles
        async def work(self, text: str) -> None:
            await asyncio.sleep(0.2)
            seen.append(text)

    swarm = Swarm.local(trace_ratio=0.0)
    leaving = threading.Event()

    async def main() -> None:
        async def enter() -> None:
            async with swarm:
                swarm.agent(Slow, "s").tell("x")
                leaving.set()

        entering = asyncio.create_task(enter())
        await asyncio.to_thread(leaving.wait, 5)
        await asyncio.to_thread(eventually, lambda: swarm._running.stopping)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert seen == ["x"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": ""}, "the swarm name '' takes 0 bytes"),
        ({"name": 5}, "the swarm name must be text"),
        ({"node": "\ud800"}, "the node name .* is not valid unicode"),
        ({"weight": 0}, "weight=0: give a whole number, at least 1"),
        ({"weight": "a"}, "weight='a': give"),
        ({"hosts": [int]}, "no subclass of Agent"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named_when_the_swarm_is_made(
    options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        Swarm.connect("nats://127.0.0.1:1", **options)


def test_a_bad_node_name_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_NODE_NAME", "x" * 300)
    with pytest.raises(ConfigurationError, match=r"COVEY_NODE_NAME 'x+' takes 300 bytes"):
        Swarm.local()


def test_an_ask_through_a_swarm_that_was_left_says_so() -> None:
    with Swarm.local(trace_ratio=0.0) as swarm:
        ref = swarm.agent(Echo, "e")
        assert ref.ask("x").get() == "x"
    with pytest.raises(AgentDeadError, match="this process has left the swarm 'local'"):
        ref.ask("x").get()


def test_a_dead_letter_is_one_line_of_the_log_and_more_like_it_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Swarm.local(trace_ratio=0.0) as swarm:
        ref = swarm.agent(Echo, "e")
        for _ in range(5):
            ref.tell(2.5)
        eventually(lambda: swarm.dead_letters().counts == {"unhandled": 5})
        lines = [record.getMessage() for record in caplog.records if "dead letter" in record.getMessage()]
    assert len(lines) == 1
    assert "builtins.float to echo/e: unhandled" in lines[0]


def test_the_report_of_a_failure_shows_the_agents_own_frames_only(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Agent):
        @handles
        def fail(self, text: str) -> None:
            raise ValueError(text)

    with Swarm.local(trace_ratio=0.0) as swarm, pytest.raises(ValueError, match="boom"):
        swarm.agent(Broken, "b").ask("boom").get()
    (record,) = [record for record in caplog.records if "broken/b failed" in record.getMessage()]
    assert record.exc_info is not None
    assert record.exc_info[2] is not None
    assert record.exc_info[2].tb_frame.f_code.co_name == "fail"
