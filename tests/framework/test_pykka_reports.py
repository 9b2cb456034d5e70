"""How an agent that Pykka's `start` started reports its failure, and what an exit in it does."""

from __future__ import annotations

import logging
from typing import Any

import pykka
import pytest

from covey import Agent
from covey.framework.local_node import default_node
from tests.framework.waiting import eventually

DEADLINE_S = 10


class Failing(Agent):
    def on_receive(self, message: Any) -> None:
        raise ValueError(message)

    def leave(self) -> None:
        raise SystemExit("enough")

    async def leave_later(self) -> None:
        raise SystemExit("enough")


class FailingInThread(Failing):
    dispatcher = "thread"


def levels(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    return [(record.name, record.levelno) for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_started_actor_fails_with_pykkas_line_and_a_report_that_names_address_and_advice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ref = Failing.start()
    ref.tell("broken")
    assert ref.actor_stopped.wait(DEADLINE_S)
    eventually(lambda: len(levels(caplog)) == 2)
    error, report = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert error.getMessage() == f"Unhandled exception in {ref}:"
    assert error.exc_info is not None
    assert levels(caplog) == [("pykka", logging.ERROR), ("covey.agent", logging.WARNING)]
    assert report.getMessage().startswith("failing/")
    assert "spawn it under a Supervisor" in report.getMessage()


def test_a_spawned_agent_fails_with_one_report_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    cell = default_node().spawn(Failing, None)
    assert cell.actor is not None
    ref = cell.actor.actor_ref
    ref.tell("broken")
    assert ref.actor_stopped.wait(DEADLINE_S)
    assert levels(caplog) == [("covey.agent", logging.ERROR)]


@pytest.mark.parametrize("actor_class", [Failing, FailingInThread])
@pytest.mark.parametrize("method", ["leave", "leave_later"])
def test_an_exit_in_an_asked_method_is_answered_and_stops_all_actors(
    actor_class: type[Failing], method: str
) -> None:
    bystander = Failing.start()
    ref = actor_class.start()
    asked = getattr(ref.proxy(), method)()
    with pytest.raises(SystemExit, match="enough"):
        asked.get(timeout=DEADLINE_S)
    assert ref.actor_stopped.wait(DEADLINE_S)
    assert bystander.actor_stopped.wait(DEADLINE_S)
    eventually(lambda: pykka.ActorRegistry.get_all() == [])


def test_an_error_in_an_asked_coroutine_is_logged_as_returned_to_its_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Later(Agent):
        async def fail(self) -> None:
            raise ValueError("later")

    ref = Later.start()
    with caplog.at_level(logging.INFO, logger="pykka"), pytest.raises(ValueError, match="later"):
        ref.proxy().fail().get(timeout=DEADLINE_S)
    assert f"Exception returned from {ref} to caller:" in caplog.messages
    assert ref.stop(timeout=DEADLINE_S)
