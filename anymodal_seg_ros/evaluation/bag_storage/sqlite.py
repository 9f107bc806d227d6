"""sqlite3 files of rosbag2, from Foxy's to today's, and those that were cut off."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote as url_quote

from anymodal_seg_ros.evaluation.bag_storage.recording import (
    BagError,
    Channel,
    Record,
    absolute,
    check_topics_number,
    type_name,
)
from anymodal_seg_ros.evaluation.bag_storage.unpack import MAX_UNPACKED
from anymodal_seg_ros.foreign_text import quote

MAGIC = b"SQLite format 3\0"
_RECOVER = "'sqlite3 {} .recover | sqlite3 mended.db3' may save more"
_LIMIT_LENGTH = 0  # SQLITE_LIMIT_LENGTH
_COLUMNS = {"id", "topic_id", "timestamp", "data"}
"""Of the table of messages."""
_DATA = f"CASE WHEN length(data) > {MAX_UNPACKED} THEN x'' ELSE data END"
"""Of a message; of one that is too large nothing: it is damaged, and the others are read."""


class SqliteFile:
    """A file of rosbag2's sqlite3 storage; see :class:`~.recording.Storage`."""

    def __init__(self, path: Path) -> None:
        """Find out what is in a file.

        Raises:
            BagError: it is no such file, or too damaged.
        """
        self.path = path
        self.notes: list[str] = []
        self._index: list[tuple[int, int, int]] | None = None  # time, row, topic; of a cut-off file
        try:
            self._database = self._open()
            try:
                self._by_id = self._topics()
                self._count_messages()
            except BaseException:
                self.close()
                raise
        except sqlite3.Error as error:
            raise BagError(
                f"{path} is damaged ({quote(error)}): {_RECOVER.format(path)}"
            ) from error

    @property
    def channels(self) -> Collection[Channel]:
        """Every topic."""
        return dict.fromkeys(self._by_id.values())

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Log time of the first and of the last message; None if there is none."""
        return self._span

    def count(self, channel: Channel) -> int:
        """How many messages a channel has."""
        return sum(self._counts[i] for i, known in self._by_id.items() if known == channel)

    def close(self) -> None:
        """Close the file."""
        self._database.close()
        if self._brings_index:
            self._log_index.unlink(missing_ok=True)

    def records(
        self, channels: Collection[Channel], start_ns: int, end_ns: int
    ) -> Iterator[Record]:
        """Yield the messages of some channels in order of log time, ``end_ns`` excluded.

        Raises:
            BagError: the file is damaged further on.
        """
        wanted = {i: channel for i, channel in self._by_id.items() if channel in channels}
        try:
            if self._index is not None:
                rows = self._saved(wanted, start_ns, end_ns)
            else:
                places = ",".join("?" * len(wanted))
                rows = self._database.execute(
                    f"SELECT topic_id, timestamp, {_DATA} FROM messages WHERE timestamp >= ? AND "
                    f"timestamp < ? AND topic_id IN ({places}) ORDER BY timestamp, id",
                    (max(start_ns, -(2**63)), min(end_ns, 2**63 - 1), *wanted),
                )
            for topic, log_ns, data in rows:
                if topic in wanted and isinstance(log_ns, int) and isinstance(data, bytes):
                    yield log_ns, wanted[topic], data
        except sqlite3.Error as error:
            raise BagError(
                f"{self.path} is damaged ({quote(error)}): {_RECOVER.format(self.path)}"
            ) from error

    def _open(self) -> sqlite3.Connection:
        """Open the database with what a killed recorder left in its log, if that can be read."""
        log = self.path.with_name(self.path.name + "-wal")
        self._log_index = self.path.with_name(self.path.name + "-shm")
        # The library makes an index of the log beside the file, and leaves it there.
        self._brings_index = False
        if log.is_file() and not log.is_symlink() and log.stat().st_size:
            there = os.path.lexists(self._log_index)
            try:
                database = _connected(self.path, "mode=ro")
            except sqlite3.Error as error:
                self.notes.append(
                    f"{log} is not read ({quote(error)}): copy the bag to where you can write"
                )
            else:
                self._brings_index = not there
                return database
        return _connected(self.path, "mode=ro&immutable=1")

    def _topics(self) -> dict[int, Channel]:
        tables = {
            str(row[0]): self._columns(str(row[0]))
            # A virtual table has no page of its own: what it holds is computed.
            for row in self._database.execute(
                "SELECT name FROM sqlite_master WHERE type='table' AND rootpage > 0"
            )
            if row[0] in ("topics", "messages", "message_definitions")
        }
        if not {"topics", "messages"} <= set(tables):
            raise BagError(
                f"{self.path} is a database, but no bag: it has no tables topics and messages"
            )
        # Columns that are computed are not among them: they may hold anything, and take any time.
        if lacking := sorted(_COLUMNS - tables["messages"]):
            raise BagError(f"{self.path} is no bag: its table messages has no column {lacking[0]}")
        definitions: dict[str, tuple[str, str]] = {}
        if "message_definitions" in tables:
            with contextlib.suppress(sqlite3.DatabaseError):  # the standard ones may do
                for name, kind, text in self._database.execute(
                    "SELECT topic_type, encoding, encoded_message_definition "
                    "FROM message_definitions"
                ):
                    definitions[str(name)] = (str(text), str(kind))
        profiles = "offered_qos_profiles" if "offered_qos_profiles" in tables["topics"] else "''"
        found = {}
        for number, topic, kind, encoding, offered in self._database.execute(
            f"SELECT id, name, type, serialization_format, {profiles} FROM topics "
            "WHERE typeof(id) = 'integer'"
        ):
            definition, definition_kind = definitions.get(str(kind), ("", ""))
            found[int(number)] = Channel(
                topic=absolute(str(topic)),
                type=type_name(str(kind)),
                encoding=str(encoding or "cdr"),
                definition=definition,
                definition_kind=definition_kind,
                profiles=str(offered),
            )
            check_topics_number(self.path, len(found))
        return found

    def _columns(self, table: str) -> set[str]:
        return {str(row[1]) for row in self._database.execute(f"PRAGMA table_info({table})")}

    def _count_messages(self) -> None:
        try:
            rows = self._database.execute(
                "SELECT topic_id, COUNT(*), MIN(timestamp), MAX(timestamp) FROM messages "
                "WHERE typeof(timestamp) = 'integer' GROUP BY topic_id"
            ).fetchall()
        except sqlite3.DatabaseError:
            self._save_what_is_whole()
            return
        self._counts = Counter({topic: count for topic, count, _, _ in rows})
        self._span = (min(r[2] for r in rows), max(r[3] for r in rows)) if rows else None

    def _save_what_is_whole(self) -> None:
        """List the messages of a file that was cut off, as far as its pages go."""
        self._index = []
        try:
            for row in self._database.execute(
                "SELECT timestamp, id, topic_id FROM messages NOT INDEXED ORDER BY id"
            ):
                if all(isinstance(number, int) for number in row):
                    self._index.append(row)
        except sqlite3.DatabaseError as error:
            if not self._index:
                raise BagError(
                    f"{self.path} was cut off or is damaged ({quote(error)}): "
                    f"{_RECOVER.format(self.path)}"
                ) from error
        self._index.sort()
        self.notes.append(
            f"{self.path} was cut off or is damaged: what is whole is read; "
            f"{_RECOVER.format(self.path)}"
        )
        self._counts = Counter(topic for _, _, topic in self._index)
        self._span = (self._index[0][0], self._index[-1][0]) if self._index else None

    def _saved(
        self, wanted: dict[int, Channel], start_ns: int, end_ns: int
    ) -> Iterator[tuple[int, int, Any]]:
        """Read one message after the other; those in lost pages are passed over."""
        for log_ns, row, topic in self._index or ():
            if topic not in wanted or not start_ns <= log_ns < end_ns:
                continue
            try:
                found = self._database.execute(f"SELECT {_DATA} FROM messages WHERE id = ?", (row,))
                (data,) = found.fetchone()
            except (sqlite3.DatabaseError, TypeError):
                continue
            yield topic, log_ns, data


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    """Open a database for reading only.

    Raises:
        sqlite3.Error: not in this mode.
    """
    # The thread that opens a bag need not be the one that reads it; nobody shares it.
    database = sqlite3.connect(
        f"file:{url_quote(str(path.resolve()))}?{mode}", uri=True, check_same_thread=False
    )
    try:
        if hasattr(database, "setlimit"):  # Python 3.11
            database.setlimit(_LIMIT_LENGTH, MAX_UNPACKED)
        # Not to write, but to read files that are shorter than they say: sqlite refuses them
        # otherwise.
        database.execute("PRAGMA writable_schema = ON")
        database.execute("PRAGMA schema_version")
    except sqlite3.Error:
        database.close()
        raise
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return database
