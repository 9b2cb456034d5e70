"""A process that forks after its swarm was started: the child is told, the parent notices nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.surroundings.programs import ECHO, ended_well, run_script

FORKED = (
    "import multiprocessing, os, sys\n"
    + ECHO
    + """
swarm = {make}.start()
ref = swarm.agent(Echo, "e")
assert ref.ask("x").get() == "x"

def child() -> None:
{child}

fork = multiprocessing.get_context("fork")
process = fork.Process(target=child)
process.start()
process.join(20)
assert process.exitcode is not None, "the child hangs"
print("child ended with", process.exitcode)
print("parent", ref.ask("still served").get())
swarm.stop()
"""
)
TRIED = """
    try:
        {call}
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    else:
        print("no error", flush=True)
"""
LOCAL = "Swarm.local(ask_timeout_s=0.5)"
EMBEDDED = "Swarm.embedded(ask_timeout_s=0.5, hosts=[Echo])"
ENDINGS = ["child ended with 0", "parent still served"]


def forked(child: str, folder: Path, make: str = LOCAL) -> list[str]:
    """What the child and then its parent print."""
    return ended_well(run_script(FORKED.format(make=make, child=child), folder))


def test_the_parent_of_a_fork_notices_nothing(tmp_path: Path) -> None:
    assert forked("    pass", tmp_path) == ENDINGS


@pytest.mark.parametrize("make", [LOCAL, EMBEDDED])
def test_a_child_starts_a_swarm_of_its_own(make: str, tmp_path: Path) -> None:
    child = f"""
    with {make} as own:
        print(own.agent(Echo, "e").ask("own").get(), flush=True)
"""
    assert forked(child, tmp_path) == ["own", *ENDINGS]


@pytest.mark.parametrize("call", ["ref.ask('y').get()", "ref.ask('y').get(0.1)"])
def test_an_ask_of_a_child_never_waits_longer_than_its_deadline(call: str, tmp_path: Path) -> None:
    first, *rest = forked(TRIED.format(call=call), tmp_path)
    assert "Error" in first
    assert rest == ENDINGS


@pytest.mark.parametrize(
    "call",
    [
        "ref.ask('y').get()",
        "ref.tell('y')",
        "swarm.spawn(Echo, 'f')",
        "swarm.agent(Echo, 'f')",
        "swarm.publish('topic', 'y')",
    ],
)
def test_what_a_child_does_with_its_parents_swarm_says_that_the_process_has_forked(
    call: str, tmp_path: Path
) -> None:
    first, *rest = forked(TRIED.format(call=call), tmp_path)
    assert first.startswith("ConfigurationError")
    assert "fork" in first
    assert rest == ENDINGS


def test_no_thread_of_a_child_is_taken_for_a_loop_thread_of_its_parent(tmp_path: Path) -> None:
    # Threads of a child get identifiers that ended with the fork; `get()` would refuse to block there.
    child = """
    from covey.framework.reply import LOOP_THREADS
    print(len(LOOP_THREADS), flush=True)
"""
    assert forked(child, tmp_path) == ["0", *ENDINGS]


def test_a_child_starts_agents_as_pykka_does_although_its_parent_did(tmp_path: Path) -> None:
    child = """
    print(Echo.start().ask("own", timeout=1), flush=True)
"""
    code = FORKED.format(make="Echo.start(); swarm = " + LOCAL, child=child)
    code = code.replace("swarm = Echo.start(); ", "Echo.start(); ")
    assert ended_well(run_script(code, tmp_path)) == ["own", *ENDINGS]


def test_a_child_that_stops_its_parents_swarm_leaves_the_parents_server_alone(tmp_path: Path) -> None:
    child = """
    folder = swarm._server.log_path.parent
    swarm.stop()
    print(folder.exists(), flush=True)
"""
    assert forked(child, tmp_path, EMBEDDED) == ["True", *ENDINGS]


def test_a_child_that_leaves_as_a_script_does_waits_for_nothing(tmp_path: Path) -> None:
    code = (
        ECHO
        + """
import os, sys
ref = Echo.start()
assert ref.ask("x") == "x"
child = os.fork()
if child == 0:
    sys.exit(0)  # runs what the parent has registered for its exit
os.waitpid(child, 0)
"""
    )
    assert ended_well(run_script(code, tmp_path)) == []
