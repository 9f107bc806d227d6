"""Humble's rclpy (3.3.15) has no wheels: what it offers is written down, and held against our use.

Names and parameters are those of its branch ``humble``; what is used beyond them works only in
later distributions and belongs into ``nodes/process/distribution.py``.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "anymodal_seg_ros"
DIFFERENCES = PACKAGE / "nodes" / "process" / "distribution.py"

OFFERED = {
    "rclpy": "init shutdown try_shutdown spin ok create_node",
    "rclpy.callback_groups": "MutuallyExclusiveCallbackGroup ReentrantCallbackGroup",
    "rclpy.clock": "Clock ClockType JumpThreshold",
    "rclpy.context": "Context",
    "rclpy.duration": "Duration",
    "rclpy.exceptions": "InvalidServiceNameException InvalidTopicNameException "
    "NameValidationException ParameterNotDeclaredException",
    "rclpy.executors": "SingleThreadedExecutor MultiThreadedExecutor ExternalShutdownException "
    "TimeoutException",
    "rclpy.lifecycle": "LifecycleNode LifecycleState TransitionCallbackReturn",
    "rclpy.logging": "get_logger",
    "rclpy.node": "Node",
    "rclpy.parameter": "Parameter",
    "rclpy.publisher": "Publisher",
    "rclpy.qos": "DurabilityPolicy HistoryPolicy QoSProfile ReliabilityPolicy "
    "qos_policy_name_from_kind qos_profile_sensor_data",
    "rclpy.qos_event": "PublisherEventCallbacks SubscriptionEventCallbacks "
    "UnsupportedEventTypeError",
    "rclpy.qos_overriding_options": "QoSOverridingOptions QoSPolicyKind",
    "rclpy.serialization": "serialize_message deserialize_message",
    "rclpy.signals": "SignalHandlerOptions",
    "rclpy.subscription": "Subscription",
    "rclpy.task": "Future",
    "rclpy.utilities": "get_rmw_implementation_identifier remove_ros_args",
    "rclpy.validate_topic_name": "validate_topic_name",
}

KEYWORDS = {
    "create_publisher": "callback_group event_callbacks qos_overriding_options publisher_class",
    "create_lifecycle_publisher": "callback_group event_callbacks qos_overriding_options",
    "create_subscription": "callback_group event_callbacks qos_overriding_options raw",
    "create_client": "qos_profile callback_group",
    "create_service": "qos_profile callback_group",
    "create_timer": "callback_group clock",
    "declare_parameter": "ignore_override",
    "get_publishers_info_by_topic": "no_mangle",
    "resolve_topic_name": "only_expand",
    "PublisherEventCallbacks": "deadline liveliness incompatible_qos use_default_callbacks",
    "SubscriptionEventCallbacks": "deadline incompatible_qos liveliness message_lost "
    "use_default_callbacks",
    "QoSProfile": "history depth reliability durability lifespan deadline liveliness "
    "liveliness_lease_duration avoid_ros_namespace_conventions",
    "init": "args context domain_id signal_handler_options",
}

LATER = ("BEST_AVAILABLE", "add_post_set_parameters_callback", "add_pre_set_parameters_callback")
"""What must be asked for before it is used."""


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_only_what_humble_has_is_imported_outside_of_the_module_of_differences() -> None:
    seen = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            if module is None or module.split(".")[0] != "rclpy":
                continue
            if path == DIFFERENCES and module == "rclpy.event_handler":
                continue
            seen.add(module)
            assert module in OFFERED, f"{path.name}: {module}"
            missing = {alias.name for alias in node.names} - set(OFFERED[module].split())
            assert not missing, f"{path.name}: {module} has no {missing}"
    assert len(seen) > 10


def test_calls_take_only_keywords_that_humble_knows() -> None:
    seen = set()
    for path, tree in sources():
        if not path.is_relative_to(PACKAGE / "nodes"):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in KEYWORDS:
                seen.add(name)
                given = {keyword.arg for keyword in node.keywords if keyword.arg}
                assert given <= set(KEYWORDS[name].split()), f"{path.name}:{node.lineno}"
    assert {"create_subscription", "create_lifecycle_publisher", "create_timer"} <= seen


def test_nothing_later_is_used() -> None:
    for path, tree in sources():
        code = ast.unparse(tree)
        for name in LATER:
            told = [line for line in code.splitlines() if name in line and '"""' not in line]
            assert not [line for line in told if f".{name}" in line], f"{path.name}: {name}"


class HumbleNode:
    """Takes what Humble's ``create_subscription`` takes; its callbacks have one argument."""

    def __init__(self, refuses_events: type[Exception] | None = None) -> None:
        self._refuses = refuses_events
        self.callback: Any = None
        self.events: Any = None

    def create_subscription(
        self,
        msg_type: Any,
        topic: str,
        callback: Any,
        qos_profile: Any,
        *,
        callback_group: Any = None,
        event_callbacks: Any = None,
        qos_overriding_options: Any = None,
        raw: bool = False,
    ) -> str:
        if event_callbacks is not None and self._refuses is not None:
            raise self._refuses("not of this middleware")
        self.callback, self.events = callback, event_callbacks
        return topic


@pytest.fixture()
def on_humble(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of differences, loaded among modules as Humble has them."""

    class Events:
        def __init__(self, *, message_lost: Any = None, use_default_callbacks: bool = True) -> None:
            self.message_lost = message_lost

    made: dict[str, dict[str, Any]] = {
        "rclpy.lifecycle": {"LifecycleNode": object},
        "rclpy.node": {"Node": HumbleNode},
        "rclpy.qos": {"QoSProfile": object, "qos_policy_name_from_kind": str},
        "rclpy.qos_overriding_options": {"QoSOverridingOptions": object},
        "rclpy.subscription": {"Subscription": type("Subscription", (), {})},
        "rclpy.qos_event": {
            "PublisherEventCallbacks": object,
            "SubscriptionEventCallbacks": Events,
            "UnsupportedEventTypeError": type("UnsupportedEventTypeError", (Exception,), {}),
        },
    }
    monkeypatch.setitem(sys.modules, "rclpy", ModuleType("rclpy"))
    monkeypatch.setitem(sys.modules, "rclpy.event_handler", None)  # no such module
    for name, members in made.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("distribution_on_humble", DIFFERENCES)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_on_humble_messages_come_without_info_and_losses_are_counted(on_humble: Any) -> None:
    node, heard, lost = HumbleNode(), [], []
    on_humble.subscribe(
        node, object, "rgb", lambda *got: heard.append(got), lost.append, object(), object()
    )
    assert not on_humble.HAS_MESSAGE_INFO
    node.callback("message")  # one argument, as Humble calls it
    node.events.message_lost(SimpleNamespace(total_count_change=3))
    assert heard == [("message", None)]
    assert lost == [3]


def test_on_a_middleware_without_that_event_messages_come_all_the_same(on_humble: Any) -> None:
    node = HumbleNode(refuses_events=on_humble.UnsupportedEventTypeError)
    assert on_humble.subscribe(node, object, "rgb", print, print, object(), object()) == "rgb"
    assert node.events is None
