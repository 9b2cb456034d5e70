"""`covey auth init`: what it writes and says, and a swarm that runs on it with a real server."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from covey import (
    Agent,
    Child,
    PermissionDeniedError,
    Supervisor,
    Swarm,
    TransportError,
    handles,
    message,
    subscribes,
)
from covey.cli.main import covey
from covey.framework.cluster.tenancy import Tenancy
from covey.transports import find_server_binary
from covey.transports.nats_keys import new_user_key
from tests.conformance.swarms import until


@message(name="auth.Order")
class Order:
    sku: str


@message(name="auth.Quote")
class Quote:
    price: float


class Pricer(Agent):
    heard: list[str] = []

    @subscribes("orders.*")
    def note(self, order: Order) -> None:
        self.heard.append(order.sku)

    @handles
    def quote(self, order: Order) -> Quote:
        return Quote(price=float(len(order.sku)))


def init(*arguments: str) -> Result:
    return CliRunner().invoke(covey, ["auth", "init", *arguments])


def made(directory: Path, *arguments: str) -> Result:
    result = init(*arguments, "--out", str(directory))
    assert result.exit_code == 0, result.output
    return result


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_it_writes_a_configuration_and_a_key_for_each_name(tmp_path: Path) -> None:
    result = made(tmp_path / "auth", "--swarm", "shop", "--node", "n1", "--node", "n2", "--client", "c1")
    files = contents(tmp_path / "auth")
    assert sorted(files) == ["c1.nk", "n1.nk", "n2.nk", "nats-server.conf"]
    seeds = [files[f"{name}.nk"] for name in ("n1", "n2", "c1")]
    assert [bool(re.fullmatch(r"SU[A-Z2-7]{56}\n", seed)) for seed in seeds] == [True] * 3
    assert len(set(seeds)) == 3
    for seed in seeds:
        assert seed.strip() not in files["nats-server.conf"] + result.output


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        made(tmp_path / "auth", "--node", "n1")
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "auth").iterdir()}
    assert modes == {"n1.nk": 0o600, "nats-server.conf": 0o600}
    assert stat.S_IMODE((tmp_path / "auth").stat().st_mode) == 0o700


def test_what_is_there_stays_unless_force_or_keep_is_given(tmp_path: Path) -> None:
    made(tmp_path, "--node", "n1")
    before = contents(tmp_path)
    result = init("--node", "n1", "--node", "n2", "--out", str(tmp_path))
    assert result.exit_code == 2
    assert f"error: {tmp_path} has nats-server.conf, n1.nk already" in result.stderr
    assert contents(tmp_path) == before

    made(tmp_path, "--node", "n1", "--node", "n2", "--keep")
    kept = contents(tmp_path)
    assert kept["n1.nk"] == before["n1.nk"]
    assert kept["nats-server.conf"].count("nkey:") == 2

    made(tmp_path, "--node", "n1", "--force")
    assert contents(tmp_path)["n1.nk"] != before["n1.nk"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name the nodes of the swarm: --node n1 --node n2"),
        (["--node", "n1", "--client", "n1"], "two of the nodes and clients have the same name"),
        (["--node", "n1", "--node", "N1"], "two of the nodes and clients have the same name"),
        (["--node", ""], "the name of a node or client"),
        (["--node", "x" * 250], "is too long for a file"),
        (["--node", "n1", "--swarm", "x" * 257], "the swarm name"),
        (["--node", "n1", "--force", "--keep"], "give --keep or --force, not both"),
    ],
)
def test_names_that_cannot_be_are_one_clear_error(arguments: list[str], words: str, tmp_path: Path) -> None:
    result = init(*arguments, "--out", str(tmp_path / "auth"))
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "auth").exists()


def test_a_directory_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = init("--node", "n1", "--out", str(tmp_path / "file" / "auth"))
    assert result.exit_code == 2
    assert f"error: cannot write {tmp_path / 'file'}" in result.stderr


def test_a_key_that_is_damaged_is_not_kept(tmp_path: Path) -> None:
    made(tmp_path, "--node", "n1")
    (tmp_path / "n1.nk").write_text("SUNO")
    result = init("--node", "n1", "--keep", "--out", str(tmp_path))
    assert result.exit_code == 2
    assert f"--keep: {tmp_path / 'n1.nk'} holds no seed" in result.stderr


def test_the_commands_that_it_prints_are_commands(tmp_path: Path) -> None:
    result = made(tmp_path / "a b", "--swarm", "my shop", "--node", "n/1", "--client", "c'1")
    commands = [shlex.split(line) for line in result.stdout.splitlines() if line.startswith("  ")]
    configuration, (seed, client_seed) = commands[0][2], (words[-1] for words in commands[1:])
    assert commands[0][:2] == ["nats-server", "-c"]
    assert commands[0][3:] == ["-js", "-sd", str(tmp_path / "a b" / "jetstream")]
    assert Path(configuration).exists()
    assert Path(seed).exists()
    assert Path(client_seed).exists()
    for words in commands[1:]:
        assert words[0] == "covey"
        name = words[1]
        command = covey.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        command.make_context(name, words[2:])
        assert words[words.index("--swarm") :][:2] == ["--swarm", "my shop"]


# -- a swarm on it ---------------------------------------------------------------------------------

SWARM, ONE, TWO, THIRD, DESK = "my.shop", "n 1", "n2", "n3", "desk"


@contextmanager
def server_of(directory: Path, *, jetstream: bool = True) -> Iterator[tuple[str, Callable[[], None]]]:
    """The configuration as it was written, on a free port of loopback, and what makes it read it again."""
    ports = directory / "ports"
    ports.mkdir()
    arguments: list[str | Path] = ["-c", directory / "nats-server.conf", "-a", "127.0.0.1", "-p", "-1"]
    if jetstream:
        arguments += ["-js", "-sd", directory / "jetstream"]
    process = subprocess.Popen(
        [find_server_binary(), *arguments, "--ports_file_dir", ports, "-l", directory / "log"],
        start_new_session=True,
    )
    try:
        url = _url(ports / f"nats-server_{process.pid}.ports", time.monotonic() + 5.0)
        yield url, lambda: process.send_signal(signal.SIGHUP)
    finally:
        process.terminate()
        process.wait(5.0)


def _url(ports: Path, deadline: float) -> str:
    while time.monotonic() < deadline:
        try:
            return str(json.loads(ports.read_bytes())["nats"][0])
        except (FileNotFoundError, ValueError):
            time.sleep(0.005)
    raise AssertionError("no nats-server after 5 s")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("auth")
    nodes = [word for name in (ONE, TWO, THIRD, DESK) for word in ("--node", name)]
    made(directory, "--swarm", SWARM, *nodes, "--client", "c1")
    return directory


@pytest.fixture(scope="module")
def url(keys: Path) -> Iterator[str]:
    with server_of(keys) as (url, _reload):
        yield url


def node(url: str, keys: Path, name: str, key: str | None = None) -> Swarm:
    seed = keys / (key or f"{name.replace(' ', '%20')}.nk")
    return Swarm.connect(url, name=SWARM, node=name, hosts=[Pricer], nkey=seed, trace_ratio=0.0)


@pytest.fixture(scope="module")
def swarms(url: str, keys: Path) -> Iterator[tuple[Swarm, Swarm]]:
    with node(url, keys, ONE) as one, node(url, keys, TWO) as two:
        assert one.wait_for_nodes(2)
        assert two.wait_for_nodes(2)
        yield one, two


def test_nodes_with_their_keys_ask_each_others_agents(swarms: tuple[Swarm, Swarm]) -> None:
    for swarm in swarms:
        answers = [swarm.agent(Pricer, str(key)).ask(Order(sku="tea"), timeout=5).get() for key in range(8)]
        assert {answer.price for answer in answers} == {3.0}
    assert all(swarm.agents(Pricer) for swarm in swarms)  # each has some of the 8, so asks went to the other


def tenancy(swarm: Swarm) -> Tenancy:
    assert swarm._running is not None
    return swarm._running.tenancy


def test_nodes_with_their_keys_hold_leases_by_which_the_others_judge_them(
    swarms: tuple[Swarm, Swarm], url: str, keys: Path
) -> None:
    one, two = map(tenancy, swarms)
    until(lambda: one.judges(TWO) and two.judges(ONE), what="the leases")
    with node(url, keys, THIRD) as third:
        until(lambda: one.judges(THIRD) and two.judges(THIRD), what="the lease of the third")
        until(lambda: tenancy(third).judges(ONE) and tenancy(third).judges(TWO), what="those of the first")
        asks = [third.agent(Pricer, f"leased {key}").ask(Order(sku="tea"), timeout=5) for key in range(8)]
        assert {ask.get().price for ask in asks} == {3.0}
    until(lambda: one.is_over(THIRD) and two.is_over(THIRD), what="the end of that lease")
    assert one.judges(TWO)
    assert two.judges(ONE)


def test_without_jetstream_nodes_with_their_keys_hold_no_leases(tmp_path: Path) -> None:
    made(tmp_path, "--swarm", SWARM, "--node", ONE, "--node", TWO)
    with (
        server_of(tmp_path, jetstream=False) as (url, _reload),
        node(url, tmp_path, ONE) as one,
        node(url, tmp_path, TWO) as two,
    ):
        assert one.wait_for_nodes(2)
        assert two.wait_for_nodes(2)
        assert not tenancy(one).has_leases
        asks = [one.agent(Pricer, str(key)).ask(Order(sku="tea"), timeout=5) for key in range(8)]
        assert {ask.get().price for ask in asks} == {3.0}
        assert one.agents(Pricer)
        assert two.agents(Pricer)


def test_a_node_that_may_write_no_lease_is_refused_with_the_subject(tmp_path: Path) -> None:
    made(tmp_path, "--swarm", SWARM, "--node", ONE)
    configuration = tmp_path / "nats-server.conf"
    granted = '"covey.my%2Eshop.cluster.>"'
    text = configuration.read_text()
    assert text.count(granted) == 1
    configuration.write_text(text.replace(granted, '"covey.nobodys.cluster.>"'))
    with server_of(tmp_path) as (url, _reload):
        swarm = node(url, tmp_path, ONE)
        with pytest.raises(
            PermissionDeniedError, match=r"the server refuses covey\.my%2Eshop\.cluster"
        ) as raised:
            swarm.start()
    assert raised.value.subject == "covey.my%2Eshop.cluster.probe.n%201"
    assert "check the user's permissions" in str(raised.value)


def test_nodes_with_their_keys_hear_topics_and_supervise_children_on_each_other(
    swarms: tuple[Swarm, Swarm],
) -> None:
    one, two = swarms
    one.supervise(Supervisor([Child(Pricer, "far", node=TWO)], name="shop"))
    until(lambda: any(info.address == "pricer/far" for info in two.agents(Pricer)), what="the child")
    one.publish("orders.new", Order(sku="far"))
    until(lambda: "far" in Pricer.heard, what="the publication")


def test_a_client_with_its_key_asks_an_agent_in_json(
    swarms: tuple[Swarm, Swarm], url: str, keys: Path
) -> None:
    arguments = ["--nats", url, "--swarm", SWARM, "--nkey", str(keys / "c1.nk"), "--name", "c1"]
    done = CliRunner().invoke(covey, ["send", "pricer/eu", "auth.Order", '{"sku": "milk"}', *arguments])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["price"] == 4.0


def test_a_node_with_the_key_of_another_is_refused_by_name(
    swarms: tuple[Swarm, Swarm], url: str, keys: Path
) -> None:
    with pytest.raises(PermissionDeniedError) as raised, node(url, keys, "n4", "n2.nk"):
        pass
    assert raised.value.subject == "covey.my%2Eshop.node.n4.*"
    assert "check the user's permissions" in str(raised.value)


def test_a_client_cannot_be_a_node(url: str, keys: Path) -> None:
    with pytest.raises(PermissionDeniedError, match=r"the server refuses covey\.my%2Eshop\."):
        node(url, keys, "c1", "c1.nk").start()


def test_an_unknown_key_is_refused(url: str, keys: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.nk"
    stranger.write_text(new_user_key().seed)
    swarm = Swarm.connect(url, name=SWARM, node=THIRD, nkey=stranger, trace_ratio=0.0)
    with pytest.raises(TransportError, match="the server refused our credentials"):
        swarm.start()


def test_covey_node_and_covey_ps_run_with_keys(
    swarms: tuple[Swarm, Swarm], url: str, keys: Path, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(
        "from covey import Agent, handles, message\nclass Courier(Agent): ...\n"
    )
    login = ["--nats", url, "--swarm", SWARM]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "covey.cli.main", "node", "shop", *login),
                *("--name", THIRD, "--nkey", str(keys / "n3.nk")),
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith(f"node {THIRD} "), (tmp_path / "log").read_text()
        done = CliRunner().invoke(covey, ["ps", *login, "--name", DESK, "--nkey", str(keys / "desk.nk")])
        assert done.exit_code == 0, done.output
        assert {THIRD, TWO} <= set(done.stdout.split())
    finally:
        process.terminate()
        process.wait(15)
        process.stdout.close()
    assert "denied" not in (tmp_path / "log").read_text()


def test_no_node_was_refused_anything_that_nodes_do(swarms: tuple[Swarm, Swarm], keys: Path) -> None:
    log = (keys / "log").read_text()
    violations = [line for line in log.splitlines() if "Violation" in line]
    assert len(violations) > 1  # those of the tests above, which are no nodes of theirs
    assert [line for line in violations if ':n4"' not in line and ':c1"' not in line] == []


def test_a_key_that_was_replaced_lets_nobody_in_any_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "covey.node")
    names = ["--swarm", SWARM, "--node", ONE, "--node", TWO]
    made(tmp_path, *names)
    old = tmp_path / "old.nk"
    with server_of(tmp_path) as (url, reload):
        with node(url, tmp_path, TWO) as two, node(url, tmp_path, ONE) as one:
            assert two.wait_for_nodes(2)
            (tmp_path / "n2.nk").rename(old)
            made(tmp_path, *names, "--keep")
            reload()
            # The server ends the connection of the old key, and node n2 comes back with the new one.
            until(lambda: "authentication error" in (tmp_path / "log").read_text(), what="the refusal")
            until(lambda: "node n2: link up" in caplog.text, what="the new connection of n2")
            for swarm in (one, two):
                keys = [str(key) for key in range(8)]
                asks = [swarm.agent(Pricer, key).ask(Order(sku="tea"), timeout=20) for key in keys]
                assert {ask.get().price for ask in asks} == {3.0}
        with pytest.raises(TransportError, match="refused our credentials"):
            node(url, tmp_path, TWO, "old.nk").start()
