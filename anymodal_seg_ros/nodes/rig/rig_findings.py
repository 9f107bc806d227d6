"""What a look at the topics of a rig has shown, and what to mend. No rclpy in here."""

from __future__ import annotations

from dataclasses import dataclass

from anymodal_seg_ros.config import SensorConfig
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.messages.evidence import OUT_OF_ORDER, OUT_OF_ORDER_FROM
from anymodal_seg_ros.nodes.topics.topic_facts import TopicFacts, Trouble

SLOW, FAST = 0.7, 1.5
"""Shares of the promised rate outside of which the promise is wrong, or the driver is."""

FUTURE_S, OLD_S = 0.02, 0.5
"""Stamps that lie further ahead, or further back, than this are told."""


_NOTHING_COMES = (
    Trouble.NO_PUBLISHER,
    Trouble.ANOTHER_TYPE,
    Trouble.ASKS_FOR_MORE,
    Trouble.UNHEARD,
)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of one sensor's topic while it was watched.

    Attributes:
        sensor: its name.
        facts: what the graph and the middleware say.
        seconds: how long messages were counted.
        messages: how many came in that time.
        form: size and encoding of the newest, e.g. ``640x480 rgb8``; empty if none could be read.
        unreadable: why the newest message cannot be used; empty if it can.
        stamp_age_s: how old stamps were when their messages came, median; None without messages.
        unstamped: messages whose stamp is 0.
        seen: messages that came in all, also while the drivers were waited for.
        repeated: of those, the ones that have the stamp of the one before.
        damaged: of those, the images that cannot be used.
        damage: why the newest of them cannot.
        forms: sizes and encodings of its images, as they came; a few of them.
        content: what makes the newest one no picture of the world, as the watchdog finds it; empty
            if nothing does.
        calibration: size of its calibration, e.g. ``640x480``; empty if none came.
        calibration_facts: what the graph says of its topic; None where none is configured.
        calibration_error: why its calibration cannot be used; empty if it can, or none came.
        place_error: why its place is not known, where it is left to tf; empty if it is.
        frame: the newest message's ``frame_id``; None where none came or it cannot be told.
    """

    sensor: str
    facts: TopicFacts
    seconds: float
    messages: int
    form: str = ""
    unreadable: str = ""
    stamp_age_s: float | None = None
    unstamped: int = 0
    seen: int = 0
    repeated: int = 0
    damaged: int = 0
    damage: str = ""
    forms: tuple[str, ...] = ()
    content: str = ""
    calibration: str = ""
    calibration_facts: TopicFacts | None = None
    calibration_error: str = ""
    place_error: str = ""
    frame: str | None = None

    @property
    def rate_hz(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds


def findings(look: Look, config: SensorConfig) -> list[str]:
    """Return what is wrong with a sensor, the cause before its consequences; empty if nothing is.

    Args:
        look: what was seen.
        config: what the rig says of the sensor.
    """
    found = [look.facts.words] if look.facts.words else []
    if look.facts.trouble in _NOTHING_COMES:
        return found
    if not look.messages:
        return [*found, f"nothing came on {look.facts.topic} in {look.seconds:.0f} s"]
    found += _of_images(look)
    found += [*_of_rate(look, config), *_of_stamps(look), *_of_frame(look)]
    found += _of_calibration(look, config)
    return [*found, look.place_error] if look.place_error else found


def _of_images(look: Look) -> list[str]:
    """Look at all that came: what is wrong with the newest alone is left to chance."""
    if look.damaged and look.damaged < look.seen:
        return [f"{look.damaged} of {look.seen} messages cannot be used: {look.damage}"]
    if look.unreadable:
        return [f"its messages cannot be used: {look.unreadable}"]
    if len(look.forms) > 1 and look.facts.trouble is not Trouble.TWO_PUBLISHERS:
        return [
            f"its images change under way: {', '.join(look.forms)}: let the driver keep to one "
            "size and encoding"
        ]
    if look.content:
        mend = ": set counts.per_count" if look.content.startswith("units:") else ""
        return [f"its newest picture would not be used, {look.content}{mend}"]
    return []


def _of_rate(look: Look, config: SensorConfig) -> list[str]:
    share = look.rate_hz / config.expected_hz
    explained = look.damaged or look.facts.trouble in (Trouble.LOST, Trouble.TWO_PUBLISHERS)
    if explained or SLOW <= share <= FAST or (share > FAST and config.sends_events):
        return []
    return [
        f"{look.rate_hz:.1f} Hz come, {config.expected_hz:g} are promised: "
        f"set expected_hz to {look.rate_hz:.1f} if that is its rate"
    ]


def _of_stamps(look: Look) -> list[str]:
    if look.unstamped:
        return [f"{look.unstamped} of {look.messages} stamps are 0: let the driver stamp"]
    if look.repeated > OUT_OF_ORDER_FROM * look.seen:
        if look.facts.trouble is Trouble.TWO_PUBLISHERS:
            return []
        words = OUT_OF_ORDER["duplicate stamp"]
        return [f"{look.repeated} of {look.seen} messages {words}"]
    if look.stamp_age_s is None:
        return []
    if look.stamp_age_s < -FUTURE_S:
        return [
            f"stamps lie {-look.stamp_age_s * 1e3:.0f} ms in the future: "
            "synchronise the clocks (chrony, PTP), or set offset_s"
        ]
    if look.stamp_age_s > OLD_S:
        return [
            f"stamps are {look.stamp_age_s:.2f} s old when they come: another clock, "
            "or a long way (use_sim_time with a bag?)"
        ]
    return []


def _of_frame(look: Look) -> list[str]:
    """Masks and points carry the frame of their picture: who uses them asks tf for it."""
    if look.frame == "":
        return ["its messages name no frame: set the driver's frame_id, or its masks have no place"]
    if look.frame is not None and look.frame.startswith("/"):
        return [f"its frame_id is {quote(look.frame)}, which tf2 refuses: leave the slash out"]
    return []


def _of_calibration(look: Look, config: SensorConfig) -> list[str]:
    topic = config.registration.camera_info
    if not topic:
        return []
    if look.calibration_error:
        return [f"its calibration cannot be used: {look.calibration_error}"]
    facts = look.calibration_facts
    if not look.calibration and facts is not None and facts.trouble in _NOTHING_COMES:
        return [facts.words]
    if not look.calibration:
        return [f"no CameraInfo came on {topic}"]
    size = look.form.split(" ")[0]
    if size and size != look.calibration:
        return [f"its images are {size}, its calibration is for {look.calibration}"]
    return []
