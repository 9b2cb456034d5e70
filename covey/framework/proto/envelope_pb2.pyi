from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Envelope(_message.Message):
    __slots__ = ("kind", "message_id", "type", "target", "sender", "reply_to", "payload", "remaining_ms", "chain", "trace", "attempt", "hops", "bound", "more")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TELL: _ClassVar[Envelope.Kind]
        ASK: _ClassVar[Envelope.Kind]
        REPLY: _ClassVar[Envelope.Kind]
        FAILURE: _ClassVar[Envelope.Kind]
        CANCEL: _ClassVar[Envelope.Kind]
    TELL: Envelope.Kind
    ASK: Envelope.Kind
    REPLY: Envelope.Kind
    FAILURE: Envelope.Kind
    CANCEL: Envelope.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    kind: Envelope.Kind
    message_id: int
    type: str
    target: str
    sender: str
    reply_to: str
    payload: bytes
    remaining_ms: int
    chain: _containers.RepeatedScalarFieldContainer[str]
    trace: bytes
    attempt: int
    hops: int
    bound: bool
    more: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, kind: _Optional[_Union[Envelope.Kind, str]] = ..., message_id: _Optional[int] = ..., type: _Optional[str] = ..., target: _Optional[str] = ..., sender: _Optional[str] = ..., reply_to: _Optional[str] = ..., payload: _Optional[bytes] = ..., remaining_ms: _Optional[int] = ..., chain: _Optional[_Iterable[str]] = ..., trace: _Optional[bytes] = ..., attempt: _Optional[int] = ..., hops: _Optional[int] = ..., bound: bool = ..., more: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("epoch", "sequence", "envelopes", "schemas", "credited_bytes", "sent_bytes", "target_epoch", "probe", "seen_sequence", "lost", "sent_messages", "paused", "resumed", "chunk", "chunk_of", "chunk_at", "published_bytes", "read_bytes", "chunk_from", "newest_sequence")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ENVELOPES_FIELD_NUMBER: _ClassVar[int]
    SCHEMAS_FIELD_NUMBER: _ClassVar[int]
    CREDITED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    TARGET_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    SEEN_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    SENT_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    CHUNK_OF_FIELD_NUMBER: _ClassVar[int]
    CHUNK_AT_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FROM_FIELD_NUMBER: _ClassVar[int]
    NEWEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    sequence: int
    envelopes: _containers.RepeatedScalarFieldContainer[bytes]
    schemas: _containers.RepeatedCompositeFieldContainer[Schema]
    credited_bytes: int
    sent_bytes: int
    target_epoch: int
    probe: bool
    seen_sequence: int
    lost: _containers.RepeatedCompositeFieldContainer[Range]
    sent_messages: int
    paused: _containers.RepeatedScalarFieldContainer[str]
    resumed: _containers.RepeatedScalarFieldContainer[str]
    chunk: bytes
    chunk_of: int
    chunk_at: int
    published_bytes: int
    read_bytes: int
    chunk_from: int
    newest_sequence: int
    def __init__(self, epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., envelopes: _Optional[_Iterable[bytes]] = ..., schemas: _Optional[_Iterable[_Union[Schema, _Mapping]]] = ..., credited_bytes: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., target_epoch: _Optional[int] = ..., probe: bool = ..., seen_sequence: _Optional[int] = ..., lost: _Optional[_Iterable[_Union[Range, _Mapping]]] = ..., sent_messages: _Optional[int] = ..., paused: _Optional[_Iterable[str]] = ..., resumed: _Optional[_Iterable[str]] = ..., chunk: _Optional[bytes] = ..., chunk_of: _Optional[int] = ..., chunk_at: _Optional[int] = ..., published_bytes: _Optional[int] = ..., read_bytes: _Optional[int] = ..., chunk_from: _Optional[int] = ..., newest_sequence: _Optional[int] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class Schema(_message.Message):
    __slots__ = ("type", "descriptor")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    type: str
    descriptor: bytes
    def __init__(self, type: _Optional[str] = ..., descriptor: _Optional[bytes] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("type", "message", "traceback", "data")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    type: str
    message: str
    traceback: str
    data: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, type: _Optional[str] = ..., message: _Optional[str] = ..., traceback: _Optional[str] = ..., data: _Optional[_Iterable[str]] = ...) -> None: ...

class Beacon(_message.Message):
    __slots__ = ("hello", "registry", "registry_request", "schemas")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_REQUEST_FIELD_NUMBER: _ClassVar[int]
    SCHEMAS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    registry: Registry
    registry_request: RegistryRequest
    schemas: Schemas
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., registry: _Optional[_Union[Registry, _Mapping]] = ..., registry_request: _Optional[_Union[RegistryRequest, _Mapping]] = ..., schemas: _Optional[_Union[Schemas, _Mapping]] = ...) -> None: ...

class Schemas(_message.Message):
    __slots__ = ("schemas",)
    SCHEMAS_FIELD_NUMBER: _ClassVar[int]
    schemas: _containers.RepeatedCompositeFieldContainer[Schema]
    def __init__(self, schemas: _Optional[_Iterable[_Union[Schema, _Mapping]]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("node", "incarnation", "hosts", "weight", "wire_version", "joining", "leaving", "agents", "pid", "refused_incarnation", "registry_version")
    NODE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIRE_VERSION_FIELD_NUMBER: _ClassVar[int]
    JOINING_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    REFUSED_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    node: str
    incarnation: int
    hosts: _containers.RepeatedScalarFieldContainer[str]
    weight: int
    wire_version: int
    joining: bool
    leaving: bool
    agents: int
    pid: int
    refused_incarnation: int
    registry_version: int
    def __init__(self, node: _Optional[str] = ..., incarnation: _Optional[int] = ..., hosts: _Optional[_Iterable[str]] = ..., weight: _Optional[int] = ..., wire_version: _Optional[int] = ..., joining: bool = ..., leaving: bool = ..., agents: _Optional[int] = ..., pid: _Optional[int] = ..., refused_incarnation: _Optional[int] = ..., registry_version: _Optional[int] = ...) -> None: ...

class Registry(_message.Message):
    __slots__ = ("node", "incarnation", "version", "part", "parts", "addresses")
    NODE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    node: str
    incarnation: int
    version: int
    part: int
    parts: int
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node: _Optional[str] = ..., incarnation: _Optional[int] = ..., version: _Optional[int] = ..., part: _Optional[int] = ..., parts: _Optional[int] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class RegistryRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("incarnation", "ended")
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    incarnation: int
    ended: str
    def __init__(self, incarnation: _Optional[int] = ..., ended: _Optional[str] = ...) -> None: ...
