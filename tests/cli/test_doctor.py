"""`covey doctor`: what it prints and how it ends, with real servers."""

from __future__ import annotations

import io
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
from rich.console import Console

from covey.cli.findings_view import draw
from covey.cli.main import covey
from covey.transports import EmbeddedServer
from covey.transports.diagnosis import Finding, Verdict
from tests.transports.configured_server import configured_server

PLAIN = {"NO_COLOR": "", "COVEY_NODE_NAME": ""}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no node is to be heard, beacons need no waiting for."""
    monkeypatch.setattr("covey.transports.diagnosis.examination.LISTEN_S", 0.0)


def doctor(url: str, *arguments: str, **environment: str) -> Result:
    command = ["doctor", "--nats", url, "--swarm", "shop", *arguments]
    return CliRunner().invoke(covey, command, env={**PLAIN, **environment})


def line(result: Result, check: str) -> str:
    """The first line of a check, mark and name included, with single spaces."""
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    return next(line for line in lines if line[2:].startswith(f"{check} "))


def test_a_healthy_server_gets_a_line_for_each_check_and_status_0(server: EmbeddedServer) -> None:
    done = doctor(server.url, "--name", "n1")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"swarm shop on {server.url} as n1"
    assert line(done, "server") == "✓ server nats-server 2.15.1"
    assert line(done, "permissions") == "✓ permissions all 14 that were tried are granted to node n1"
    assert re.match(r". latency p50 [\d.]+ m?s, p99 [\d.]+ m?s over 100 requests", line(done, "latency"))
    assert re.fullmatch(r"11 checks · 1[01] ok.*", lines[-1])  # latency depends on the machine
    assert lines[-3:-1] == ["                 → start one: covey node MODULE --swarm shop", ""]


@pytest.mark.usefixtures("hasty")
def test_json_has_the_findings_and_the_figures(server: EmbeddedServer) -> None:
    done = doctor(server.url, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["server"] == server.url
    findings = {finding["check"]: finding for finding in found["findings"]}
    assert findings["headers"] == {"check": "headers", "verdict": "ok", "seen": "supported", "fix": ""}
    assert found["facts"]["max_payload_bytes"] == 1 << 20
    assert found["facts"]["round_trips"]["count"] == 100
    assert found["facts"]["connection"]["is_loopback"] is True


@pytest.mark.usefixtures("hasty")
def test_warnings_alone_are_status_0(tmp_path: Path) -> None:
    with configured_server(tmp_path, "max_payload: 4KB") as secured:
        done = doctor(secured.url())
    assert done.exit_code == 0
    assert line(done, "max_payload").startswith("! max_payload 4 KiB:")
    assert "→ set max_payload: 1MB on the server" in done.stdout
    assert re.search(r"\d warnings?$", done.stdout.splitlines()[-1])


@pytest.mark.usefixtures("hasty")
def test_a_failure_is_status_1_and_names_the_subject_and_the_grant(tmp_path: Path) -> None:
    config = """authorization { users: [ { user: ann, password: x, permissions: {
        publish: { deny: "covey.shop.beacon.n1" } } } ] }"""
    with configured_server(tmp_path, config) as secured:
        login = ["--user", "ann", "--name", "n1"]
        done = doctor(secured.url(), *login, COVEY_NATS_PASSWORD="x")
        in_json = doctor(secured.url(), *login, "--json", COVEY_NATS_PASSWORD="x")
    assert (done.exit_code, in_json.exit_code) == (1, 1)
    assert line(done, "permissions") == (
        "✗ permissions node n1 may not publish covey.shop.beacon.n1: no other node knows of it"
    )
    assert '→ let its user publish "covey.shop.beacon.n1"' in done.stdout
    assert line(done, "login") == "✓ login accepted: user ann with a password"
    assert done.stdout.splitlines()[-1].endswith(" · 1 failure")


def test_the_keys_of_auth_init_pass_as_a_node_and_are_told_apart_as_a_client(tmp_path: Path) -> None:
    init = ["auth", "init", "--swarm", "shop", "--node", "n1", "--client", "web", "--out", str(tmp_path)]
    assert CliRunner().invoke(covey, init).exit_code == 0
    with configured_server(tmp_path, (tmp_path / "nats-server.conf").read_text()) as secured:
        url, as_node, as_client = (
            secured.url(),
            ["--nkey", f"{tmp_path}/n1.nk"],
            ["--nkey", f"{tmp_path}/web.nk"],
        )
        node = doctor(url, *as_node, "--client", "web", COVEY_NODE_NAME="n1")
        client = doctor(url, *as_client, "--name", "web")
        nameless = doctor(url, *as_node)
        stranger = doctor(url)
    assert node.exit_code == 0, node.output
    assert line(node, "permissions") == "✓ permissions all 15 that were tried are granted to node n1"
    assert client.exit_code == 0
    assert line(client, "permissions").startswith("! permissions web is a client, which has an inbox")
    assert nameless.exit_code == 1
    assert "→ say with --name whose login this is" in nameless.stdout
    assert (stranger.exit_code, stranger.stdout) == (2, "")
    assert "the server refused our credentials" in stranger.stderr


def test_without_a_server_it_says_which_one_and_how_to_name_another() -> None:
    done = doctor("nats://user:secret@127.0.0.1:1")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "cannot connect to nats://127.0.0.1:1: the connection was refused" in done.stderr
    assert "--nats or COVEY_NATS_URL" in done.stderr
    assert "secret" not in done.output


@pytest.mark.usefixtures("hasty")
def test_a_monitoring_endpoint_that_cannot_be_read_is_a_failure(server: EmbeddedServer) -> None:
    done = doctor(server.url, "--monitor", "127.0.0.1:1")
    assert done.exit_code == 1
    assert line(done, "monitor") == "✗ monitor http://127.0.0.1:1 cannot be read: Connection refused"
    done = doctor(server.url, "--monitor", "gopher://h")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "'gopher://h' is no URL of a server's monitoring" in done.stderr


def test_a_pipe_gets_no_colours_no_blanks_and_nothing_but_ascii_where_its_encoding_is_that(
    server: EmbeddedServer,
) -> None:
    command = [sys.executable, "-m", "covey.cli.main", "doctor", "--swarm", "Zürich"]
    environment = {**os.environ, "COVEY_NATS_URL": server.url, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode("ascii")
    assert "\x1b" not in text
    assert text.startswith("swarm Z\\xfcrich on ")
    assert "\n+ headers        supported\n" in text
    assert "> start one: covey node MODULE --swarm Z\\xfcrich\n" in text
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    assert max(map(len, text.splitlines())) <= 120


def test_a_terminal_gets_colours_and_as_many_columns_as_it_has(server: EmbeddedServer) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "covey.cli.main", "doctor", "--nats", server.url]
    try:
        done = subprocess.run(
            command, stdout=theirs, stderr=subprocess.PIPE, env=environment, timeout=60, check=False
        )
    finally:
        os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        shown = terminal.read(16_384).decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "\x1b[32m✓\x1b[0m headers" in shown
    bare = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert 50 < max(len(line) for line in bare.splitlines()) <= 60


# -- what it looks like ----------------------------------------------------------------------------


def picture(*findings: Finding) -> list[str]:
    console = Console(width=60, highlight=False, file=io.StringIO(), record=True)
    console.print(draw("swarm s", findings))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_findings_stand_in_columns_and_wrap_within_them_with_what_to_do_below() -> None:
    assert picture(
        Finding("server", Verdict.OK, "nats-server 2.15.1"),
        Finding("max_payload", Verdict.WARNING, "4 KiB: nothing larger travels in one piece", "raise it"),
        Finding("headers", Verdict.FAILURE, "no", "take no_header_support out of the configuration"),
        Finding("clock", Verdict.SKIPPED, "nobody tells it"),
        Finding("nodes", Verdict.WARNING, "x"),
    ) == [
        "swarm s",
        "",
        "✓ server       nats-server 2.15.1",
        "! max_payload  4 KiB: nothing larger travels in one piece",
        "               → raise it",
        "✗ headers      no",
        "               → take no_header_support out of the",
        "                 configuration",
        "- clock        nobody tells it",
        "! nodes        x",
        "",
        "5 checks · 1 ok · 2 warnings · 1 failure · 1 skipped",
    ]


def test_what_a_server_says_cannot_draw_on_the_terminal() -> None:
    (drawn,) = picture(Finding("server", Verdict.OK, "nats-server \x1b[31m\n2\a"))[2:3]
    assert drawn == "✓ server  nats-server [31m 2"
