"""`examples/javascript`, a client that knows docs/wire.md only, against a real node and server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from covey.transports import EmbeddedServer
from tests.conformance.swarms import ROOT, node_process, until_any_node_finds
from tests.docs.markdown import blocks_of

CLIENT = ROOT / "examples" / "javascript"
SCENARIO = Path(__file__).with_name("javascript_scenario.mjs")
STRANGE = 'syntax = "proto3"; package strange; message Thing { int64 size = 1; }'
INSTALL_S, RUN_S = 60, 40
NO_REGISTRY = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONN\w+|ENETUNREACH|ETIMEDOUT|ENOTCACHED|E40[13]|E5\d\d")


class Shop(NamedTuple):
    """A folder with the client and all that it needs, and where a shop's node is to be found."""

    folder: Path
    url: str

    def run(self, script: str) -> str:
        """What the script prints."""
        done = subprocess.run(
            ["node", script],
            cwd=self.folder,
            env={**os.environ, "NATS_URL": self.url},
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("javascript")
    for source in (*CLIENT.glob("*.mjs"), CLIENT / "package.json", SCENARIO):
        shutil.copy(source, folder)
    assert request.config.cache is not None
    install(folder, cache=request.config.cache.mkdir("npm"))
    (folder / "strange.proto").write_text(STRANGE)
    covey("proto", "envelope", "--output", str(folder / "envelope.proto"))
    covey("proto", "export", "examples.quotes", "--output", str(folder / "quotes.proto"))
    covey("proto", "export", "tests.conformance.shared_messages", "--output", str(folder / "far.proto"))
    with (
        EmbeddedServer() as server,
        node_process(folder, "examples.quotes", "--nats", server.url, "--swarm", "shop") as node,
        # A second one, which knows other messages: each passes on what it takes for the other.
        node_process(folder, "tests.conformance.far_agents:Far", "--nats", server.url, "--swarm", "shop"),
    ):
        assert "hosts pricer" in node.line
        until_any_node_finds(server.url, "shop", "pricer/eu", "far/a")
        yield Shop(folder, server.url)


def install(folder: Path, cache: Path) -> None:
    """`npm install`, within a minute; skips where that cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("the JavaScript client needs node and npm")
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")
    patience = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=20000")
    command = ["npm", "install", *quiet, *patience, f"--cache={cache}"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm has not installed the package nats within {INSTALL_S} s")
    if done.returncode and NO_REGISTRY.search(done.stderr):
        pytest.skip(f"npm has no registry to install the package nats from: {done.stderr[:200]}")
    assert done.returncode == 0, done.stderr


def covey(*arguments: str) -> None:
    command = [sys.executable, "-m", "covey.cli.main", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def seen(shop: Shop) -> dict[str, Any]:
    """What the scenario has seen; it runs once."""
    found = json.loads(shop.run(SCENARIO.name))
    assert isinstance(found, dict)
    return found


def test_an_ask_is_answered(seen: dict[str, Any]) -> None:
    assert seen["answer"] == {"sku": "tea", "price": 7.5, "seller": "pricer/eu"}


def test_a_key_of_odd_characters_is_escaped_as_in_python(seen: dict[str, Any]) -> None:
    from covey.framework.address import escape_token

    assert seen["escaped"] == escape_token("Zürich/1.*> %_-")
    assert seen["oddKey"]["seller"] == "pricer/Zürich/1.*> %"


def test_an_agent_that_answers_nothing_answers_null(seen: dict[str, Any]) -> None:
    assert seen["nothing"] is None


def test_a_tell_arrives(seen: dict[str, Any]) -> None:
    assert seen["afterTell"] == 15


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        ("rejected", "Reject", "there is no price for 'gold'"),
        ("unhandled", "UnhandledMessageError", "pricer/eu has no handler for quotes.Quote"),
        ("unknownType", "UndecodableError", "strange.Thing"),
        ("unknownKind", "NoHostError", "'nobody'"),
        ("crashed", "KeyError", "out of paper"),
        ("tooLate", "AskTimeoutError", "far/b within 0.1 s"),  # says the node; the client says 100 ms
        ("noSwarm", "NoHostError", "covey.no%20where.agent.*.*"),
    ],
)
def test_a_failure_is_an_error_with_its_type_and_text(
    seen: dict[str, Any], ask: str, error: str, text: str
) -> None:
    assert seen[ask]["type"] == error
    assert text in seen[ask]["text"]


def test_a_field_that_the_message_has_not_is_an_error_before_anything_is_sent(seen: dict[str, Any]) -> None:
    assert seen["unknownField"] == {"name": "TypeError", "text": "quotes.Order has no field skew"}


def test_what_it_publishes_reaches_an_agent_that_subscribes(seen: dict[str, Any]) -> None:
    assert seen["afterPublishing"] == 100


def test_it_hears_what_an_agent_publishes(seen: dict[str, Any]) -> None:
    assert seen["heard"] == {
        "fields": {"sku": "milk", "price": 2, "seller": "pricer/us"},
        "about": {"type": "quotes.Quote", "sender": "pricer/us", "topic": "quotes.given"},
    }


def test_the_example_prints_what_its_page_says(tmp_path: Path, shop: Shop) -> None:
    (promised,) = (block.code for block in blocks_of(CLIENT / "README.md") if block.language == "text")
    with (
        EmbeddedServer() as server,
        node_process(tmp_path, "examples.quotes", "--nats", server.url, "--swarm", "shop"),
    ):
        printed = Shop(shop.folder, server.url).run("ask.mjs")
    assert sorted(printed.splitlines()) == sorted(promised.splitlines())
