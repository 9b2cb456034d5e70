"""A pytest plugin for Pykka's suite: `-p plugin` puts an agent class in the place of its runtimes.

`COVEY_PYKKA_RUNTIME` names it: `loop`, `thread`, or `threading` for Pykka's own. The outcomes are written
as JSON to `COVEY_PYKKA_REPORT`.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from covey import Agent

RUNTIME = os.environ["COVEY_PYKKA_RUNTIME"]
REPORT = Path(os.environ["COVEY_PYKKA_REPORT"])


class LoopAgent(Agent):
    dispatcher = "loop"


class ThreadAgent(Agent):
    dispatcher = "thread"


ACTORS: dict[str, type[Agent]] = {"loop": LoopAgent, "thread": ThreadAgent}

outcomes: dict[str, str] = {}
judged: list[str] = []
"""Tests that ran with the runtime."""
actor_classes: set[str] = set()
"""What they found as its actor class."""


@pytest.hookimpl(tryfirst=True)
def pytest_plugin_registered(plugin: object) -> None:
    """Replace the runtimes of Pykka's conftest, before pytest reads its fixtures."""
    if not isinstance(plugin, ModuleType) or not hasattr(plugin, "RUNTIMES") or RUNTIME not in ACTORS:
        return
    conftest: Any = plugin
    agent = ACTORS[RUNTIME]
    runtime = conftest.Runtime(
        name=RUNTIME,
        actor_class=agent,
        event_class=threading.Event,
        future_class=type(agent._create_future()),
        sleep_func=time.sleep,
    )
    # Pykka's own parameter id, so that the outcomes of all runtimes have the same names.
    parameter = pytest.param(runtime, id="threading")

    @pytest.fixture(scope="session", params=[parameter])
    def covey_runtime(request: pytest.FixtureRequest) -> Any:
        return request.param

    conftest.RUNTIMES = {"threading": parameter}
    conftest.runtime = covey_runtime


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Any:
    """Note which actor class the suite was given."""
    value = yield
    if fixturedef.argname == "runtime":
        actor_classes.add(value.actor_class.__name__)
    return value


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note the tests that judge the runtime."""
    if "runtime" in getattr(item, "fixturenames", ()):
        judged.append(item.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test has passed if none of its phases has another outcome."""
    if outcomes.get(report.nodeid, "passed") == "passed":
        outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish() -> None:
    """Write the report."""
    facts = {"outcomes": outcomes, "judged": judged, "actor_classes": sorted(actor_classes)}
    REPORT.write_text(json.dumps(facts), encoding="utf-8")
