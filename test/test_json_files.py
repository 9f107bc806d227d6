"""JSON that somebody else may have written: its content, or one kind of error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anymodal_seg_ros import json_files
from anymodal_seg_ros.inference.auto.choice_memory import ChoiceMemory, Remembered
from anymodal_seg_ros.json_files import json_bytes, parse_json, read_json


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, b"\xff", "9" * 5000, "", "{"])
def test_what_is_none_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


def test_only_regular_files_of_a_sensible_size_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file.json"
    file.write_text('{"a": [1, "ü"]}', encoding="utf-8")
    assert read_json(file) == {"a": [1, "ü"]}
    monkeypatch.setattr(json_files, "MAX_BYTES", 5)
    with pytest.raises(ValueError, match="larger than"):
        read_json(file)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(ValueError, match="no regular file"):
            read_json(path)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none")


def test_what_was_remembered_of_engines_may_be_damaged_in_any_way(tmp_path: Path) -> None:
    memory, found = ChoiceMemory(tmp_path / "engines.json"), Remembered("torch", "fast")
    for damage in ("[" * 100_000, '{"key": [5]}', '{"key": {"kind": 5}}', "\0", "[]"):
        (tmp_path / "engines.json").write_text(damage)
        assert memory.find("key") is None
        memory.keep("key", found)
        assert memory.find("key") == found


def test_what_is_written_can_be_read_whatever_files_are_called(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(json_bytes({"größe": ["\udcf6", "日本", 1.5]}))
    assert read_json(path) == {"größe": ["?", "日本", 1.5]}
