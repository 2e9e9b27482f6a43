"""The message ``tf.train.Example``, which standard tools read, in a pool of our own.

Nothing here collides with the messages that TensorFlow or tensorflow-datasets register: what makes bytes an Example is
the numbers of its fields (tensorflow/core/example/example.proto and feature.proto), not the name it is known by.

Examples are parsed by protobuf and written here, field by field: a message may be spelt in several ways, and no version
of protobuf promises that of another (what it calls sorted is not the order of names). The parts are joined once,
whatever the size of the images.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "octomed_jax"
_FIELD = descriptor_pb2.FieldDescriptorProto
_LISTS = (  # the field of a Feature, its message, what that holds; numbered from 1
    ("bytes_list", "BytesList", _FIELD.TYPE_BYTES),
    ("float_list", "FloatList", _FIELD.TYPE_FLOAT),
    ("int64_list", "Int64List", _FIELD.TYPE_INT64),
)


def _example_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}/example.proto", package=_PACKAGE, syntax="proto3")
    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (field, message, kind) in enumerate(_LISTS, 1):
        values = file.message_type.add(name=message)
        values.field.add(name="value", number=1, label=_FIELD.LABEL_REPEATED, type=kind)
        _add_message(feature, field, number, message).oneof_index = 0
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
    _add_message(entry, "value", 2, "Feature")
    _add_message(features, "feature", 1, "Features.FeatureEntry").label = _FIELD.LABEL_REPEATED
    _add_message(file.message_type.add(name="Example"), "features", 1, "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))


def _add_message(owner: descriptor_pb2.DescriptorProto, name: str, number: int, message: str) -> Any:
    kind = f".{_PACKAGE}.{message}"
    return owner.field.add(
        name=name, number=number, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_MESSAGE, type_name=kind
    )


Example = _example_class()


def pack_example(features: Mapping[str, Sequence[bytes]]) -> bytes:
    """Return the bytes of an Example with these features, sorted by name."""
    entries = [
        part
        for name, feature in sorted(features.items())
        for part in _field(1, [*_field(1, [name.encode()]), *_field(2, feature)])  # key and value of the map
    ]
    return b"".join(_field(1, entries))


def bytes_feature(values: Iterable[bytes]) -> list[bytes]:
    """Return the parts of a Feature with a list of bytes."""
    return _field(1, [part for value in values for part in _field(1, [value])])


def int64_feature(values: Iterable[int]) -> list[bytes]:
    """Return the parts of a Feature with a list of whole numbers."""
    packed = [_varint(value & 2**64 - 1) for value in values]
    return _field(3, _field(1, packed) if packed else [])


def _field(number: int, parts: Sequence[bytes]) -> list[bytes]:
    """Return a field that holds the parts: its number and kind, its length, they themselves."""
    return [_varint(number << 3 | 2), _varint(sum(map(len, parts))), *parts]


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)
