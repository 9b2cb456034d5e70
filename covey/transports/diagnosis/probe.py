"""A connection that tells of each thing it does whether the server lets it, and is heard by nobody."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from covey.framework.errors import PermissionDeniedError, TransportError
from covey.transports.nats_arrivals import Deliver, Listening, inbox_prefix
from covey.transports.nats_client import FrameClient
from covey.transports.nats_errors import is_link_trouble, redacted, reported_error
from covey.transports.nats_login import NatsLogin

__all__ = ["Answer", "Probe", "json_object"]

CONNECT_S = 3.0
CONFIRM_S = 3.0
ANSWER_S = 1.0
_NO_RESPONDERS = b"NATS/1.0 503"


class Answer(NamedTuple):
    """What came of a request."""

    state: Literal["answered", "nobody", "refused", "silent"]
    """`nobody`: the server says that nobody listens. `refused`: we may not ask. `silent`: nothing came."""
    data: bytes = b""


class Probe:
    """One connection, in the name of a node or client. Its requests and their answers are its own.

    All that talks to the server raises nats-py's errors, `OSError` or `TimeoutError` when the link fails.
    """

    def __init__(self, url: str, name: str | None) -> None:
        self.token = f"doctor-{secrets.token_hex(4)}"
        """Part of subjects that nobody uses."""
        self.name = name or self.token
        self.inbox = f"{inbox_prefix(self.name)}.{self.token}"
        self.client = FrameClient(self._reported, self._link_changed, self._end)
        self.lost: asyncio.Future[TransportError] = asyncio.get_running_loop().create_future()
        """Done when the connection broke: what is measured from then on says nothing."""
        self._url = url
        self._refusals = 0
        self._number = 0
        self._waiting: dict[bytes, asyncio.Future[Answer]] = {}

    async def open(self, login: NatsLogin | None) -> None:
        """Connect.

        Raises:
            TransportError: the server cannot be reached, or does not let us in.
        """
        prefix = inbox_prefix(self.name)
        await self.client.open(
            self._url, name=self.name, inbox_prefix=prefix, timeout_s=CONNECT_S, login=login
        )

    async def listen(self, subject: str, deliver: Deliver, queue: str = "") -> bool:
        """Subscribe, and say whether we may."""
        self._refusals = 0
        await self.client.listen(Listening(subject, queue, deliver))
        return await self._was_allowed()

    async def listen_for_answers(self) -> bool:
        """Whether answers can come; without, `ask` is of no use."""
        return await self.listen(f"{self.inbox}.*", self._answered)

    async def may_subscribe(self, subject: str, queue: str = "") -> bool:
        """Subscribe to what nobody publishes, for a moment."""
        allowed = await self.listen(subject, _ignored, queue)
        await self.client.listen_no_more(subject, queue)
        return allowed

    async def may_publish(self, subject: str, headers: Mapping[str, str] | None = None) -> bool:
        """Publish an empty message, and say whether we may."""
        self._refusals = 0
        await self.client.publish_in_turn(subject, b"", headers=headers)
        return await self._was_allowed()

    async def ask(self, subject: str, timeout_s: float = ANSWER_S) -> Answer:
        """An empty request, and the first answer to it."""
        self._refusals = 0
        answer = await self._publish_request(subject)
        if not await self._was_allowed():
            return Answer("refused")
        try:
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            return Answer("silent")

    async def ask_at_once(self, subject: str) -> Answer:
        """As `ask`, where it is known that we may and that an answer comes: as fast as it can be."""
        return await (await self._publish_request(subject))

    async def _publish_request(self, subject: str) -> asyncio.Future[Answer]:
        self._number += 1
        reply = f"{self.inbox}.{self._number}"
        answer = self._waiting[reply.encode()] = asyncio.get_running_loop().create_future()
        await self.client.publish_in_turn(subject, b"", reply)
        return answer

    def _answered(self, subject: bytes, _reply: bytes, data: bytes, headers: bytes) -> None:
        answer = self._waiting.pop(subject, None)
        if answer is not None and not answer.done():
            answer.set_result(Answer("nobody" if headers.startswith(_NO_RESPONDERS) else "answered", data))

    async def _was_allowed(self) -> bool:
        await self.client.confirm(CONFIRM_S)  # what the server refuses comes before the answer to this
        return not self._refusals

    def _reported(self, problem: Exception) -> None:
        if not is_link_trouble(problem):
            self._refusals += isinstance(reported_error(self._url, problem, ()), PermissionDeniedError)

    def _link_changed(self, up: bool) -> None:
        if not up:
            self._end()

    def _end(self) -> None:
        if not self.lost.done():
            reason = str(self.client.last_error or "the connection broke").removeprefix("nats: ")
            lost = f"lost {redacted(self._url)} while it was examined: {reason}: see the server's log"
            self.lost.set_result(TransportError(lost))


def _ignored(_subject: bytes, _reply: bytes, _data: bytes, _headers: bytes) -> None:
    """Nothing should come, and nothing of it matters."""


def json_object(data: bytes) -> dict[str, Any]:
    """An answer of the server itself; nothing where it is none."""
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
