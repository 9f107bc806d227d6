"""Does an ONNX file hold all of its weights? Asked without the library onnx, which no robot has.

The hash in a manifest is that of the file. Weights that it names in other files were hashed by
nobody, and libraries that are given a file's content look for them wherever the process happens to
run.
"""

from __future__ import annotations

from collections.abc import Iterator

_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Messages of onnx.proto by the numbers of the fields in which they lie, as far as tensors do."""

_DATA_LOCATION, _EXTERNAL = 14, 1
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
"""Wire types of protocol buffers."""


def names_other_files(content: bytes) -> bool:
    """Whether a tensor of an ONNX file lies in another file.

    What is no ONNX file is left to the library that is to load it.
    """
    whole = memoryview(content)
    todo: list[tuple[str, memoryview]] = [("model", whole)]
    try:
        while todo:
            kind, message = todo.pop()
            for number, value in _fields(message):
                if isinstance(value, memoryview):
                    if part := _PARTS[kind].get(number):
                        todo.append((part, value))
                elif kind == "tensor" and (number, value) == (_DATA_LOCATION, _EXTERNAL):
                    return True
    except (IndexError, ValueError):
        return False
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a message: number, and value or bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
            yield number, message[at : at + size]
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if wire == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {wire}")
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return a number and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
