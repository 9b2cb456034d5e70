"""What a user needs to test agents without sleeping: a manual clock, a probe, and faults by a seed."""

from covey.testing.errors import ExpectationError, NeverQuietError
from covey.testing.fault import Fault
from covey.testing.faults import Faults
from covey.testing.faulty_transport import FaultyTransport
from covey.testing.manual_clock import ManualClock
from covey.testing.probe import Probe
from covey.testing.swarms import swarm_of

__all__ = [
    "ExpectationError",
    "Fault",
    "Faults",
    "FaultyTransport",
    "ManualClock",
    "NeverQuietError",
    "Probe",
    "swarm_of",
]
