"""How long the parts of a node may take to stop, and so all of it. Whoever ends it waits as long.

Without imports: launch reads it, in an interpreter that need not have what a node needs.
"""

from __future__ import annotations

WORKER_S = 3.0
"""Of the threads that infer: one that has not ended after this is slow, or its engine hangs."""

RECORDING_S = 10.0
"""Of the recordings of the black box that are under way, two at most."""

SNAPSHOT_S = 10.0
"""Of a snapshot that is being written down."""

MIDDLEWARE_S = 10.0
"""Of ROS, to go; it takes a tenth of a second, or one or two on a busy machine."""

_REST_S = 2.0
"""Of the interpreter and of everything that has no limit, because it is done at once."""

WHOLE_S = WORKER_S + RECORDING_S + SNAPSHOT_S + MIDDLEWARE_S + _REST_S
"""Of a node whose engine, disk and middleware all hang: one waits after the other."""
