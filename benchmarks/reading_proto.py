"""The raw side's protobuf messages, made without Covey: `Reading` (128 bytes on the wire) and `Arrivals`."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["FIRST_SEQUENCE", "NOTE", "SERIES", "Arrivals", "Reading"]

FIRST_SEQUENCE = 100_000
"""From here two million numbers take three bytes each, so that every reading has the same size."""
SERIES = "node-7/cpu"
NOTE = "x" * 101
"""Fills a reading up to 128 bytes."""

Field = descriptor_pb2.FieldDescriptorProto


def _make_classes() -> tuple[Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="benchmarks/reading.proto", package="covey.benchmarks.raw", syntax="proto3"
    )
    fields = {
        "Reading": {
            "series": Field.TYPE_STRING,
            "sequence": Field.TYPE_INT64,
            "value": Field.TYPE_DOUBLE,
            "note": Field.TYPE_STRING,
        },
        "Arrivals": {
            "count": Field.TYPE_INT64,
            "disorder": Field.TYPE_INT64,
            "last_s": Field.TYPE_DOUBLE,
            "cpu_s": Field.TYPE_DOUBLE,
        },
    }
    for name, types in fields.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(types.items(), start=1):
            message.field.add(name=field, number=number, type=kind, label=Field.LABEL_OPTIONAL)
    pool = descriptor_pool.Default()
    pool.Add(file)
    made = (pool.FindMessageTypeByName(f"{file.package}.{name}") for name in fields)
    reading, arrivals = (message_factory.GetMessageClass(descriptor) for descriptor in made)
    return reading, arrivals


Reading, Arrivals = _make_classes()
