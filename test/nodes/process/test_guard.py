from __future__ import annotations

from anymodal_seg_ros.nodes.process.guard import guarded


def test_what_a_callback_raises_is_handed_on_with_the_sensors_name() -> None:
    failures: list[tuple[str, str]] = []

    def callback(sensor: str, message: str) -> None:
        if message == "bad":
            raise OverflowError("cannot convert")

    call = guarded(callback, lambda sensor, error: failures.append((sensor, str(error))))
    call("front", "good")
    call("front", "bad")
    assert failures == [("front", "cannot convert")]
