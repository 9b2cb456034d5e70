"""What nodes and clients need of a server, and the subjects on which that is tried."""

from __future__ import annotations

import pytest

from covey.framework.errors import ConfigurationError
from covey.transports.grants import answering_grants, client_grants, node_grants
from covey.transports.subjects import cluster_pattern, parse_subject, stream_name

ODD = "n 1.*>"
API_CALLS = {
    *("$JS.API.STREAM.INFO", "$JS.API.STREAM.CREATE"),
    *("$JS.API.DIRECT.GET", "$JS.API.CONSUMER.CREATE"),
}


def test_a_narrowed_grant_is_one_subject_of_it() -> None:
    narrowed = [grant.narrowed("probe") for grant in node_grants("shop", "n1")]
    assert narrowed == [
        *("covey.shop.node.probe.n1", "covey.shop.beacon.n1", "covey.shop.topic.probe"),
        *("covey.shop.node.n1.probe", "covey.shop.beacon.probe", "covey.shop.topic.probe"),
        *("covey.shop.agent.probe.probe", "covey.shop.json.probe.probe.probe", "_INBOX_n1.probe"),
        *("covey.shop.cluster.probe", "$JS.API.STREAM.INFO.COVEY_shop", "$JS.API.STREAM.CREATE.COVEY_shop"),
        "$JS.API.DIRECT.GET.COVEY_shop.covey.shop.cluster.probe",
        "$JS.API.CONSUMER.CREATE.COVEY_shop.probe.covey.shop.cluster.probe",
    ]


def test_a_narrowed_subject_is_one_that_covey_knows() -> None:
    for grant in (*node_grants("shop", ODD), *client_grants("shop", ODD)):
        subject = grant.narrowed("probe")
        assert "*" not in subject
        assert ">" not in subject
        if subject.startswith("$JS."):
            call, stream, records = subject.partition(f".{stream_name('shop')}")
            assert call in API_CALLS
            assert stream
            subject = records.removeprefix(".probe").removeprefix(".")
        if subject and not subject.startswith("_INBOX_"):
            assert parse_subject(subject).swarm == "shop"


def test_of_jetstream_a_node_needs_one_stream_of_its_swarm_and_a_client_needs_nothing() -> None:
    of_node = [grant for grant in node_grants("shop", ODD) if grant.subject.startswith("$")]
    assert {grant.subject.split(".COVEY_")[0] for grant in of_node} == API_CALLS
    for grant in of_node:
        tokens = grant.subject.split(".")
        assert (grant.action, tokens.count("COVEY_shop")) == ("publish", 1)
        assert ">" not in tokens or grant.subject.endswith(f".{cluster_pattern('shop')}")
    assert [grant for grant in client_grants("shop", ODD) if grant.subject.startswith("$")] == []


def test_an_entry_has_the_queue_group_where_there_is_one() -> None:
    entries = [grant.entry for grant in node_grants("shop", "n1") if grant.queue]
    assert entries == ["covey.shop.agent.*.* covey", "covey.shop.json.*.*.> covey"]


def test_what_is_in_a_nodes_own_name_has_its_name_and_nothing_else_has() -> None:
    for grant in (*node_grants("shop", "n1"), *answering_grants(["web"])):
        assert (grant.about == "name") == ("n1" in grant.subject.replace("_INBOX_", "").split("."))


def test_a_swarm_whose_name_no_subject_can_carry_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the swarm name"):
        node_grants("x" * 257, "n1")
