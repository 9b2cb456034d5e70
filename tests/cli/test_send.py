"""`covey send`: messages in JSON, with a real server and real `covey node` processes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from covey.cli.main import covey
from covey.transports import EmbeddedServer
from tests.conformance.swarms import node_process, until, until_any_node_finds
from tests.transports.configured_server import configured_server

ORDER = '{"sku": "tea", "amount": 3}'
QUOTE = {"sku": "tea", "price": 7.5, "seller": "pricer/eu"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server with two swarms: a shop of one node, and two nodes that know different messages."""
    folder = tmp_path_factory.mktemp("nodes")
    with (
        EmbeddedServer() as server,
        node_process(folder, "examples.quotes", "--nats", server.url, "--swarm", "shop"),
        node_process(folder, "tests.conformance.far_agents:Far", "--nats", server.url, "--swarm", "far"),
        node_process(folder, "examples.quotes", "--nats", server.url, "--swarm", "far"),
    ):
        until_any_node_finds(server.url, "far", "pricer/eu", "far/a")
        yield server


def send(server: EmbeddedServer, *arguments: str, swarm: str = "shop", stdin: bytes | None = None) -> Result:
    command = ["send", *arguments, "--nats", server.url, "--swarm", swarm]
    return CliRunner().invoke(covey, command, input=stdin)


def test_the_answer_is_one_line_of_json_and_its_type_stands_on_stderr(server: EmbeddedServer) -> None:
    done = send(server, "pricer/eu", "quotes.Order", ORDER)
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 1
    assert json.loads(done.stdout) == QUOTE
    assert done.stderr == "quotes.Quote\n"


def test_the_last_part_of_a_types_name_is_enough(server: EmbeddedServer) -> None:
    assert json.loads(send(server, "pricer/eu", "Order", ORDER).stdout) == QUOTE


def test_a_key_may_hold_any_character(server: EmbeddedServer) -> None:
    done = send(server, "pricer/Zürich/1.* >%", "Order", ORDER)
    assert json.loads(done.stdout)["seller"] == "pricer/Zürich/1.* >%"


def test_a_dash_reads_the_json_from_the_standard_input(server: EmbeddedServer) -> None:
    assert json.loads(send(server, "pricer/eu", "Order", "-", stdin=ORDER.encode()).stdout) == QUOTE


def test_a_message_without_json_is_empty_and_an_agent_may_answer_nothing(server: EmbeddedServer) -> None:
    done = send(server, "far/a", "Forget", swarm="far")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "{}\n", "google.protobuf.Empty\n")


def test_a_told_message_arrives_and_nothing_is_printed(server: EmbeddedServer) -> None:
    told = send(server, "far/told", "Add", '{"number": 7}', "--tell", swarm="far")
    assert (told.exit_code, told.output) == (0, "")

    def numbers() -> list[str]:  # a later ask may overtake it, by another node
        found = json.loads(send(server, "far/told", "ListNumbers", swarm="far").stdout)["values"]
        assert isinstance(found, list)
        return found

    until(lambda: numbers() == ["7"], what="the message")


def test_whichever_node_takes_it_it_reaches_the_one_that_knows_the_message(server: EmbeddedServer) -> None:
    for number in range(8):
        quoted = send(server, f"pricer/{number}", "Order", ORDER, swarm="far")
        assert json.loads(quoted.stdout)["seller"] == f"pricer/{number}"
        answered = send(server, f"far/{number}", "Where", swarm="far")
        assert json.loads(answered.stdout)["key"] == str(number)


@pytest.mark.parametrize(
    ("swarm", "address", "type_name", "body", "said"),
    [
        ("shop", "pricer/eu", "Order", '{"sku": "gold"}', "Reject: there is no price for 'gold'"),
        ("shop", "nobody/eu", "Order", ORDER, "NoHostError: "),
        ("shop", "pricer/eu", "quotes.Quote", "{}", "UnhandledMessageError: pricer/eu has no handler"),
        ("shop", "pricer/eu", "Quote", "{}", "UndecodableError: Quote is no message type here"),
        ("shop", "pricer/eu", "Nothing", "{}", "UndecodableError: "),
        ("shop", "pricer/eu", "Order", '{"skew": "tea"}', "UndecodableError: "),
        ("shop", "pricer/eu", "Order", "[1]", "UndecodableError: "),
        ("far", "far/a", "Crash", '{"text": "out of\\npaper"}', "KeyError: "),
    ],
)
def test_a_failure_is_one_line_with_its_type_and_status_1(
    server: EmbeddedServer, swarm: str, address: str, type_name: str, body: str, said: str
) -> None:
    done = send(server, address, type_name, body, swarm=swarm)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


def test_an_agent_that_takes_too_long_is_a_failure(server: EmbeddedServer) -> None:
    for number in range(4):
        command = (f"far/busy-{number}", "Hold", '{"seconds": 0.5}', "--timeout", "0.1")
        done = send(server, *command, swarm="far")
        assert (done.exit_code, done.stdout) == (1, "")
        assert re.match(rf"AskTimeoutError: no reply from .*far/busy-{number} within 0.1 s: ", done.stderr)


def test_the_agent_knows_how_long_its_answer_is_waited_for(server: EmbeddedServer) -> None:
    for number in range(4):
        done = send(server, f"far/{number}", "TellDeadline", "--timeout", "60", swarm="far")
        (left_ms,) = json.loads(done.stdout)["values"]
        assert 50_000 < int(left_ms) <= 60_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pricer/eu", "Order", '{"sku": tea}'], 'Expecting value at line 1, column 9: {"sku": <here>tea}'),
        (["pricer/eu", "Order", '{"sku":\n"tea",}'], "at line 2, column"),
        (["pricer/eu", "Order", "[" * 100_000], "nested too deep"),
        (["pricer", "Order"], "'pricer' is no address: write kind/key"),
        (["pri cer/eu", "Order"], "'pri cer' is no agent kind"),
        (["pricer/" + "x" * 257, "Order"], "1 to 256 are allowed"),
        (["pricer/eu", "Or der"], "'Or der' is no message type"),
        (["pricer/eu", "quotes.*"], "'quotes.*' is no message type"),
        (
            ["pricer/eu", "Order", json.dumps({"sku": "x" * 2_000_000})],
            "carries at most 1048512",
        ),
    ],
)
def test_what_cannot_be_asked_is_one_line_that_says_why_and_status_2(
    server: EmbeddedServer, arguments: list[str], said: str
) -> None:
    done = send(server, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_bytes_that_are_no_text_are_refused_with_their_place(server: EmbeddedServer) -> None:
    done = send(server, "pricer/eu", "Order", "-", stdin=b'{"sku": "\xff"}')
    assert done.exit_code == 2
    assert "the body is not UTF-8: invalid start byte at byte 9" in done.stderr


def test_of_a_swarm_without_nodes_it_says_which_swarms_have_some(server: EmbeddedServer) -> None:
    done = send(server, "pricer/eu", "Order", ORDER, swarm="shpo")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: swarm 'shpo' has no nodes on {server.url}: name a swarm that has some with --swarm "
        "(far, shop), or start a node with `covey node MODULE --swarm shpo`\n"
    )


def test_a_tell_to_a_swarm_of_which_nothing_is_heard_is_doubted(server: EmbeddedServer) -> None:
    done = send(server, "pricer/eu", "Order", ORDER, "--tell", swarm="shpo")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith(f"warning: no node of swarm 'shpo' was heard on {server.url}")


def test_without_a_server_it_says_which_one_and_how_to_name_another() -> None:
    command = ["send", "pricer/eu", "Order", "--nats", "nats://user:secret@127.0.0.1:1"]
    done = CliRunner().invoke(covey, command)
    assert done.exit_code == 2
    assert "cannot connect to nats://127.0.0.1:1: the connection was refused" in done.stderr
    assert "--nats or COVEY_NATS_URL" in done.stderr
    assert "secret" not in done.output


def test_a_user_who_may_not_ask_is_told_so_at_once_with_the_subject(tmp_path: Path) -> None:
    config = """authorization { users: [ { user: guest, password: guest, permissions: {
        publish: { deny: "covey.shop.json.>" } } } ] }"""
    with configured_server(tmp_path, config) as secured:
        command = ["send", "pricer/eu", "Order", "--swarm", "shop", "--timeout", "60"]
        login = ["--nats", secured.url(), "--user", "guest", "--password", "guest"]
        done = CliRunner().invoke(covey, command + login)
    assert done.exit_code == 2
    assert "the server refuses covey.shop.json.pricer.eu.Order: publishing to it is denied" in done.stderr


def test_a_user_who_may_have_answers_in_its_own_inbox_only_gives_its_name(tmp_path: Path) -> None:
    config = """authorization { users: [ { user: guest, password: guest, permissions: {
        subscribe: ["_INBOX_guest.>"] } } ] }"""
    with configured_server(tmp_path, config) as secured:
        command = ["send", "pricer/eu", "Order", "--swarm", "shop", "--nats", secured.url("guest:guest")]
        nameless, named = (
            CliRunner().invoke(covey, command),
            CliRunner().invoke(covey, [*command, "--name", "guest"]),
        )
    assert (nameless.exit_code, named.exit_code) == (2, 2)
    assert "say with --name what `covey auth init` calls this client" in nameless.stderr
    assert "swarm 'shop' has no nodes" in named.stderr


def test_a_terminal_gets_it_on_several_lines(server: EmbeddedServer) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "covey.cli.main", "send", "pricer/eu", "Order", ORDER]
    try:
        done = subprocess.run(
            [*command, "--nats", server.url, "--swarm", "shop"],
            stdout=theirs,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        shown = terminal.read(4096).decode().replace("\r\n", "\n")
    assert done.returncode == 0, done.stderr
    assert shown == json.dumps(QUOTE, indent=2) + "\n"
