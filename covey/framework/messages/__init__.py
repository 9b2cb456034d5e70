"""Messages: dataclasses that travel as protobuf, and their codec."""
