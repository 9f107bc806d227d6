"""What an operator asks of the node, answered while a disk is slow."""

from __future__ import annotations

import os
import threading

import pytest
from fixtures.ros_graph import Graph, wait_until
from std_srvs.srv import SetBool, Trigger

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.nodes.services import Deed, NodeServices

pytestmark = pytest.mark.ros


class SlowDisk:
    """Snapshots that are written when the disk lets them."""

    def __init__(self) -> None:
        self.free, self.threads = threading.Event(), list[str]()
        self.trouble, self.written = "", "folder"

    def prepare(self) -> Deed:
        if self.trouble:
            raise AnymodalError(self.trouble)
        return self.write

    def write(self) -> str:
        self.threads.append(threading.current_thread().name)
        self.free.wait(30.0)
        return self.written


@pytest.fixture(scope="module")
def disk(graph: Graph) -> SlowDisk:
    disk = SlowDisk()
    NodeServices(
        graph.node,
        ["rgb"],
        enable=lambda on: f"enabled {on}",
        enable_sensor=lambda name, on: f"{name} {on}",
        reset=lambda: "begun anew",
        save_snapshot=disk.prepare,
    )
    return disk


def test_a_slow_disk_keeps_nobody_waiting_but_who_asked_for_the_snapshot(
    graph: Graph, disk: SlowDisk
) -> None:
    name = graph.node.get_fully_qualified_name()
    client = graph.node.create_client(Trigger, f"{name}/save_snapshot")
    assert client.wait_for_service(10.0)
    first = client.call_async(Trigger.Request())
    wait_until(lambda: bool(disk.threads), "nothing is being written")
    assert graph.call(SetBool, f"{name}/enable", SetBool.Request(data=True)).success
    assert graph.call(Trigger, f"{name}/reset", Trigger.Request()).message == "begun anew"
    assert not first.done()
    disk.free.set()
    wait_until(first.done, "no answer once the disk was free")
    assert first.result().success and first.result().message == "folder"
    assert disk.threads == ["snapshot"]
    assert graph.call(Trigger, f"{name}/save_snapshot", Trigger.Request()).success
    graph.node.destroy_client(client)


def test_why_nothing_is_written_is_the_answer(graph: Graph, disk: SlowDisk) -> None:
    disk.trouble = "no message has come so far\n\x1b[31m"
    name = graph.node.get_fully_qualified_name()
    refused = graph.call(Trigger, f"{name}/save_snapshot", Trigger.Request())
    assert not refused.success
    assert (
        refused.message.startswith("no message has come so far") and "\x1b" not in refused.message
    )


def test_a_folder_whose_name_is_no_text_is_an_answer_too(graph: Graph, disk: SlowDisk) -> None:
    """Of a home whose name is in another encoding; the middleware takes nothing but UTF-8."""
    disk.trouble, disk.written = "", os.fsdecode(b"/home/j\xf6rg")
    name = graph.node.get_fully_qualified_name()
    answer = graph.call(Trigger, f"{name}/save_snapshot", Trigger.Request())
    assert (answer.success, answer.message) == (True, "/home/j?rg")
