"""What holds between two peers on a bad link, by the machine of `link_machine`.

A message that was taken arrives once and in order, or is refused once, or somebody is told that it is in
doubt.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.framework.link_machine import FRAME_LIMIT_BYTES, WAY, WINDOW_BYTES, LinkMachine
from tests.framework.peer_ends import End, numbers_of

QUICK = settings(max_examples=100, stateful_step_count=50, deadline=None)


class RestartingMachine(LinkMachine):
    """A process may begin anew; its peer goes on, until it notices that the earlier one is gone.

    It does so before the new process has looked for missing frames twice: it has heard its hello by then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.earlier: tuple[list[End], list[End]] = ([], [])
        """Ends that are gone, or were abandoned by the other."""
        self.excused: tuple[set[int], set[int]] = (set(), set())
        """Messages of an end that nobody will hear of: gone with its process, or told of as in doubt."""
        self.unnoticed = [False, False]

    @rule(way=WAY)
    def restart(self, way: int) -> None:
        """The process of an end is gone, with all that was on the way to it, and another one is there."""
        self.earlier[way].append(self.ends[way])
        self.excused[way].update(self.unsettled(way))
        self.ends[way] = End(self.ends[way].name, WINDOW_BYTES)
        self.channels[1 - way].clear()
        self.notices[way].clear()
        self.asks[way].clear()
        self.unnoticed[1 - way] = True

    @precondition(lambda self: any(self.unnoticed))
    @rule(way=WAY)
    def notice(self, way: int) -> None:
        """What the new process says of itself has come to the other end, which begins a new link with it."""
        if self.unnoticed[way]:
            self.abandon(way)

    @rule(way=WAY)
    def abandon(self, way: int) -> None:
        """One end has heard nothing for too long, and is wrong perhaps."""
        end = self.ends[way]
        left = [number for item in end.peer.abandon("it is gone") for number in numbers_of(item)]
        left += end.owner.late  # those that waited for room
        end.owner.late.clear()
        assert not end.peer.frames(FRAME_LIMIT_BYTES)
        assert not set(left) - self.unsettled(way)
        end.owner.refused.extend((number, "left") for number in left)
        unsettled = {number for number in self.unsettled(way) if self.accepted[way][number]}
        assert len(unsettled) <= end.peer.in_doubt + end.owner.in_doubt_messages
        self.excused[way].update(self.unsettled(way))
        end.begin_anew(end.peer)
        self.unnoticed[way] = False

    @rule(way=WAY)
    def tick(self, way: int) -> None:
        self.notice(1 - way)
        super().tick(way)

    def unsettled(self, way: int) -> set[int]:
        return set(self.accepted[way]) - set(self.fates(way)) - self.excused[way]

    def fates(self, way: int) -> Counter[int]:
        fates = super().fates(way)
        for there in self.earlier[1 - way]:
            for numbers in (*there.got.values(), *there.parked.values()):
                fates.update(numbers)
        for here in self.earlier[way]:
            fates.update(number for number, _reason in here.owner.refused)
        return fates

    def settle(self) -> None:
        for way in (0, 1):
            self.abandon(way)
        super().settle()

    def everything_is_settled(self) -> None:
        for way in (0, 1):
            assert not self.unsettled(way)


class OvertakingMachine(LinkMachine):
    """Frames may overtake each other, as through `FaultyTransport`: each is taken once all the same."""

    in_order = False

    @precondition(lambda self: any(self.channels))
    @rule(way=WAY, place=st.integers(0, 5))
    def overtake(self, way: int, place: int) -> None:
        channel = self.channels[way]
        if channel:
            place %= len(channel)
            frame, _number = channel[place]
            del channel[place]
            self.ends[1 - way].receive(frame)


TestLink = LinkMachine.TestCase
TestLink.settings = QUICK
TestOvertaking = OvertakingMachine.TestCase
TestOvertaking.settings = QUICK
TestRestarting = RestartingMachine.TestCase
TestRestarting.settings = QUICK
