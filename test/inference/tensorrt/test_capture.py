"""While a thread captures, no garbage is collected."""

import gc
import threading

from anymodal_seg_ros.inference.tensorrt import runner


def test_a_capture_that_ends_lets_no_garbage_be_collected_in_another():
    inside, first_ended = threading.Event(), threading.Event()
    collecting: list[bool] = []

    def capture() -> None:
        with runner._no_garbage_collected():
            inside.set()
            first_ended.wait(10)
            collecting.append(gc.isenabled())

    second = threading.Thread(target=capture)
    with runner._no_garbage_collected():
        second.start()
        inside.wait(0.05)  # it may wait for its turn instead
    first_ended.set()
    second.join()
    assert collecting == [False]
    assert gc.isenabled()
