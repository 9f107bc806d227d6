"""Writes small ONNX files without the library onnx, which no robot has.

A message of protocol buffers is a row of fields, each a number with a value or with bytes; the
numbers below are those of onnx.proto. What networks are exported to is written by PyTorch and never
altered here: these are graphs of a few operators that stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

IR_VERSION, OPSET = 9, 20
"""As of what is exported, and no newer: TensorRT 10.3 reads both."""

FLOAT, UINT8, INT32, INT64 = 1, 2, 6, 7
"""Types of tensors (``TensorProto.DataType``)."""

Constant = npt.NDArray[np.float32] | npt.NDArray[np.int32] | npt.NDArray[np.int64]

_ARRAYS = {np.dtype(np.float32): FLOAT, np.dtype(np.int32): INT32, np.dtype(np.int64): INT64}
_INT, _STRING = 2, 3
"""Types of attributes (``AttributeProto.AttributeType``)."""


def node(operator: str, inputs: Sequence[str], output: str, **attributes: int | str) -> bytes:
    """Return a node of a graph; an input that is left out is an empty name."""
    return b"".join(
        [
            *(_bytes(1, name.encode()) for name in inputs),
            _bytes(2, output.encode()),
            _bytes(4, operator.encode()),
            *(_bytes(5, _attribute(name, value)) for name, value in attributes.items()),
        ]
    )


def value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    """Return an input or an output of a graph; a size that is a name is known only in a run."""
    sizes = (_number(1, s) if isinstance(s, int) else _bytes(2, s.encode()) for s in shape)
    tensor = _number(1, kind) + _bytes(2, b"".join(_bytes(1, size) for size in sizes))
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def file(
    name: str,
    nodes: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
    constants: Mapping[str, Constant],
) -> bytes:
    """Return an ONNX file of one graph."""
    graph = b"".join(
        [
            *(_bytes(1, one) for one in nodes),
            _bytes(2, name.encode()),
            *(_bytes(5, _constant(of, array)) for of, array in constants.items()),
            *(_bytes(11, one) for one in inputs),
            *(_bytes(12, one) for one in outputs),
        ]
    )
    return _number(1, IR_VERSION) + _bytes(7, graph) + _bytes(8, _number(2, OPSET))


def _attribute(name: str, of: int | str) -> bytes:
    if isinstance(of, int):
        return _bytes(1, name.encode()) + _number(3, of) + _number(20, _INT)
    return _bytes(1, name.encode()) + _bytes(4, of.encode()) + _number(20, _STRING)


def _constant(name: str, array: Constant) -> bytes:
    sizes = b"".join(_number(1, size) for size in array.shape)
    raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return sizes + _number(2, _ARRAYS[array.dtype]) + _bytes(8, name.encode()) + _bytes(9, raw)


def _number(field: int, of: int) -> bytes:
    return _varint(field << 3) + _varint(of)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the eighth."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
