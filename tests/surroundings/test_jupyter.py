"""A swarm in a Jupyter notebook: a real kernel runs the cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.surroundings.notebook import Notebook, opened
from tests.surroundings.page import notebook_cells

CLASSES = """
from covey import Agent, Swarm, handles, message

@message
class Order:
    sku: str

class Pricer(Agent):
    @handles
    def price(self, order: Order) -> str:
        return "{version} " + order.sku
"""

HELD = """
import asyncio
from pathlib import Path

class Held(Agent):
    @handles
    async def hold(self, name: str) -> None:
        Path(name + "-begun").touch()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            Path(name + "-cancelled").touch()
            raise
"""

WAIT_FOR_FILE = """
async with asyncio.timeout(10):
    while not Path("{name}").exists():
        await asyncio.sleep(0.005)
print("there")
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Notebook, Path]]:
    """One kernel for all tests of this file: its start takes most of their time."""
    folder = tmp_path_factory.mktemp("notebook")
    with opened(folder) as notebook:
        yield notebook, folder


@pytest.fixture
def folder(kernel: tuple[Notebook, Path]) -> Path:
    return kernel[1]


@pytest.fixture
def notebook(kernel: tuple[Notebook, Path]) -> Iterator[Notebook]:
    """The kernel with the first version of the classes and a swarm that is started."""
    kernel[0].run(CLASSES.format(version="v1") + "swarm = Swarm.local().start()")
    yield kernel[0]
    kernel[0].run("swarm.stop(0.1)")


def test_a_cell_with_a_with_block_asks_and_stops_its_swarm(notebook: Notebook) -> None:
    cell = """
with Swarm.local("cell") as short:
    print(short.agent(Pricer, "a").ask(Order(sku="tea")).get())
print(short.wait(0))
"""
    assert notebook.run(cell) == ["v1 tea", "True"]


def test_a_cell_awaits_answers_at_its_top_level(notebook: Notebook) -> None:
    assert notebook.run("print(await swarm.agent(Pricer, 'a').ask(Order(sku='tea')))") == ["v1 tea"]
    cell = """
import asyncio
print(await asyncio.gather(*(swarm.agent(Pricer, str(n)).ask(Order(sku=str(n))) for n in range(3))))
async with Swarm.local("cell") as short:
    print(await short.agent(Pricer, "a").ask(Order(sku="mint")))
"""
    assert notebook.run(cell) == ["['v1 0', 'v1 1', 'v1 2']", "v1 mint"]


def test_get_works_in_a_cell_because_agents_do_not_run_on_its_loop(notebook: Notebook) -> None:
    assert notebook.run("print(swarm.agent(Pricer, 'a').ask(Order(sku='tea')).get())") == ["v1 tea"]


def test_a_message_keeps_its_name_and_travels_when_it_is_defined_in_a_cell(notebook: Notebook) -> None:
    cell = """
from covey.framework.messages import codec
print(codec.type_name(Order(sku="tea")))
"""
    assert notebook.run(cell) == ["__main__.Order"]


def test_a_cell_that_is_run_again_gives_new_agents_its_new_behaviour(notebook: Notebook) -> None:
    notebook.run("old, before = Pricer, swarm.spawn(Pricer, 'before')")
    notebook.run(CLASSES.format(version="v2"))
    cell = """
print(Pricer is old, Pricer.kind == old.kind)
print(swarm.spawn(Pricer, "after").ask(Order(sku="tea")).get())
print(swarm.agent(Pricer, "placed-after").ask(Order(sku="tea")).get())
"""
    assert notebook.run(cell) == ["False True", "v2 tea", "v2 tea"]


def test_a_living_agent_keeps_the_class_it_was_made_of_until_it_is_stopped(notebook: Notebook) -> None:
    notebook.run("OldOrder = Order; swarm.agent(Pricer, 'a').ask(Order(sku='tea')).get()")
    notebook.run(CLASSES.format(version="v2"))
    assert notebook.run("print(await swarm.agent(Pricer, 'a').ask(OldOrder(sku='tea')))") == ["v1 tea"]
    cell = """
await swarm.agent(Pricer, "a").stop()
print(await swarm.agent(Pricer, "a").ask(Order(sku="tea")))
"""
    assert notebook.run(cell) == ["v2 tea"]


def test_spawning_where_an_agent_of_the_older_class_lives_says_that_it_lives(notebook: Notebook) -> None:
    notebook.run("swarm.spawn(Pricer, 'a')")
    notebook.run(CLASSES.format(version="v2"))
    name, text = notebook.error_of("swarm.spawn(Pricer, 'a')")
    assert name == "AddressInUseError"
    assert "pricer/a is in use: stop it first" in text


def test_a_message_that_is_defined_again_is_refused_by_agents_that_know_the_older_one(
    notebook: Notebook,
) -> None:
    notebook.run("swarm.spawn(Pricer, 'a')")
    notebook.run("@message\nclass Order:\n    sku: str\n    amount: int = 1\n")
    name, text = notebook.error_of("await swarm.agent(Pricer, 'a').ask(Order(sku='tea', amount=3))")
    assert name == "UnhandledMessageError"
    assert "pricer/a has no handler for __main__.Order" in text
    notebook.run(CLASSES.format(version="v2"))
    assert notebook.run("print(await swarm.spawn(Pricer, 'b').ask(Order(sku='tea')))") == ["v2 tea"]


def test_interrupting_a_cell_that_waits_in_get_ends_the_wait_and_the_ask_goes_on(
    notebook: Notebook, folder: Path
) -> None:
    notebook.run(HELD + "reply = swarm.agent(Held, 'h').ask('got', timeout=600)")
    notebook.run(WAIT_FOR_FILE.format(name="got-begun"))
    name, _ = notebook.interrupted("Path('got-waits').touch()\nreply.get()", folder / "got-waits")
    assert name == "KeyboardInterrupt"
    assert notebook.run("print(reply.done(), await swarm.agent(Pricer, 'a').ask(Order(sku='tea')))") == [
        "False v1 tea"
    ]
    assert notebook.run("reply.cancel()\n" + WAIT_FOR_FILE.format(name="got-cancelled")) == ["there"]


def test_interrupting_a_cell_that_awaits_an_ask_cancels_the_handler(notebook: Notebook, folder: Path) -> None:
    notebook.run(HELD + "reply = swarm.agent(Held, 'h').ask('awaited', timeout=600)")
    notebook.run(WAIT_FOR_FILE.format(name="awaited-begun"))
    # A kernel acts on the interrupt of an `await` when its loop next wakes: so it ticks, here.
    cell = """
async def tick():
    while True:
        await asyncio.sleep(0.01)
ticking = asyncio.create_task(tick())
asyncio.get_running_loop().call_soon(Path("awaited-waits").touch)  # runs once the cell awaits
try:
    await reply
finally:
    ticking.cancel()
"""
    name, _ = notebook.interrupted(cell, folder / "awaited-waits")
    assert name in ("KeyboardInterrupt", "CancelledError")
    assert notebook.run(WAIT_FOR_FILE.format(name="awaited-cancelled")) == ["there"]
    assert notebook.run("print(await swarm.agent(Pricer, 'a').ask(Order(sku='tea')))") == ["v1 tea"]


def test_after_stop_a_ref_says_that_the_swarm_has_ended_and_a_new_one_can_start(notebook: Notebook) -> None:
    notebook.run("ref = swarm.agent(Pricer, 'a'); swarm.stop()")
    name, text = notebook.error_of("await ref.ask(Order(sku='tea'))")
    assert name == "AgentDeadError"
    assert "has left the swarm" in text
    cell = "swarm = Swarm.local().start(); print(await swarm.agent(Pricer, 'a').ask(Order(sku='tea')))"
    assert notebook.run(cell) == ["v1 tea"]


def test_the_cells_of_the_page_print_what_their_comments_say(kernel: tuple[Notebook, Path]) -> None:
    for code in notebook_cells():
        promised = [line.partition("  # ")[2] for line in code.splitlines() if line.startswith("print(")]
        assert kernel[0].run(code) == promised


def test_a_kernel_whose_notebook_never_stops_its_swarm_shuts_down(tmp_path: Path) -> None:
    with opened(tmp_path) as notebook:
        assert notebook.run(CLASSES.format(version="v1") + "swarm = Swarm.local().start()") == []
        assert notebook.run("print(await swarm.agent(Pricer, 'a').ask(Order(sku='tea')))") == ["v1 tea"]
