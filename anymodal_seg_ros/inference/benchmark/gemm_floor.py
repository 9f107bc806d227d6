"""How fast a network could be on a processor: its operations at the rate of a large product.

No engine reaches that, as norms, softmax and memory cost as well; how far each is from it is a
figure that can be compared between machines. Needs torch, which counts the operations.
"""

from __future__ import annotations

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.runtimes.torch_engine import load_network
from anymodal_seg_ros.inference.verification.self_test import frame_of_all
from anymodal_seg_ros.networks import DeployedNetwork

SIDE, SECONDS = 1024, 1.0


def gflop(model: Model) -> dict[int, float]:
    """Return the operations of a mask of 1, 2, … sensors, in GFLOP; a product and a sum are two.

    Raises:
        ModelError: the network cannot be built.
    """
    network = DeployedNetwork(load_network(model), ("logits",))
    frame, counted = frame_of_all(model), {}
    for sensors in range(1, len(frame.modality_ids) + 1):
        images = torch.from_numpy(frame.images[:sensors])
        ids = torch.from_numpy(frame.modality_ids[:sensors])
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(images, ids)
        counted[sensors] = counter.get_total_flops() / 1e9
    return counted


def gemm_rate(threads: int) -> float:
    """Return GFLOP per second of processor time in products of 1024×1024, with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    left, right = torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE)
    best, ended = float("inf"), time.perf_counter() + SECONDS
    try:
        while time.perf_counter() < ended:
            used = time.process_time()
            torch.mm(left, right)
            best = min(best, time.process_time() - used)
    finally:
        torch.set_num_threads(before)
    return 2 * SIDE**3 / 1e9 / best
