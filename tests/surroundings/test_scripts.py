"""A swarm in plain scripts, at the prompt, and called from threads: it answers, and the process ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from covey import Agent, Swarm, handles
from tests.surroundings.programs import ECHO, END_WITHIN_S, ended_well, environment, run_python, run_script

HEAVY_OR_NOT_OURS = ("fastapi", "uvicorn", "httpx", "anyio", "IPython", "ipykernel", "zmq", "pydantic")
STARTED = "swarm = Swarm.local().start()\nprint(swarm.agent(Echo, 'e').ask('hello').get())\n"


class Echo(Agent):
    @handles
    def echo(self, text: str) -> str:
        return text


def test_a_script_that_uses_a_with_block_prints_its_answer_and_ends(tmp_path: Path) -> None:
    code = ECHO + "with Swarm.local() as swarm:\n    print(swarm.agent(Echo, 'e').ask('hello').get())\n"
    assert ended_well(run_script(code, tmp_path)) == ["hello"]


def test_a_script_that_calls_start_and_stop_prints_its_answer_and_ends(tmp_path: Path) -> None:
    code = ECHO + STARTED + "swarm.stop()\n"
    assert ended_well(run_script(code, tmp_path)) == ["hello"]


@pytest.mark.parametrize("dispatcher", ["loop", "thread"])
def test_a_script_that_forgets_to_stop_its_swarm_ends_all_the_same(dispatcher: str, tmp_path: Path) -> None:
    code = ECHO + f"Echo.dispatcher = {dispatcher!r}\n" + STARTED
    assert ended_well(run_script(code, tmp_path)) == ["hello"]


def test_a_script_whose_asks_are_never_answered_ends_when_it_forgets_to_stop(tmp_path: Path) -> None:
    code = (
        "import asyncio\n"
        + ECHO
        + "class Mute(Agent):\n"
        + "    @handles\n"
        + "    async def never(self, text: str) -> None:\n"
        + "        await asyncio.Event().wait()\n"
        + "swarm = Swarm.local().start()\n"
        + "pending = [swarm.agent(Mute, str(n)).ask('x', timeout=600) for n in range(10)]\n"
        + "print(swarm.agent(Echo, 'e').ask('hello').get())\n"
    )
    assert ended_well(run_script(code, tmp_path)) == ["hello"]


def test_a_script_that_starts_agents_as_pykka_does_needs_no_swarm_and_ends(tmp_path: Path) -> None:
    assert ended_well(run_script(ECHO + "print(Echo.start().ask('hello'))\n", tmp_path)) == ["hello"]


def test_a_script_that_fails_in_its_with_block_ends_with_its_own_traceback(tmp_path: Path) -> None:
    done = run_script(ECHO + "with Swarm.local() as swarm:\n    raise KeyError('mine')\n", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "KeyError: 'mine'"


def test_ctrl_c_ends_a_wait_for_an_answer_and_the_script_can_stop_its_swarm(tmp_path: Path) -> None:
    code = (
        "import asyncio\n"
        + ECHO
        + "class Mute(Agent):\n"
        + "    @handles\n"
        + "    async def never(self, text: str) -> None:\n"
        + "        print('asked', flush=True)\n"
        + "        try:\n"
        + "            await asyncio.Event().wait()\n"
        + "        except asyncio.CancelledError:\n"
        + "            print('cancelled', flush=True)\n"
        + "            raise\n"
        + "swarm = Swarm.local()\n"
        + "try:\n"
        + "    swarm.start().agent(Mute, 'm').ask('x', timeout=600).get()\n"
        + "except KeyboardInterrupt:\n"
        + "    swarm.stop(0.1)\n"
    )
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "asked\n"
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=END_WITHIN_S)
        finally:
            process.kill()
    assert (process.returncode, rest) == (0, "cancelled\n")


def test_at_the_interactive_prompt_each_line_may_ask_and_leaving_it_ends_the_process(tmp_path: Path) -> None:
    lines = ECHO + "\nswarm = Swarm.local().start()\nswarm.agent(Echo, 'e').ask('hello').get()\n"
    done = run_python("-i", "-q", folder=tmp_path, given=lines)  # its prompts go to stderr
    assert (done.returncode, done.stdout.splitlines()) == (0, ["'hello'"])
    assert "Error" not in done.stderr


def test_many_threads_of_a_pool_ask_one_swarm_and_each_gets_its_own_answer() -> None:
    with Swarm.local(trace_ratio=0.0) as swarm, ThreadPoolExecutor(16) as pool:
        texts = [str(n) for n in range(400)]
        answers = pool.map(lambda text: swarm.agent(Echo, text[-1]).ask(text).get(), texts)
        assert list(answers) == texts


def test_covey_imports_nothing_of_the_surroundings_it_runs_in(tmp_path: Path) -> None:
    code = (
        "import sys, covey, covey.cli.main\n"
        "with covey.Swarm.local(): pass\n"
        f"print([name for name in {HEAVY_OR_NOT_OURS!r} if name in sys.modules])\n"
    )
    assert ended_well(run_script(code, tmp_path)) == ["[]"]
