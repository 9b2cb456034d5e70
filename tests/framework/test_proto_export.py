from __future__ import annotations

import enum
import itertools
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet
from google.protobuf.message import Message
from grpc_tools import protoc
from hypothesis import given, settings
from hypothesis import strategies as st

from covey.framework.errors import ConfigurationError
from covey.framework.messages.codec import decode, encode, type_name
from covey.framework.messages.enum_numbers import enum_numbers
from covey.framework.messages.message import field, message
from covey.framework.messages.message_descriptor import message_descriptor
from covey.framework.messages.message_spec import FieldType, spec_of
from covey.framework.messages.proto_export import export
from covey.framework.messages.schema import descriptor_bytes, differences
from covey.framework.proto import envelope_pb2
from tests.framework.generated_messages import message_classes, values_of

ROOT = Path(__file__).parents[2]
_file = itertools.count()


class Colour(enum.Enum):
    RED = "red"
    Red = "Red"
    NONE = "none"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 5
    NEGATIVE = -3


@message(name="shop.Item")
class Item:
    class Size(enum.Enum):
        SMALL = 1

    sku: str
    size: Size
    parts: list[Item] = field(default_factory=list)


@message
class Catalogue:
    item: Item
    items: list[Item]
    maybe_item: Item | None
    text: str
    raw: bytes
    flag: bool
    count: int
    ratio: float
    colour: Colour
    level: Level
    at: datetime
    maybe_text: str | None
    maybe_count: int | None
    maybe_flag: bool | None
    maybe_ratio: float | None
    maybe_raw: bytes | None
    maybe_level: Level | None
    maybe_at: datetime | None
    texts: list[str]
    raws: list[bytes]
    flags: list[bool]
    counts: list[int]
    ratios: list[float]
    levels: list[Level]
    times: list[datetime]
    a_b: int
    aB: int
    _a_b: int
    größe: int
    message: str | None
    far: int = field(number=2**29 - 1)


def compiled(text: str, folder: Path) -> descriptor_pool.DescriptorPool:
    """The types that protoc makes from a .proto file."""
    name = f"exported_{next(_file)}"
    (folder / f"{name}.proto").write_text(text, encoding="utf-8")
    status = protoc.main(
        [
            "protoc",
            f"-I{folder}",
            f"-I{ROOT}",
            f"-I{files('grpc_tools') / '_proto'}",
            "--include_imports",
            f"--descriptor_set_out={folder / name}.bin",
            str(folder / f"{name}.proto"),
        ]
    )
    assert status == 0, f"protoc refused\n{text}"
    pool = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString((folder / f"{name}.bin").read_bytes()).file:
        pool.Add(file)
    return pool


def generated_class(cls: type, folder: Path) -> type[Message]:
    pool = compiled(export([cls]), folder)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(type_name(cls)))


def fill(target: Any, value: Any) -> Any:
    """Set the fields of a generated message, by number, to those of a dataclass."""
    spec = spec_of(type(value))
    if spec is None:
        target.MergeFromString(value.SerializeToString())
        return target
    for f in spec.fields:
        name = target.DESCRIPTOR.fields_by_number[f.number].name
        held = getattr(value, f.name)
        if f.type.label == "repeated":
            for one in held:
                if f.type.kind in ("message", "datetime"):
                    fill_one(getattr(target, name).add(), one)
                else:
                    getattr(target, name).append(scalar(f.type, one))
        elif held is not None and f.type.kind in ("message", "datetime"):
            fill_one(getattr(target, name), held)
        elif held is not None:
            setattr(target, name, scalar(f.type, held))
    return target


def fill_one(target: Any, value: Any) -> None:
    target.SetInParent()
    if isinstance(value, datetime):
        target.FromDatetime(value.astimezone(UTC).replace(tzinfo=None))
    else:
        fill(target, value)


def scalar(type_: FieldType, value: Any) -> Any:
    return enum_numbers(type_.python)[value.name] if type_.kind == "enum" else value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("protoc")


@pytest.fixture(scope="module")
def generated_catalogue(folder: Path) -> type[Message]:
    return generated_class(Catalogue, folder)


@given(value=values_of(Catalogue))
@settings(max_examples=150, deadline=None)
def test_bytes_are_equal_to_those_of_the_class_that_protoc_makes(
    value: Catalogue, generated_catalogue: type[Message]
) -> None:
    payload = fill(generated_catalogue(), value).SerializeToString()
    assert encode(value)[1] == payload
    assert decode(type_name(Catalogue), payload) == value


@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_bytes_are_equal_for_any_message_class(data: st.DataObject, folder: Path) -> None:
    cls = data.draw(message_classes(min_fields=3))
    generated = generated_class(cls, folder)
    for value in data.draw(st.lists(values_of(cls), min_size=5, max_size=20)):
        assert encode(value)[1] == fill(generated(), value).SerializeToString()
    assert differences(descriptor_bytes(cls), descriptor_bytes(generated)) == []


def test_descriptor_is_the_one_that_protoc_makes(generated_catalogue: type[Message]) -> None:
    made = DescriptorProto()
    generated_catalogue.DESCRIPTOR.CopyToProto(made)
    for entry in made.field:
        entry.ClearField("json_name")
    spec = spec_of(Catalogue)
    assert spec is not None
    assert message_descriptor(spec) == made
    here, there = descriptor_bytes(Catalogue), descriptor_bytes(generated_catalogue)
    assert differences(here, there) == differences(there, here) == []


def test_export_reads_as_it_would_be_written_by_hand() -> None:
    @message(name="bakery.Loaf")
    class Loaf:
        name: str
        baked: datetime
        weights: list[float]
        note: str | None = None
        next: Loaf | None = None

    assert export([Loaf]) == (
        "// A field's number is its meaning on the wire: never give it to another field.\n"
        'syntax = "proto3";\n'
        "\n"
        "package bakery;\n"
        "\n"
        'import "google/protobuf/timestamp.proto";\n'
        "\n"
        "message Loaf {\n"
        "  string name = 1;\n"
        "  .google.protobuf.Timestamp baked = 2;\n"
        "  repeated double weights = 3;\n"
        "  optional string note = 4;\n"
        "  optional .bakery.Loaf next = 5;\n"
        "}\n"
    )


def test_types_that_several_messages_share_are_exported_once(folder: Path) -> None:
    @message
    class First:
        item: Item
        colour: Colour

    @message
    class Second:
        first: First
        item: Item
        colour: Colour

    text = export([First, Second, First])
    for line in ("  string sku = 1;", "enum Colour {", "message First {"):
        assert text.count(line) == 1
    pool = compiled(text, folder)
    assert pool.FindMessageTypeByName(type_name(Second)).full_name == type_name(Second)
    assert pool.FindMessageTypeByName("shop.Item").full_name == "shop.Item"


def test_message_in_no_package_is_exported(folder: Path) -> None:
    @message(name="Lonely")
    class Lonely:
        it: int

    assert compiled(export([Lonely]), folder).FindMessageTypeByName("Lonely").fields[0].name == "it"


def test_generated_types_are_imported_from_their_own_files(folder: Path) -> None:
    @message
    class Wrapped:
        one: envelope_pb2.Schema

    text = export([Wrapped])
    assert 'import "covey/framework/proto/envelope.proto";' in text
    value = Wrapped(envelope_pb2.Schema(type="a"))
    assert encode(value)[1] == fill(generated_class(Wrapped, folder)(), value).SerializeToString()


def test_what_is_no_message_class_cannot_be_exported() -> None:
    with pytest.raises(ConfigurationError, match="int is no @message class"):
        export([int])
    with pytest.raises(ConfigurationError, match=r"Schema .* its own: covey/framework/proto/envelope.proto"):
        export([envelope_pb2.Schema])


def test_two_classes_of_one_name_cannot_be_exported_together() -> None:
    def make() -> type:
        @message
        class Same:
            it: int

        return Same

    with pytest.raises(ConfigurationError, match=r"two different classes are called .*Same"):
        export([make(), make()])
