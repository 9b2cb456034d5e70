"""What a swarm of two nodes promises, over the memory hub, over NATS, and in two processes.

Everything is asked from the node `near`, which hosts nothing itself, of the node `far`.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator

import pytest

from covey import (
    Agent,
    AgentDeadError,
    AskCancelledError,
    AskCycleError,
    AskTimeoutError,
    NoHostError,
    NotSerializableError,
    PayloadTooLargeError,
    Reject,
    RemoteError,
    Swarm,
    UnhandledMessageError,
    handles,
    subscribes,
)
from tests.conformance.shared_messages import (
    Add,
    Bulk,
    Call,
    Crash,
    Forget,
    Hold,
    ListNumbers,
    Noted,
    Numbers,
    Refuse,
    ReplyOfBytes,
    TellDeadline,
    Unknown,
    Where,
    Whereabouts,
)
from tests.conformance.swarms import SWARMS, until

MANY = 2_000


@pytest.fixture(scope="module", params=list(SWARMS))
def near(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    with SWARMS[request.param](tmp_path_factory.mktemp("swarm")) as near:
        yield near


class Caller(Agent):
    """Lives on the near node and asks the far one."""

    kind = "caller"

    @handles
    async def call(self, call: Call) -> Whereabouts:
        return await self.agent(call.kind, call.key).ask(Where(), timeout=2.0)

    @handles
    def where(self, question: Where) -> Whereabouts:
        return Whereabouts(pid=os.getpid(), key=self.key, sender="")

    @handles
    async def bounce(self, order: Forget) -> Whereabouts:
        """Asks a far agent to ask this one."""
        return await self.agent("far", "bouncing").ask(Call(kind="caller", key=self.key), timeout=2.0)

    @handles
    async def left_ms(self, question: TellDeadline) -> Numbers:
        return await self.agent("far", "clock").ask(TellDeadline(), timeout=60.0)


class Ear(Agent):
    """Keeps what it hears."""

    kind = "ear"

    def __init__(self, pattern_seen: list[str]) -> None:
        super().__init__()
        self.seen = pattern_seen

    @subscribes("heard.>")
    def heard(self, noted: Noted) -> None:
        self.seen.append(noted.text)

    @subscribes("held.*")
    def held(self, noted: Noted) -> None:
        self.seen.append(noted.text)


def test_an_ask_is_answered_by_the_node_that_hosts_the_kind(near: Swarm) -> None:
    where = near.agent("far", "eu-1").ask(Where(), timeout=5).get()
    assert (where.key, where.sender) == ("eu-1", "")


def test_tells_arrive_in_order_and_none_is_lost(near: Swarm) -> None:
    far = near.agent("far", "ordered")
    for number in range(MANY):
        far.tell(Add(number=number))
    assert far.ask(ListNumbers(), timeout=20).get().values == list(range(MANY))


def test_asks_and_tells_of_one_sender_keep_their_common_order(near: Swarm) -> None:
    far = near.agent("far", "mixed")
    replies = []
    for number in range(100):
        far.tell(Add(number=number))
        replies.append(far.ask(ListNumbers(), timeout=10))
    assert [len(reply.get().values) for reply in replies] == list(range(1, 101))


def test_the_far_agent_knows_its_sender(near: Swarm) -> None:
    caller = near.spawn(Caller, "known")
    try:
        assert caller.ask(Call(kind="far", key="x"), timeout=5).get().sender == "caller/known"
    finally:
        caller.stop().get(5)


@pytest.mark.parametrize("key", ["ä/ö.*>", "中文 键", "🦆" * 64, "a b\tc\n", "\x00", "%2F", "..", "x" * 256])
def test_any_unicode_is_a_key(near: Swarm, key: str) -> None:
    assert near.agent("far", key).ask(Where(), timeout=5).get().key == key


def test_a_handler_that_returns_none_answers_none(near: Swarm) -> None:
    assert near.agent("far", "nothing").ask(Add(number=1), timeout=5).get() is None


def test_an_error_of_a_far_handler_comes_back_with_its_type_text_and_traceback(near: Swarm) -> None:
    with pytest.raises(RemoteError) as caught:
        near.agent("far", "crashing").ask(Crash(text="no such thing"), timeout=5).get()
    assert caught.value.type_name == "KeyError"
    assert caught.value.message == "'no such thing'"
    assert "def crash" in caught.value.traceback_text or "in crash" in caught.value.traceback_text


def test_a_rejection_comes_back_as_itself_and_the_agent_lives(near: Swarm) -> None:
    far = near.agent("far", "rejecting")
    far.tell(Add(number=7))
    with pytest.raises(Reject, match="not today"):
        far.ask(Refuse(text="not today"), timeout=5).get()
    assert far.ask(ListNumbers(), timeout=5).get().values == [7]


def test_a_message_that_nothing_handles_there_is_said_to_be_unhandled(near: Swarm) -> None:
    with pytest.raises(UnhandledMessageError) as caught:
        near.agent("far", "unhandled").ask(Unknown(), timeout=5).get()
    assert caught.value.target == "far/unhandled"
    assert caught.value.message_type.endswith("Unknown")


def test_a_kind_that_nobody_hosts_is_known_at_once(near: Swarm) -> None:
    before = len(near.dead_letters())
    started = time.monotonic()
    with pytest.raises(NoHostError) as caught:
        near.agent("nowhere", "x").ask(Where(), timeout=5).get()
    assert time.monotonic() - started < 1.0
    assert caught.value.kind == "nowhere"
    assert "far" in caught.value.nodes
    near.agent("nowhere", "x").tell(Where())
    assert len(near.dead_letters()) == before + 2
    assert near.dead_letters().counts["no host"] >= 2


def test_what_is_no_message_does_not_leave_the_process(near: Swarm) -> None:
    far = near.agent("far", "typed")
    with pytest.raises(NotSerializableError):
        far.tell({"a": 1})
    with pytest.raises(NotSerializableError):
        far.ask(object(), timeout=1)


def test_the_largest_message_travels_and_a_larger_one_is_refused(near: Swarm) -> None:
    far = near.agent("far", "large")
    with pytest.raises(PayloadTooLargeError) as caught:
        far.tell(Bulk(data=bytes(2 << 20)))
    fitting = caught.value.limit_bytes - 64
    assert fitting > 900_000
    assert far.ask(Bulk(data=bytes(fitting)), timeout=10).get().values == [fitting]


def test_an_answer_that_is_too_large_is_an_error_for_the_asker(near: Swarm) -> None:
    with pytest.raises(PayloadTooLargeError):
        near.agent("far", "large").ask(ReplyOfBytes(size=2 << 20), timeout=10).get()


def test_an_ask_fails_at_its_deadline(near: Swarm) -> None:
    started = time.monotonic()
    with pytest.raises(AskTimeoutError):
        near.agent("far", "holding").ask(Hold(seconds=1.0), timeout=0.2).get()
    assert time.monotonic() - started < 2.0


def test_a_cancelled_ask_cancels_the_far_handler(near: Swarm) -> None:
    seen: list[str] = []
    ear = near.spawn(Ear, "cancel", seen)
    try:
        far = near.agent("far", "cancelled")
        reply = far.ask(Hold(seconds=30.0), timeout=60)
        far_is_at_it = near.agent("far", "cancelled-witness")
        far_is_at_it.ask(Where(), timeout=5).get()
        assert reply.cancel()
        with pytest.raises(AskCancelledError):
            reply.get()
        until(lambda: "cancelled" in seen, what="the far handler's cancellation")
        assert far.ask(Where(), timeout=5).get().key == "cancelled"
    finally:
        ear.stop().get(5)


def test_an_ask_that_would_close_a_cycle_across_nodes_fails_with_its_path(near: Swarm) -> None:
    caller = near.spawn(Caller, "cycling")
    try:
        with pytest.raises((AskCycleError, RemoteError)) as caught:
            caller.ask(Forget(), timeout=5).get()
        assert isinstance(caught.value, AskCycleError), caught.value
        assert caught.value.path[0] == caught.value.path[-1] == "caller/cycling"
    finally:
        caller.stop().get(5)


def test_a_deadline_is_inherited_across_nodes(near: Swarm) -> None:
    caller = near.spawn(Caller, "hurried")
    try:
        left_ms = caller.ask(TellDeadline(), timeout=3.0).get().values[0]
        assert 1_000 < left_ms <= 3_000
    finally:
        caller.stop().get(5)


def test_a_supervised_agent_is_found_from_the_other_node_and_after_its_restart(near: Swarm) -> None:
    warden = near.agent("warden", "gate")
    assert warden.ask(Where(), timeout=5).get().key == "supervised"
    with pytest.raises(RemoteError):
        warden.ask(Crash(text="once"), timeout=5).get()
    assert warden.ask(Where(), timeout=5).get().key == "supervised"


def test_publications_reach_subscribers_on_the_other_node_by_pattern(near: Swarm) -> None:
    seen: list[str] = []
    ear = near.spawn(Ear, "topics", seen)
    try:
        near.agent("listener", "one").ask(Where(), timeout=5).get()
        near.publish("other.tea", Noted(topic="", text="not for you"))
        near.publish("news.tea.green", Noted(topic="", text="too deep"))
        near.publish("news.tea", Noted(topic="", text="for you"))
        until(lambda: seen, what="the echo of the publication")
        assert seen == ["for you"]
    finally:
        ear.stop().get(5)


def test_a_full_mailbox_over_there_loses_nothing_and_keeps_order(near: Swarm) -> None:
    slow = near.agent("slow", "full")
    for number in range(500):
        slow.tell(Add(number=number))
    assert slow.ask(ListNumbers(), timeout=20).get().values == list(range(500))


def test_a_far_agent_stops_and_is_activated_anew(near: Swarm) -> None:
    far = near.agent("far", "stopping")
    far.ask(Add(number=1), timeout=5).get()
    assert far.stop().get(5) is None
    assert far.ask(ListNumbers(), timeout=5).get().values == []


def test_stopping_an_agent_that_does_not_live_does_not_wake_it(near: Swarm) -> None:
    far_agents = next(peer for peer in near.nodes() if peer.name == "far")
    assert far_agents.name == "far"
    assert near.agent("far", "never-lived").stop().get(5) is None


def test_asks_from_many_threads_each_get_their_own_answer(near: Swarm) -> None:
    answers: dict[str, str] = {}

    def work(thread: int) -> None:
        for number in range(25):
            key = f"t{thread}-{number}"
            answers[key] = near.agent("far", key).ask(Where(), timeout=10).get().key

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 200
    assert all(key == answer for key, answer in answers.items())


def test_asks_can_be_awaited_in_any_event_loop(near: Swarm) -> None:
    async def main() -> list[str]:
        replies = [near.agent("far", f"loop-{n}").ask(Where(), timeout=5) for n in range(50)]
        return [(await reply).key for reply in replies]

    assert asyncio.run(main()) == [f"loop-{n}" for n in range(50)]


def test_nothing_is_left_pending_after_all_this(near: Swarm) -> None:
    node = near._running
    until(lambda: node.outbound.asks_in_flight == 0, what="all asks being settled")
    assert len(node.dispatcher.wheel) == 0
    assert all(peer.gaps == 0 for peer in node.outbound.peers)


def test_a_dead_spawned_agent_is_dead_from_its_own_ref(near: Swarm) -> None:
    caller = near.spawn(Caller, "short-lived")
    caller.stop().get(5)
    with pytest.raises(AgentDeadError):
        caller.ask(Where(), timeout=5).get()
