"""What nodes and clients need of a server, and the subjects on which that is tried."""

from __future__ import annotations

import pytest

from covey.framework.errors import ConfigurationError
from covey.transports.grants import answering_grants, client_grants, node_grants
from covey.transports.subjects import parse_subject

ODD = "n 1.*>"


def test_a_narrowed_grant_is_one_subject_of_it() -> None:
    narrowed = [grant.narrowed("probe") for grant in node_grants("shop", "n1")]
    assert narrowed == [
        *("covey.shop.node.probe.n1", "covey.shop.beacon.n1", "covey.shop.topic.probe"),
        *("covey.shop.node.n1.probe", "covey.shop.beacon.probe", "covey.shop.topic.probe"),
        *("covey.shop.agent.probe.probe", "covey.shop.json.probe.probe.probe", "_INBOX_n1.probe"),
    ]


def test_a_narrowed_subject_is_one_that_covey_knows() -> None:
    for grant in (*node_grants("shop", ODD), *client_grants("shop", ODD)):
        subject = grant.narrowed("probe")
        assert "*" not in subject
        assert ">" not in subject
        if not subject.startswith("_INBOX_"):
            assert parse_subject(subject).swarm == "shop"


def test_an_entry_has_the_queue_group_where_there_is_one() -> None:
    entries = [grant.entry for grant in node_grants("shop", "n1") if grant.queue]
    assert entries == ["covey.shop.agent.*.* covey", "covey.shop.json.*.*.> covey"]


def test_what_is_in_a_nodes_own_name_has_its_name_and_nothing_else_has() -> None:
    for grant in (*node_grants("shop", "n1"), *answering_grants(["web"])):
        assert (grant.about == "name") == ("n1" in grant.subject.replace("_INBOX_", "").split("."))


def test_a_swarm_whose_name_no_subject_can_carry_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the swarm name"):
        node_grants("x" * 257, "n1")
