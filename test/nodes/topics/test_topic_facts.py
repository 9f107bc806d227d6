"""What is said of a topic, and how it is subscribed to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anymodal_seg_ros.nodes.topics.topic_facts import (
    Offer,
    TopicFacts,
    Trouble,
    best_match,
    other_transports,
)

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
RELIABLE = Offer("/camera", IMAGE, reliable=True, latched=False)
BEST_EFFORT = Offer("/other", IMAGE, reliable=False, latched=False)
LATCHED = Offer("/map", IMAGE, reliable=True, latched=True)
FINE = TopicFacts("/front/image", IMAGE, (RELIABLE,), received=100, middleware="rmw_fastrtps_cpp")


@pytest.mark.parametrize(
    ("offers", "latched", "expected"),
    [
        ([], False, (True, False)),  # as before
        ([RELIABLE], False, (True, False)),
        ([BEST_EFFORT], False, (False, False)),
        ([RELIABLE, BEST_EFFORT], False, (False, False)),
        ([LATCHED], True, (True, True)),
        ([LATCHED], False, (True, False)),
        ([LATCHED, RELIABLE], True, (True, False)),
    ],
)
def test_every_publisher_is_heard_as_well_as_it_can(
    offers: list[Offer], latched: bool, expected: tuple[bool, bool]
) -> None:
    assert best_match(offers, latched, (True, False)) == expected


def test_a_topic_in_order_needs_no_words() -> None:
    assert FINE.trouble is Trouble.NONE
    assert FINE.words == ""


@pytest.mark.parametrize(
    ("facts", "trouble", "words"),
    [
        (
            replace(FINE, offers=(), alike=("/front_camera/image",)),
            Trouble.NO_PUBLISHER,
            ["nobody publishes /front/image", "/front_camera/image"],
        ),
        (
            replace(FINE, offers=(), alike=("/other",), packed="/front/image/compressed"),
            Trouble.NO_PUBLISHER,
            ["nobody publishes /front/image, but /front/image/compressed is published: take that"],
        ),
        (
            replace(FINE, offers=(replace(RELIABLE, type=COMPRESSED),)),
            Trouble.ANOTHER_TYPE,
            [COMPRESSED, "set type: compressed"],
        ),
        (
            replace(FINE, offers=(replace(RELIABLE, type="std_msgs/msg/String"),)),
            Trouble.ANOTHER_TYPE,
            ["std_msgs/msg/String", IMAGE],
        ),
        (
            replace(FINE, offers=(replace(RELIABLE, type="sensor_msgs/msg/LaserScan"),)),
            Trouble.ANOTHER_TYPE,
            ["sensor_msgs/msg/LaserScan", IMAGE, "laserscan_to_pointcloud", "point_cloud"],
        ),
        (
            replace(FINE, offers=(replace(RELIABLE, type="velodyne_msgs/msg/VelodyneScan"),)),
            Trouble.ANOTHER_TYPE,
            ["not yet points", "PointCloud2"],
        ),
        (
            replace(FINE, offers=(RELIABLE, BEST_EFFORT), senders=2),
            Trouble.TWO_PUBLISHERS,
            ["/camera", "/other", "one sensor is one topic"],
        ),
        (
            replace(FINE, offers=(BEST_EFFORT,), reliable=True, received=0),
            Trouble.ASKS_FOR_MORE,
            ["offer reliability best_effort only", "image.subscription.reliability"],
        ),
        (
            replace(FINE, reliable=True, latched=True, received=0),
            Trouble.ASKS_FOR_MORE,
            ["offer durability volatile only", "qos_overrides./front/image.subscription.dura"],
        ),
        (replace(FINE, lost_share=0.51), Trouble.LOST, ["51%", "fastdds.xml"]),
        (
            replace(FINE, received=0),
            Trouble.UNHEARD,
            ["/camera publishes /front/image, but nothing of it has come", "--ipc=host"],
        ),
        (replace(FINE, received=0, middleware="rmw_zenoh_cpp"), Trouble.UNHEARD, ["firewall"]),
        (
            replace(FINE, received=0, offers=(replace(RELIABLE, node="/_NODE_NAME_UNKNOWN_"),)),
            Trouble.UNHEARD,
            ["somebody publishes /front/image"],
        ),
        (
            replace(FINE, lost_share=0.51, middleware="rmw_cyclonedds_cpp"),
            Trouble.LOST,
            ["rmw_cyclonedds_cpp", "receive buffers"],
        ),
    ],
)
def test_troubles_are_named_with_their_mend(
    facts: TopicFacts, trouble: Trouble, words: list[str]
) -> None:
    assert facts.trouble is trouble
    for word in words:
        assert word in facts.words


def test_one_publisher_that_matches_is_enough_and_so_are_messages() -> None:
    one = replace(FINE, offers=(RELIABLE, BEST_EFFORT), senders=1, reliable=True)
    assert one.trouble is Trouble.NONE
    heard = replace(FINE, offers=(BEST_EFFORT,), reliable=True, received=7)
    assert heard.trouble is Trouble.NONE


def test_a_killed_driver_that_the_graph_still_knows_is_no_second_publisher() -> None:
    facts = replace(FINE, offers=(RELIABLE, BEST_EFFORT), senders=1)
    assert facts.trouble is Trouble.NONE


def test_a_driver_that_is_started_again_and_again_is_one_driver() -> None:
    # Three of its lives were heard in the last seconds; the graph knows the one that is.
    assert replace(FINE, senders=3).trouble is Trouble.NONE
    both = replace(FINE, offers=(RELIABLE, replace(RELIABLE, node="/other")), senders=3)
    assert "2 publishers send" in both.words


@pytest.mark.parametrize(
    ("topic", "type_name", "names"),
    [
        ("/front/image", IMAGE, ["/front/image/compressed", "/front/image/compressedDepth"]),
        ("/front/compressed", COMPRESSED, ["/front", "/front/compressedDepth"]),
        ("/front/info", "sensor_msgs/msg/CameraInfo", []),
    ],
)
def test_pictures_are_looked_for_in_other_transports(
    topic: str, type_name: str, names: list[str]
) -> None:
    assert other_transports(topic, type_name) == names
