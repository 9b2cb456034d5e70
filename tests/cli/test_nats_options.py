"""The options of all commands that talk to a NATS server."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from covey.cli.main import covey
from covey.cli.nats_options import NatsServer, nats_options

LOGIN_VARIABLES = ("URL", "USER", "PASSWORD", "TOKEN", "NKEY", "CREDENTIALS", "TLS", "TLS_CA")


@click.command()
@nats_options
@click.option("--other", default="x")
@click.pass_obj
def command(seen: list[NatsServer], server: NatsServer, other: str) -> None:
    assert other == "x"
    seen.append(server)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOGIN_VARIABLES:
        monkeypatch.delenv(f"COVEY_NATS_{name}", raising=False)


def given(*arguments: str) -> NatsServer:
    seen: list[NatsServer] = []
    result = CliRunner().invoke(command, arguments, obj=seen)
    assert result.exit_code == 0, result.output
    return seen[0]


def test_without_options_it_is_the_local_server_and_no_login() -> None:
    server = given()
    assert (server.url, server.login, server.is_given) == ("nats://127.0.0.1:4222", {}, False)


def test_the_environment_names_the_server_unless_an_option_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_NATS_URL", "nats://a:1")
    assert (given().url, given().is_given) == ("nats://a:1", False)
    server = given("--nats", "nats://b:2")
    assert (server.url, server.is_given) == ("nats://b:2", True)


def test_every_option_arrives_under_the_name_that_connect_has_for_it() -> None:
    flags = ["--user", "--password", "--token", "--nkey"]
    flags += ["--tls-ca", "--tls-cert", "--tls-key", "--tls-hostname"]
    names = {flag: flag.removeprefix("--").replace("-", "_") for flag in flags}
    names["--creds"] = "credentials"
    arguments = [word for flag in names for word in (flag, f"of {flag}")]
    assert given(*arguments, "--tls").login == {
        **{name: f"of {flag}" for flag, name in names.items()},
        "tls": True,
    }


def test_what_is_shown_has_no_secret() -> None:
    server = given("--nats", "nats://ann:hunter2@b:2", "--token", "hunter3")
    assert server.shown == "nats://b:2"
    assert "hunter" not in repr(server)


def test_the_login_is_checked_with_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_NATS_PASSWORD", "x")
    login = given("--user", "ann").checked_login()
    assert (login.user, login.password) == ("ann", "x")


@pytest.mark.parametrize("name", ["node", "ps", "send", "doctor"])
def test_every_command_that_connects_takes_them(name: str) -> None:
    help_text = CliRunner().invoke(covey, [name, "--help"]).output
    for flag in ("--nats", "--user", "--password", "--token", "--nkey", "--creds", "--tls ", "--tls-ca"):
        assert flag in help_text
    assert "COVEY_NATS_PASSWORD" in help_text


def run_ps(*arguments: str) -> Result:
    return CliRunner().invoke(covey, ["ps", *arguments])


def test_an_error_in_the_login_is_one_line_without_the_secret() -> None:
    for arguments in (
        ["--password", "hunter2"],
        ["--user", "a", "--password", "hunter2", "--token", "hunter2"],
    ):
        result = run_ps(*arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert "hunter2" not in result.output


def test_an_embedded_server_takes_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(covey, ["node", "shop", "--embedded", "--token", "x"])
    assert result.exit_code == 2
    assert "give --nats URL and how to log in, or --embedded, not both" in result.stderr


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    result = run_ps("--nkey", f"{tmp_path}/none.nk")
    assert f"error: nkey: {tmp_path}/none.nk cannot be read: No such file or directory" in result.stderr
