"""An Agent is a genuine Pykka actor."""

from __future__ import annotations

import asyncio
from typing import Any

import pykka
import pytest

from covey import Agent, handles
from tests.framework.waiting import eventually


class Plain(Agent):
    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.number = start

    def add(self, more: int) -> int:
        self.number += more
        return self.number

    async def add_later(self, more: int) -> int:
        await asyncio.sleep(0)
        return self.add(more)

    def fail(self) -> None:
        raise ValueError("as asked")

    def on_receive(self, message: Any) -> Any:
        if message == "fail":
            raise KeyError("told or asked")
        return {"got": message, "number": self.number}

    @handles
    def half(self, number: float) -> float:
        return number / 2


@pytest.fixture
def ref() -> Any:
    ref = Plain.start(5)
    yield ref
    ref.stop()


def test_start_returns_pykkas_ref_and_ask_takes_a_dict_to_on_receive(ref: Any) -> None:
    assert isinstance(ref, pykka.ActorRef)
    assert ref.ask({"what": 1}) == {"got": {"what": 1}, "number": 5}
    assert ref.ask(8.0) == 4.0
    assert ref.ask({"what": 2}, block=False).get(timeout=2)["number"] == 5


def test_a_proxy_calls_methods_reads_and_writes_attributes(ref: Any) -> None:
    proxy = ref.proxy()
    assert proxy.add(2).get(timeout=2) == 7
    assert proxy.number.get(timeout=2) == 7
    proxy.number = 20
    assert proxy.add_later(1).get(timeout=2) == 21
    assert proxy.key.get(timeout=2) == ref.proxy().key.get(timeout=2)


def test_an_error_in_an_asked_proxy_call_or_on_receive_returns_and_the_actor_lives(ref: Any) -> None:
    with pytest.raises(ValueError, match="as asked"):
        ref.proxy().fail().get(timeout=2)
    with pytest.raises(KeyError):
        ref.ask("fail")
    assert ref.is_alive()


def test_an_error_in_a_told_on_receive_ends_the_actor(ref: Any) -> None:
    ref.tell("fail")
    eventually(lambda: not ref.is_alive())
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("x")
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("x")


def test_the_registry_knows_a_started_actor_until_it_has_stopped() -> None:
    ref = Plain.start()
    assert ref in pykka.ActorRegistry.get_by_class(Plain)
    assert ref.stop() is True
    eventually(lambda: ref not in pykka.ActorRegistry.get_all())
    assert not ref.is_alive()
    assert ref.stop() is False


def test_the_registry_stops_all() -> None:
    refs = [Plain.start() for _ in range(5)]
    pykka.ActorRegistry.stop_all(timeout=5)
    assert not any(ref.is_alive() for ref in refs)


def test_an_actor_whose_on_start_fails_is_dead_soon_after_its_start() -> None:
    class Failing(Plain):
        def on_start(self) -> None:
            raise OSError("no disk")

    refs = [Failing.start() for _ in range(50)]
    eventually(lambda: not any(ref.is_alive() for ref in refs))
    eventually(lambda: not pykka.ActorRegistry.get_by_class(Failing))


def test_the_stop_flag_waits_and_the_inbox_only_takes(ref: Any) -> None:
    assert not ref.actor_stopped.wait(0.01)
    with pytest.raises(NotImplementedError, match="dispatcher only"):
        ref.actor_inbox.get()
    ref.stop()
    assert ref.actor_stopped.wait(2)
    assert ref.actor_inbox.empty()
