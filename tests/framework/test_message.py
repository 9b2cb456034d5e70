from __future__ import annotations

import abc
import enum
import subprocess
import sys
from dataclasses import FrozenInstanceError, InitVar, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NewType, Optional

import pytest
from mypy import api as mypy

from covey.framework.errors import MessageTypeError, UndecodableError
from covey.framework.messages.codec import decode, encode, resolve, type_name
from covey.framework.messages.message import field, message
from covey.framework.messages.message_spec import spec_of
from covey.framework.proto import envelope_pb2

Sku = NewType("Sku", str)


@message
class Line:
    sku: str
    amount: int = 1


@message
class Order:
    lines: list[Line]
    note: str | None = None
    later: Later | None = None


@message
class Later:
    text: str


@dataclass
class Plain:
    sku: str


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


class Empty(enum.Enum):
    pass


class Wide(enum.IntEnum):
    LARGE = 2**31


def there_and_back(value: Any) -> Any:
    return decode(*encode(value))


def numbers(cls: type) -> dict[str, int]:
    spec = spec_of(cls)
    assert spec is not None
    return {f.name: f.number for f in spec.fields}


def define(annotation: Any, default: Any = ...) -> type:
    namespace = {"__annotations__": {"it": annotation}} | ({} if default is ... else {"it": default})
    return message(type("Defined", (), namespace))


def test_message_is_a_dataclass_with_equality_repr_and_defaults() -> None:
    assert Line("tea") == Line(sku="tea", amount=1) != Line("tea", 2)
    assert repr(Line("tea")) == "Line(sku='tea', amount=1)"


def test_forward_reference_to_a_class_defined_later_is_found_at_first_use() -> None:
    order = Order([Line("tea")], later=Later("x"))
    assert there_and_back(order) == order


def test_function_local_types_and_forward_references_are_found() -> None:
    class Size(enum.Enum):
        SMALL = 1

    @message
    class Tree:
        size: Size
        left: Tree | None = None
        leaf: Leaf | None = None

    @message
    class Leaf:
        text: str

    tree = Tree(Size.SMALL, Tree(Size.SMALL), Leaf("green"))
    assert there_and_back(tree) == tree


def test_mutually_recursive_messages_travel() -> None:
    @message
    class Parent:
        children: list[Child]

    @message
    class Child:
        parent: Parent | None = None

    family = Parent([Child(Parent([])), Child()])
    assert there_and_back(family) == family


def test_types_nested_in_a_class_body_are_found_by_their_short_names() -> None:
    @message
    class Job:
        class State(enum.Enum):
            IDLE = "idle"
            BUSY = "busy"

        @message
        class Step:
            text: str

        state: State
        steps: list[Step]

    job = Job(Job.State.BUSY, [Job.Step("a")])
    assert there_and_back(job) == job
    assert type_name(Job.Step).endswith(
        "test_types_nested_in_a_class_body_are_found_by_their_short_names.Job.Step"
    )


def test_forward_reference_that_nobody_defines_is_named_at_first_use() -> None:
    @message
    class Lost:
        it: Nowhere  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(MessageTypeError, match=r"Lost\.it: Nowhere is unknown: .*define or import it"):
        encode(Lost(1))
    with pytest.raises(UndecodableError, match="Nowhere is unknown"):
        decode(type_name(Lost), b"")


def test_fields_number_by_position_and_explicit_numbers_are_kept() -> None:
    @message
    class Mixed:
        a: str
        b: str = field(number=7)
        c: str = field(default="c")
        total: ClassVar[int] = 3

    assert numbers(Mixed) == {"a": 1, "b": 7, "c": 3}
    assert Mixed("a", "b").c == "c"


def test_inherited_fields_come_first_and_keep_their_types() -> None:
    @message
    class Event:
        at: datetime
        kind: str = field(number=9, default="event")

    @message
    class Sold(Event):
        amount: int = 0

    sold = Sold(datetime(2026, 1, 1, tzinfo=UTC), amount=4)
    assert numbers(Sold) == {"at": 1, "kind": 9, "amount": 3}
    assert there_and_back(sold) == sold


def test_fields_of_a_plain_base_dataclass_travel_too() -> None:
    @message
    class Stocked(Plain):
        amount: int

    assert there_and_back(Stocked("tea", 2)) == Stocked("tea", 2)


def test_frozen_message_is_immutable_hashable_and_travels() -> None:
    @message(frozen=True)
    class Point:
        x: float
        y: float

    point = there_and_back(Point(1.0, 2.0))
    assert {point, Point(1.0, 2.0)} == {point}
    with pytest.raises(FrozenInstanceError):
        point.x = 3.0


def test_class_that_is_a_dataclass_already_stays_as_it_is() -> None:
    @message
    @dataclass(order=True, slots=True)
    class Version:
        major: int
        parts: list[int] = field(default_factory=list)  # noqa: RUF009

    assert Version(1) < Version(2)
    assert there_and_back(Version(1, [2])) == Version(1, [2])


def test_post_init_runs_after_decoding_and_its_errors_make_the_bytes_undecodable() -> None:
    @message
    class Positive:
        value: int

        def __post_init__(self) -> None:
            if self.value <= 0:
                raise RuntimeError("not positive")
            self.double = self.value * 2

    assert there_and_back(Positive(2)).double == 4
    with pytest.raises(UndecodableError, match="not positive"):
        decode(type_name(Positive), b"")


def test_aliases_of_types_mean_what_they_stand_for() -> None:
    for annotation, value in ((Sku, "tea"), (Annotated[int, "units"], 3), (Optional[Sku], None)):  # noqa: UP045
        cls = define(annotation)
        assert there_and_back(cls(value)) == cls(value)


def test_generated_messages_are_field_types() -> None:
    @message
    class Wrapped:
        one: envelope_pb2.Schema
        many: list[envelope_pb2.Schema]
        none: envelope_pb2.Schema | None = None

    wrapped = Wrapped(envelope_pb2.Schema(type="a"), [envelope_pb2.Schema(type="b")])
    assert there_and_back(wrapped) == wrapped


@pytest.mark.parametrize(
    ("annotation", "advice"),
    [
        (dict[str, int], "a list of a message with a key and a value"),
        (set[str], "use list"),
        (tuple[int, int], "one field for each position"),
        (Any, "name one type"),
        (object, "name one type"),
        (int | str, "one Optional field for each alternative"),
        (list, "say what is in it"),
        (list[list[int]], "a list of a message that holds a list"),
        (list[int | None], "use a list of a message"),
        (list[int] | None, "default_factory=list"),
        (None, "use Optional"),
        (date, "use datetime"),
        (Decimal, "use str"),
        (Literal["a"], "use an Enum"),
        (Plain, "decorate Plain with @message"),
        (Permission, "use int"),
        (Empty, "has no members"),
        (Wide, "does not fit the 32 bits"),
        ("1 +", "cannot travel"),
    ],
)
def test_type_that_cannot_travel_is_refused_at_definition_with_a_way_out(
    annotation: Any, advice: str
) -> None:
    with pytest.raises(MessageTypeError, match=r"Defined\.it: .* cannot travel: ") as caught:
        define(annotation)
    assert advice in str(caught.value)


@pytest.mark.parametrize("number", [0, -1, 2**29, 19_000, 19_999, True, "1"])
def test_number_that_protobuf_refuses_is_refused(number: Any) -> None:
    with pytest.raises(MessageTypeError, match=r"Defined\.it has the number"):
        define(int, field(number=number))


def test_two_fields_of_one_number_are_refused() -> None:
    with pytest.raises(MessageTypeError, match="b and a have the same number 2"):

        @message
        class Twice:
            a: int = field(number=2)
            b: int = field()


def test_what_dataclasses_refuse_is_refused_by_name() -> None:
    with pytest.raises(MessageTypeError, match="Defined cannot become a message: mutable default"):
        define(list[int], [])
    with pytest.raises(MessageTypeError, match="not both"):
        field(default=1, default_factory=int)  # type: ignore[call-overload]
    with pytest.raises(MessageTypeError, match="decorates classes"):
        message(3)  # type: ignore[call-overload]
    with pytest.raises(MessageTypeError, match="InitVar"):

        @message
        class Initialised:
            it: InitVar[int]


def test_class_that_cannot_be_made_without_its_constructor_is_refused() -> None:
    with pytest.raises(MessageTypeError, match="cannot become a message"):

        @message
        class Failure(Exception):
            text: str

    with pytest.raises(MessageTypeError, match="abstract"):

        @message
        class Abstract(abc.ABC):
            text: str

            @abc.abstractmethod
            def act(self) -> None: ...


def test_class_defined_again_replaces_itself() -> None:
    def make(annotation: type) -> type:
        @message
        class Again:
            it: annotation  # type: ignore[valid-type]

        return Again

    first, second = make(int), make(str)
    assert resolve(type_name(first)) is second
    assert there_and_back(second("x")) == second("x")
    assert encode(first(1))[1] == b"\x08\x01"


def test_other_class_of_the_same_name_is_refused() -> None:
    @message(name="shop.Unique")
    class One:
        a: int

    with pytest.raises(MessageTypeError, match=r"Two would travel as 'shop.Unique'.*One already.*name="):

        @message(name="shop.Unique")
        class Two:
            a: int

    assert resolve("shop.Unique") is One


@pytest.mark.parametrize("name", ["", "shop-Order", "shop.", "google.protobuf.Empty", "shöp.Order"])
def test_name_that_protobuf_refuses_is_refused(name: str) -> None:
    with pytest.raises(MessageTypeError, match="cannot become a message"):
        message(name=name)(type("Named", (), {}))


def test_default_name_is_the_module_and_the_qualified_name() -> None:
    @message
    class Größe:
        it: int

    assert type_name(Line) == f"{__name__}.Line"
    assert (
        type_name(Größe) == f"{__name__}.test_default_name_is_the_module_and_the_qualified_name.Gr_uf6_udfe"
    )


SCRIPT = """
from __future__ import annotations
from covey.framework.messages.message import message
from covey.framework.messages.codec import type_name

@message
class Order:
    sku: str

if __name__ == "__main__":
    print(type_name(Order))
"""


@pytest.mark.parametrize(
    ("arguments", "name"), [(["my-shop.py"], "my_shop.Order"), (["-m", "pkg.shop"], "pkg.shop.Order")]
)
def test_script_names_its_messages_as_a_node_that_imports_it_does(
    arguments: list[str], name: str, tmp_path: Path
) -> None:
    (tmp_path / "pkg").mkdir()
    for path in ("my-shop.py", "pkg/shop.py"):
        (tmp_path / path).write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True
    )
    assert run.stdout.strip() == name


TYPED = """
from covey.framework.messages.message import field, message

@message
class Order:
    sku: str
    amount: int = field(number=4, default=1)
    tags: list[str] = field(default_factory=list)

@message(name="typed.Point", frozen=True)
class Point:
    x: float

order = Order(sku="x")
reveal_type(order.amount)
Order(amount="x")
Point(1.0).x = 2.0
"""


def test_type_checker_knows_the_constructor(tmp_path: Path) -> None:
    source = tmp_path / "typed.py"
    source.write_text(TYPED)
    out, _, _ = mypy.run(["--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", str(source)])
    assert [line.partition("typed.py:")[2] for line in out.splitlines() if "typed.py" in line] == [
        '15: note: Revealed type is "int"',
        '16: error: Missing positional argument "sku" in call to "Order"  [call-arg]',
        '16: error: Argument "amount" to "Order" has incompatible type "str"; expected "int"  [arg-type]',
        '17: error: Property "x" defined in "Point" is read-only  [misc]',
    ]


def test_a_class_with_an_init_of_its_own_is_refused_because_what_it_sets_would_not_travel() -> None:
    with pytest.raises(MessageTypeError, match=r"Handmade cannot become a message: it has an __init__"):

        @message
        class Handmade:
            def __init__(self, text: str = "x") -> None:
                self.text = text
