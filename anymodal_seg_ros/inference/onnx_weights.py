"""Does an ONNX file hold all of its weights, how large is its graph, and of which version is it?

Asked without the library onnx, which no robot has.

The hash in a manifest is that of the file. Weights that it names in other files were hashed by
nobody, and libraries that are given a file's content look for them wherever the process happens to
run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from anymodal_seg_ros.foreign_text import quote

_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 9: "opset"},
    "opset": {},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Messages of onnx.proto by the numbers of the fields in which they lie, as far as tensors do."""

_DATA_LOCATION, _EXTERNAL = 14, 1
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
"""Wire types of protocol buffers."""

_NAMES: dict[str, tuple[int, int]] = {"node": (7, 4), "function": (10, 1)}
"""Numbers of the fields with the domain and the name of an operator, and of a function."""

IR_VERSIONS = range(3, 14)
"""Of the file, as ONNX Runtime 1.31 reads them; before 3 a file did not name its operators'."""

OPSETS = range(7, 27)
"""Versions of the operators, as ONNX Runtime 1.31 knows them. What is exported here is 20, which
TensorRT reads from 10.3 on."""

_OTHER_OPSETS = range(1, 256)
"""Of operators of another domain; where a file claims 2^40, libraries count up to it."""

_IR_VERSION, _OPSET_DOMAIN, _OPSET_VERSION = 1, 1, 2
_STANDARD = (b"", b"ai.onnx")

_Name = tuple[bytes, bytes]


@dataclass(slots=True)
class _Scope:
    """A graph or a function: what it is called, how many nodes it has, and how often of a kind."""

    name: _Name = (b"", b"")
    calls: Counter[_Name] = field(default_factory=Counter)


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


def unknown_version(content: bytes) -> str:
    """Say which version of an ONNX file is none that engines agree on; empty if all are.

    Libraries differ in what they take for a version that they have never heard of, and some take
    everything. What is no ONNX file is left to the library that is to load it.
    """
    whole = memoryview(content)
    try:
        told = [value for number, value in _fields(whole) if number == _IR_VERSION]
        opsets = list(_opsets("model", whole))
    except (IndexError, ValueError):
        return ""
    ir_version = told[-1] if told and isinstance(told[-1], int) else 0
    if ir_version not in IR_VERSIONS:
        return f"its IR version is {_signed(ir_version)}: expected {_words(IR_VERSIONS)}"
    if not any(domain in _STANDARD for domain, _ in opsets):
        return "it does not say of which opset its operators are"
    for domain, version in opsets:
        known = OPSETS if domain in _STANDARD else _OTHER_OPSETS
        if version not in known:
            name = f" of {quote(domain.decode(errors='replace'))}" if domain else ""
            return f"its opset{name} is {_signed(version)}: expected {_words(known)}"
    return ""


def _opsets(kind: str, message: memoryview) -> Iterator[tuple[bytes, int]]:
    """Yield domain and version of the operators of a file and of its functions."""
    for number, value in _fields(message):
        part = _PARTS[kind].get(number)
        if isinstance(value, memoryview) and part == "opset":
            yield _opset(value)
        elif isinstance(value, memoryview) and part == "function":
            yield from _opsets(part, value)


def _opset(message: memoryview) -> tuple[bytes, int]:
    values = dict(_fields(message))
    domain, version = values.get(_OPSET_DOMAIN, b""), values.get(_OPSET_VERSION, 0)
    if isinstance(domain, int) or not isinstance(version, int):
        raise ValueError("no opset")
    return bytes(domain), version


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _words(numbers: range) -> str:
    return f"{numbers[0]} to {numbers[-1]}"


def inlined_nodes(content: bytes) -> float:
    """Return how many nodes an ONNX file has once its functions are written out.

    Libraries do so before anything else: forty functions that call the next one twice are more than
    a machine can hold. What is no ONNX file is left to the library that is to load it.

    Returns:
        Infinity if a function calls itself.
    """
    try:
        parts = [
            _part(_PARTS["model"][number], value)
            for number, value in _fields(memoryview(content))
            if isinstance(value, memoryview)
            and _PARTS["model"].get(number) in ("graph", "function")
        ]
    except (IndexError, ValueError):
        return 0
    functions = {part.name: part for part in parts if part.name != (b"", b"")}
    known: dict[_Name, float] = {}
    return sum(_nodes(part, functions, known) for part in parts if part.name == (b"", b""))


def _nodes(part: _Scope, functions: Mapping[_Name, _Scope], known: dict[_Name, float]) -> float:
    total = 0.0
    for name, times in part.calls.items():
        if name not in functions:
            total += times
            continue
        if name not in known:
            known[name] = float("inf")  # for as long as it is being counted
            known[name] = _nodes(functions[name], functions, known)
        total += times * known[name]
    return total


def _part(kind: str, message: memoryview) -> _Scope:
    """Count the nodes of a graph or a function, with those of the graphs inside of it."""
    found = _Scope()
    if kind == "function":
        found.name = _name(kind, message)
    todo = [(kind, message)]
    while todo:
        kind, message = todo.pop()
        if kind == "node":
            found.calls[_name(kind, message)] += 1
        for number, value in _fields(message):
            part = _PARTS[kind].get(number)
            if isinstance(value, memoryview) and part in ("graph", "node", "attribute"):
                todo.append((part, value))
    return found


def _name(kind: str, message: memoryview) -> _Name:
    domain, name = _NAMES[kind]
    values = {n: bytes(v) for n, v in _fields(message) if isinstance(v, memoryview)}
    return values.get(domain, b""), values.get(name, b"")


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
