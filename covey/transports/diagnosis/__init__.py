"""What `covey doctor` stands on: facts measured on a server, and rules that turn them into findings."""

from covey.transports.diagnosis.examination import examine
from covey.transports.diagnosis.facts import ServerFacts
from covey.transports.diagnosis.finding import Finding, Verdict
from covey.transports.diagnosis.rules import findings_of

__all__ = ["Finding", "ServerFacts", "Verdict", "examine", "findings_of"]
