"""Pykka's registry with agents in it, and the flag that tells of their end."""

from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest

from covey import Agent
from covey.framework.pykka_registry import RunningRefs, _waiting, speed_up_registry
from tests.framework.waiting import eventually

DEADLINE_S = 10


class Idle(Agent):
    pass


class Counted:
    """Stands for a ref, and counts with how many others it is compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return self is other

    def __hash__(self) -> int:
        return id(self)


@pytest.mark.parametrize("order", [1, -1], ids=["first-started-first", "last-started-first"])
def test_removing_n_refs_compares_no_more_than_n_times(order: int) -> None:
    items: list[Any] = [Counted() for _ in range(500)]
    refs = RunningRefs(items)
    Counted.comparisons = 0
    for item in items[::order]:
        assert item in refs
        refs.remove(item)
    assert Counted.comparisons <= len(items)
    assert list(refs) == []


def test_refs_stay_in_the_order_of_their_start_and_one_registered_twice_is_there_twice() -> None:
    first, second, third = (Idle.start() for _ in range(3))
    refs = RunningRefs([first, second, third, second])
    assert refs[:] == [first, second, second, third]
    refs.remove(second)
    assert len(refs) == 3
    assert refs[1] is second
    refs.remove(second)
    with pytest.raises(ValueError, match="is not registered"):
        refs.remove(second)
    assert second not in refs
    pykka.ActorRegistry.stop_all(timeout=DEADLINE_S)


def test_actors_that_run_already_stay_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Threading(pykka.ThreadingActor):
        use_daemon_thread = True

    monkeypatch.setattr(pykka.ActorRegistry, "_actor_refs", [])
    earlier = Threading.start()
    speed_up_registry()
    later = Idle.start()
    assert type(pykka.ActorRegistry._actor_refs) is RunningRefs
    assert pykka.ActorRegistry.get_all() == [earlier, later]
    assert pykka.ActorRegistry.stop_all(timeout=DEADLINE_S) == [True, True]
    assert pykka.ActorRegistry.get_all() == []


def test_an_agent_that_was_spawned_and_registered_by_hand_leaves_the_registry_at_its_end() -> None:
    from covey.framework.local_node import default_node

    cell = default_node().spawn(Idle, None)
    assert cell.actor is not None
    ref = cell.actor.actor_ref
    assert ref not in pykka.ActorRegistry.get_all()
    pykka.ActorRegistry.register(ref)
    assert ref.stop(timeout=DEADLINE_S)
    assert ref not in pykka.ActorRegistry.get_all()


@pytest.mark.parametrize("dispatcher", ["loop", "thread"])
def test_the_last_hook_finds_the_flag_set_and_the_registry_without_the_agent(dispatcher: Any) -> None:
    found: list[tuple[str, bool, bool]] = []

    class Looking(Agent):
        def look(self, hook: str) -> None:
            found.append((hook, self.actor_ref.is_alive(), self.actor_ref in pykka.ActorRegistry.get_all()))

        def on_start(self) -> None:
            self.look("on_start")

        def on_stop(self) -> None:
            self.look("on_stop")

        def on_failure(self, *error: object) -> None:
            self.look("on_failure")

        def on_receive(self, message: Any) -> None:
            raise ValueError(message)

    class Chosen(Looking):
        pass

    Chosen.dispatcher = dispatcher
    assert Chosen.start().stop(timeout=DEADLINE_S)
    failing = Chosen.start()
    failing.tell("broken")
    eventually(lambda: len(found) == 4)
    started = ("on_start", True, True)
    assert found == [started, ("on_stop", False, False), started, ("on_failure", False, False)]


def test_a_thread_that_waits_for_the_stop_is_woken_by_it() -> None:
    ref = Idle.start()
    woken: list[bool] = []
    waiting = threading.Thread(target=lambda: woken.append(ref.actor_stopped.wait()), daemon=True)
    waiting.start()
    eventually(lambda: len(_waiting) == 1)
    assert not woken
    ref.stop(timeout=DEADLINE_S)
    waiting.join(DEADLINE_S)
    assert woken == [True]
    assert not _waiting


def test_who_waited_in_vain_for_the_stop_leaves_nothing_behind() -> None:
    ref = Idle.start()
    assert not ref.actor_stopped.wait(0.001)
    assert not _waiting
    ref.stop(timeout=DEADLINE_S)


def test_an_exit_in_on_start_ends_the_agent_and_all_that_were_started() -> None:
    class Leaving(Agent):
        def on_start(self) -> None:
            raise SystemExit("no further")

    bystander = Idle.start()
    leaving = Leaving.start()
    assert leaving.actor_stopped.wait(DEADLINE_S)
    assert bystander.actor_stopped.wait(DEADLINE_S)


def test_a_proxy_reads_what_an_agent_knows_of_itself() -> None:
    ref = Idle.start()
    proxy = ref.proxy()
    key = proxy.key.get(timeout=DEADLINE_S)
    assert proxy.address.get(timeout=DEADLINE_S) == f"idle/{key}"
    assert proxy.ref.get(timeout=DEADLINE_S).address == f"idle/{key}"
    assert proxy.actor_urn.get(timeout=DEADLINE_S) == ref.actor_urn
    assert proxy.kind.get(timeout=DEADLINE_S) == "idle"
    assert proxy.sender.get(timeout=DEADLINE_S) is None
    assert proxy.deadline.get(timeout=DEADLINE_S) is None
    assert proxy.stop().get(timeout=DEADLINE_S) is None
