"""Orders of the runtime from nodes that make no sense: whatever they say, the node goes on.

What an order does is not accounted for here (a valid one may stop an agent): only that nothing breaks,
nothing is made that no node hosts, and nothing is left behind.
"""

from __future__ import annotations

import os
import threading
from functools import partial
from random import Random

from covey.framework.cluster.json_request import JsonRequest
from covey.framework.cluster.outbound import STOP_TYPE, WATCH_TYPE
from covey.framework.linking import LinkRequest
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Envelope
from covey.framework.supervision.orders import ChildOrder, ChildReport, TravellingChild, TravellingValue
from covey.framework.supervision.survey import TreeRequest
from tests.fuzz.mutation import mutated
from tests.fuzz.samples import FAR, NOWHERE, SOURCES, Samples
from tests.fuzz.tables import grown
from tests.fuzz.victim import Input, Victim, victim

INPUTS = int(os.environ.get("COVEY_FUZZ_INPUTS", "200000")) // 20
SEED = int(os.environ.get("COVEY_FUZZ_SEED", "5"))
BATCH = 100
NUMBERS = (0, 1, 2, 3, -1, 2**31, 2**62, 2**63 - 1, -(2**63))
WORDS = ("", "start", "halt", "end", "up", "down", "ended", "permanent", "temporary", "x" * 300, "ü")
TARGETS = tuple(f"near/order{number}" for number in range(5))


def test_orders_that_make_no_sense_break_nothing_and_leave_nothing_behind() -> None:
    random = Random(SEED)
    with victim() as it:
        samples = Samples(random, it.epoch_of)
        while it.inputs < INPUTS:
            envelopes = [order(random) for _ in range(BATCH)]
            envelopes = [mutated(random, it, envelopes) if random.random() < 0.4 else it for it in envelopes]
            it.run([given(it, samples, random.choice(SOURCES), [envelope]) for envelope in envelopes])
            it.pass_time(0.3)
            assert not it.log.errors, it.log.errors[0]
            it.still_serves()
        kinds = {cell.address.kind for cell in it.node.directory.cells}
        assert kinds <= {"near", "listener"}
        assert it.node.dead_letters.counts["undecodable"] > INPUTS / 20
        assert not grown(it.node), "tables that grow with what strangers send"
        assert it.node.inbound.asks_in_hand < 100, "asks that nobody will answer"
        assert threading.active_count() < 40


def given(it: Victim, samples: Samples, source: str, envelopes: list[bytes]) -> Input:
    frame = samples.frame(source, envelopes, is_odd=False)
    return partial(it.node.on_frame, source, frame)


def order(random: Random) -> bytes:
    target = random.choice((*TARGETS, *FAR, "node/a") if random.random() < 0.9 else NOWHERE)
    sender = random.choice(("", *TARGETS, *FAR, "ghost/0") if random.random() < 0.9 else NOWHERE)
    type_name, payload = random.choice(
        ((STOP_TYPE, b""), (WATCH_TYPE, b""), *(made(random) for _ in range(5)))
    )
    return Envelope(
        kind=Envelope.ASK if random.random() < 0.9 else Envelope.TELL,
        message_id=random.getrandbits(20),
        type=type_name,
        target=target,
        sender=sender,
        payload=payload,
        remaining_ms=random.choice((0, 1, 1000, 2**32 - 1)),
        reply_to=random.choice(("", *SOURCES)),
    ).SerializeToString()


def made(random: Random) -> tuple[str, bytes]:
    number, word = (lambda: random.choice(NUMBERS)), (lambda: random.choice(WORDS))
    pick = random.random()
    if pick < 0.15:
        return codec.encode(LinkRequest(both=random.random() < 0.5))
    if pick < 0.25:
        return codec.encode(TreeRequest(most_children=number()))
    if pick < 0.4:
        body = random.choice((b"{}", b'{"number": 1}', b"[" * 5000, b"\xff"))
        name = random.choice(("Count", "fuzz.Tree", "no.such.Type", ""))
        return codec.encode(JsonRequest(type=name, json=body, wants_answer=random.random() < 0.5))
    if pick < 0.6:
        report = ChildReport(
            what=word(),
            supervisor=word(),
            address=random.choice((*TARGETS, *NOWHERE)),
            number=number(),
            order=number(),
            epoch=number(),
            verdict=word(),
            failure=random.randbytes(5),
            restarts=number(),
        )
        return codec.encode(report)
    values = [TravellingValue(), TravellingValue(name=word(), text=word()), TravellingValue(integer=number())]
    values += [
        TravellingValue(type_name="fuzz.Count", payload=b"\xff"),
        TravellingValue(type_name="os.system"),
    ]
    child = TravellingChild(
        kind=random.choice(
            ("near", "near", "near", "far", "nobody", "", "os:system", "tests.fuzz.agents:Far")
        ),
        key=random.choice(("order0", "order1", "child", "", "k" * 300)),
        values=random.sample(values, random.choice((0, 0, 1, 2))),
        restart=random.choice(("permanent", "transient", word())),
        shutdown_s=random.choice((0.0, 1.0, -1.0, float("nan"), float("inf"), 1e300)),
        preserve_state=random.random() < 0.5,
        errors=[word() for _ in range(random.randint(0, 2))],
        verdicts=[word() for _ in range(random.randint(0, 2))],
    )
    order = ChildOrder(
        what=random.choice(("start", "start", "halt", "end", word())),
        supervisor=word(),
        number=number(),
        epoch=random.choice((1, 1, 1, *NUMBERS)),
        child=child,
        cause=word(),
        restarts=number(),
    )
    return codec.encode(order)
