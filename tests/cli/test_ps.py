"""`covey ps`: the trees of a running swarm, with a real server and real `covey node` processes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from covey import NodeTree, RemoteError, Swarm, TreeLine, message
from covey.cli.main import covey
from covey.cli.swarm_view import draw
from covey.framework.supervision.survey import TreeRequest
from covey.transports import EmbeddedServer
from covey.transports.heard_swarms import heard_swarms
from tests.conformance.swarms import until

SHOP = """
from covey import Agent, Child, Supervisor, handles, message

@message(name="ps.Order")
class Order:
    sku: str

class Pricer(Agent):
    @handles
    def price(self, order: Order) -> None:
        if order.sku == "tea":
            raise ValueError("no price for tea")

class Courier(Agent):
    @handles
    def carry(self, order: Order) -> None: ...
"""

FRONT = """
from shop import Child, Courier, Pricer, Supervisor

def supervisor():
    pool = Supervisor.pool(Courier, 30, name="pool", strategy="rest_for_one")
    return Supervisor([Child(Pricer, "eu"), pool, Child(Courier, "west", node="node-2")], name="shop")
"""


@message(name="ps.Order")
class Order:
    sku: str


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP)
    (folder / "front.py").write_text(FRONT)
    return folder


@contextmanager
def node(
    server: EmbeddedServer, folder: Path, module: str, name: str, swarm: str = "shop"
) -> Iterator[subprocess.Popen[str]]:
    """`covey node` as a process, once it is in the swarm."""
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "covey.cli.main", "node", module),
                *("--nats", server.url, "--swarm", swarm, "--name", name),
            ],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith(f"node {name} "), (folder / f"{name}.log").read_text()
            yield process
        finally:
            process.terminate()
            process.wait(15)
            process.stdout.close()


@pytest.fixture(scope="module")
def shop(server: EmbeddedServer, folder: Path) -> Iterator[Swarm]:
    """A shop on two nodes, seen from a third one: a pricer has failed once, and works again."""
    with (
        node(server, folder, "shop", "node-2"),
        node(server, folder, "front", "node-1"),
        Swarm.connect(server.url, name="shop", node="script", trace_ratio=0.0) as swarm,
    ):
        until(lambda: any("pricer/eu" in peer.registered for peer in swarm.nodes()), what="the supervisor")
        with pytest.raises(RemoteError, match="no price for tea"):
            swarm.agent("pricer", "eu").ask(Order(sku="tea"), timeout=5).get()
        swarm.agent("pricer", "eu").ask(Order(sku="milk"), timeout=5).get()
        swarm.agent("courier", "west").ask(Order(sku="milk"), timeout=5).get()
        until(lambda: all(line.state in ("", "running") for line in lines_of(swarm)), what="all up")
        yield swarm


def lines_of(swarm: Swarm) -> list[TreeLine]:
    return [line for tree in swarm.trees(5.0).get() for line in tree.lines]


def run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(covey, ["ps", "--nats", url, *arguments])


def shown(swarm: Swarm, server: EmbeddedServer, *arguments: str) -> list[str]:
    done = run(server.url, "--swarm", swarm.name, *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def words(lines: list[str], label: str) -> str:
    """What stands behind a label in the first line that has it, with single spaces."""
    line = next(line for line in lines if f" {label} " in f" {line} ")
    return " ".join(line.partition(label)[2].split())


def test_each_node_has_its_tree_with_the_supervisors_and_their_children(
    shop: Swarm, server: EmbeddedServer
) -> None:
    lines = shown(shop, server)
    assert lines[0].startswith(f"swarm shop on {server.url}  3 nodes · 32 agents")
    at = [index for index, line in enumerate(lines) if not line]
    assert [lines[index + 1].split()[0] for index in at] == ["node-1", "node-2", "script"]
    assert lines[at[0] + 2].split()[:3] == ["└──", "shop", "one_for_one"]
    children = [line.split()[1] for line in lines[: at[1]] if line.startswith(("    ├── ", "    └── "))]
    assert children == ["pricer/eu", "pool", "courier/west"]
    assert words(lines, "pool") == "rest_for_one"
    assert words(lines, "courier/pool-1") == "running"


def test_a_restart_is_seen_with_the_last_error(shop: Swarm, server: EmbeddedServer) -> None:
    assert words(shown(shop, server), "pricer/eu") == "running 1 restart ValueError: no price for tea"


def test_a_child_on_another_node_is_seen_on_both(shop: Swarm, server: EmbeddedServer) -> None:
    above, there = (line for line in shown(shop, server) if "courier/west" in line)
    assert words([above], "courier/west") == "running on node-2"
    assert words([there], "courier/west") == "running of shop on node-1"


def test_of_many_children_the_first_are_shown_and_the_rest_is_counted_unless_all_are_wanted(
    shop: Swarm, server: EmbeddedServer
) -> None:
    lines = shown(shop, server)
    assert sum("courier/pool-" in line for line in lines) == 20
    assert any(line.endswith("… and 10 more, all well") for line in lines)
    assert sum("courier/pool-" in line for line in shown(shop, server, "--all")) == 30


def test_json_has_all_nodes_with_the_figures_of_children_elsewhere_filled_in(
    shop: Swarm, server: EmbeddedServer
) -> None:
    found = json.loads("\n".join(shown(shop, server, "--json")))
    assert found["swarm"] == "shop"
    nodes = {node["node"]: node for node in found["nodes"]}
    assert set(nodes) == {"node-1", "node-2", "script"}
    assert nodes["script"]["pid"] == os.getpid()
    lines = {line["label"]: line for line in nodes["node-1"]["lines"]}
    assert (lines["pricer/eu"]["restarts"], lines["pricer/eu"]["depth"]) == (1, 1)
    assert lines["pricer/eu"]["last_error"] == "ValueError: no price for tea"
    west = lines["courier/west"]
    assert (west["node"], west["state"], west["handled"]) == ("node-2", "running", 1)
    assert west["capacity"] == 10_000
    assert lines["pool"]["left_out"] == 10


def test_a_pipe_gets_no_colours_and_nothing_but_ascii_where_its_encoding_is_that(
    shop: Swarm, server: EmbeddedServer
) -> None:
    command = [sys.executable, "-m", "covey.cli.main", "ps", "--swarm", "shop"]
    environment = {**os.environ, "COVEY_NATS_URL": server.url, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    text = done.stdout.decode("ascii")
    assert "\x1b" not in text
    assert "+-- pricer/eu" in text
    assert "... and 10 more, all well" in text
    assert max(map(len, text.splitlines())) <= 120


def test_a_node_that_does_not_answer_is_named_and_the_exit_status_says_so(
    shop: Swarm, server: EmbeddedServer
) -> None:
    with Swarm.connect(server.url, name="shop", node="deaf", trace_ratio=0.0) as deaf:
        deaf._running.inbound.serve(TreeRequest, lambda *_: None)
        done = run(server.url, "--swarm", "shop", "--timeout", "0.5")
        assert done.exit_code == 1
        lines = done.stdout.splitlines()
        assert lines[0].endswith("4 nodes · 32 agents · 1 silent")
        assert words(lines, "deaf") == "no answer within 0.5 s"
        assert words(lines, "pricer/eu").startswith("running")
        assert run(server.url, "--swarm", "shop", "--timeout", "0.5", "--json").exit_code == 1


def test_a_swarm_that_was_stopped_is_one_clear_line_that_names_those_that_run(
    shop: Swarm, server: EmbeddedServer, folder: Path
) -> None:
    with node(server, folder, "shop:Courier", "brief", swarm="brief"):
        assert run(server.url, "--swarm", "brief").exit_code == 0
    done = run(server.url, "--swarm", "brief")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"error: swarm 'brief' has no nodes on {server.url}: name a swarm that has some with --swarm (shop), "
        "or start a node with `covey node MODULE --swarm brief`\n"
    )


def test_without_a_server_it_says_which_one_and_how_to_name_another() -> None:
    done = run("nats://user:secret@127.0.0.1:1")
    assert done.exit_code == 2
    assert "cannot connect to nats://127.0.0.1:1: the connection was refused" in done.stderr
    assert "--nats or COVEY_NATS_URL" in done.stderr
    assert "secret" not in done.output
    assert heard_swarms("nats://127.0.0.1:1") == []


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--watch", "0"], "--watch"), (["--timeout", "-1"], "--timeout")]
)
def test_an_option_that_makes_no_sense_is_named(arguments: list[str], said: str) -> None:
    done = run("nats://127.0.0.1:1", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_watch_looks_again_until_ctrl_c(shop: Swarm, server: EmbeddedServer, options: list[str]) -> None:
    command = [sys.executable, "-m", "covey.cli.main", "ps", "--nats", server.url, "--swarm", "shop"]
    process = subprocess.Popen(
        [*command, "--watch", "0.1", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        looks = 0
        while looks < 3:
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            if options:
                assert len(json.loads(line)["nodes"]) == 3
            looks += bool(options) or line.startswith("swarm shop on ")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 130
        assert errors == ""
    finally:
        process.kill()
        process.communicate()


# -- what it looks like ----------------------------------------------------------------------------


def picture(*trees: NodeTree, encoding: str = "utf-8") -> list[str]:
    console = Console(width=100, highlight=False, record=True, file=io.StringIO())
    console.print(draw("swarm s", trees, encoding))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_states_restarts_and_mailboxes_stand_in_columns() -> None:
    child: dict[str, Any] = {"depth": 1, "what": "child", "restart": "permanent"}
    lines = [
        TreeLine(what="supervisor", label="shop", state="running", strategy="one_for_all"),
        TreeLine(label="pricer/eu", state="running", restarts=12, **child),
        TreeLine(label="pricer/london", state="backoff", waiting=1500, capacity=10_000, **child),
        TreeLine(label="pricer/us", state="starting", waits_for="n2", last_error="OSError: x", **child),
    ]
    lines[0].left_out, lines[0].left_out_troubled = 1234, 2
    tree = NodeTree(node="n1", pid=7, agents=3, handled=1000, dead_letters=1, lines=lines)
    assert picture(tree) == [
        "swarm s  1 node · 3 agents",
        "",
        "n1  pid 7 · 3 agents · 1,000 messages handled · 1 dead letter",
        "└── shop               one_for_all",
        "    ├── pricer/eu      running      12 restarts",
        "    ├── pricer/london  backoff                   1,500 of 10,000 waiting",
        "    ├── pricer/us      starting                                           waits for n2  OSError: x",
        "    └── … and 1,234 more, 2 of them in trouble",
    ]


def test_a_supervisor_that_gave_up_says_so_in_its_line_and_its_nodes() -> None:
    root = TreeLine(what="supervisor", label="shop", state="stopped", strategy="one_for_one")
    root.restarts, root.intensity, root.period_s, root.last_error = 5, 5, 10.0, "gave up on pricer/eu"
    lines = picture(NodeTree(node="n1", failure="shop gave up on pricer/eu", lines=[root]))
    assert lines[2].endswith("gave up: shop gave up on pricer/eu")
    assert lines[3].split("  ", 1)[1].split("  ") == [
        *("stopped", "one_for_one", "5 of 5 restarts in 10 s", "gave up on pricer/eu")
    ]


def test_an_error_of_many_lines_and_control_characters_is_one_line_that_is_cut_off_at_the_edge() -> None:
    error = "ValueError: first\nsecond\x1b[31m\a " + "long " * 50
    line = TreeLine(what="spawned", label="a/ü", state="running", last_error=error)
    (drawn,) = picture(NodeTree(node="n1", lines=[line]))[3:]
    assert drawn.startswith("└── a/ü  running  ValueError: first second [31m long long")
    assert drawn.endswith("…")
    assert len(drawn) == 100
    (plain,) = picture(NodeTree(node="n1", lines=[line]), encoding="ascii")[3:]
    assert plain.startswith("└── a/\\xfc  running  ")  # the guides are the console's
