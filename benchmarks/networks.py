"""What every network costs on the CPU with one to four sensors present, and how much memory.

    PYTHONPATH=.:training python benchmarks/networks.py [--backbone mit_b0] [--onnx]

All networks are folded as in deployment and run in turns, frame by frame, so that whatever else the
machine does meets all of them; medians of wall time. `ratio` is the time over that of the baseline
with as many sensors. Memory is the largest resident set of a process of its own that runs four
sensors, less that of one which only imports. Weights are random, which costs the same.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from anymodal_seg_ros.networks import DeployedNetwork, build_network, network_names
from anymodal_seg_training.export.onnx_file import write_onnx

CLASSES = 25
MODALITIES = ("rgb", "depth", "event", "lidar")
PRESENT = (1, 2, 3, 4)
WARM_UP = 2
EDITIONS = {"quorum_second": {"network": "quorum", "adapters": "per_modality"}}
"""Networks with other options than the usual ones, by the name that they have here."""
NAMES = (*network_names(), *EDITIONS)

Run = Callable[[int], None]
"""Segments one frame with so many sensors."""


def deployed(name: str, arguments: argparse.Namespace) -> DeployedNetwork:
    torch.manual_seed(0)
    architecture = {
        **EDITIONS.get(name, {"network": name}),
        "backbone": arguments.backbone,
        "head_width": arguments.head_width,
    }
    outputs = ("mask", "confidence") if arguments.confidence else ("mask",)
    return DeployedNetwork(build_network(architecture, CLASSES, MODALITIES), outputs)


def eager(network: DeployedNetwork, height: int, width: int) -> Run:
    images, ids = torch.randn(len(MODALITIES), 3, height, width), torch.arange(len(MODALITIES))

    def run(present: int) -> None:
        with torch.inference_mode():
            network(images[:present], ids[:present])

    return run


def graph(network: DeployedNetwork, height: int, width: int, threads: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_onnx(network, height, width, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images, ids = torch.randn(len(MODALITIES), 3, height, width), torch.arange(len(MODALITIES))

    def run(present: int) -> None:
        session.run(
            None, {"images": images[:present].numpy(), "modality_ids": ids[:present].numpy()}
        )

    return run


def measure(runs: dict[str, Run], repeats: int) -> dict[str, list[float]]:
    """Return the median times in ms, by network, for each number of sensors."""
    times: dict[tuple[str, int], list[float]] = {}
    for turn in track(range(WARM_UP + repeats), "in turns", console=Console(stderr=True)):
        for present in PRESENT:
            for name, run in runs.items():
                started = time.perf_counter()
                run(present)
                elapsed_ms = (time.perf_counter() - started) * 1e3
                if turn >= WARM_UP:
                    times.setdefault((name, present), []).append(elapsed_ms)
    return {name: [statistics.median(times[name, m]) for m in PRESENT] for name in runs}


def peak_memory(name: str | None, arguments: argparse.Namespace) -> float:
    """Return the largest resident set in MB of a process that runs a network, or only imports."""
    command = [sys.executable, __file__, "--peak-of", name or "nothing"]
    for option in ("backbone", "height", "width", "threads", "head_width"):
        command += [f"--{option.replace('_', '-')}", str(getattr(arguments, option))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def print_peak(arguments: argparse.Namespace) -> None:
    """Be that process."""
    if arguments.peak_of != "nothing":
        run = eager(deployed(arguments.peak_of, arguments), arguments.height, arguments.width)
        run(len(MODALITIES))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def print_table(
    title: str, times: dict[str, list[float]], memory: dict[str, float], baseline: str
) -> None:
    table = Table(title=title)
    table.add_column("network")
    for present in PRESENT:
        table.add_column(f"M={present}, ms", justify="right")
        table.add_column("ratio", justify="right")
    table.add_column("M=1 / M=4", justify="right")
    table.add_column("memory, MB", justify="right")
    for name, row in times.items():
        cells = [
            cell
            for value, reference in zip(row, times[baseline], strict=True)
            for cell in (f"{value:.1f}", f"{value / reference:.2f}")
        ]
        peak = f"{memory[name]:.0f}" if name in memory else ""
        table.add_row(name, *cells, f"{row[0] / row[-1]:.2f}", peak)
    Console(width=140).print(table)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backbone", default="mit_b0")
    parser.add_argument("--head-width", type=int, default=256)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--networks", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--baseline", choices=NAMES, default="anyseg")
    parser.add_argument("--onnx", action="store_true", help="ONNX Runtime too; exports: minutes")
    parser.add_argument("--confidence", action="store_true", help="with that output")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    if arguments.peak_of:
        print_peak(arguments)
        return
    names = tuple(dict.fromkeys((arguments.baseline, *arguments.networks)))
    size = (arguments.height, arguments.width)
    networks = {name: deployed(name, arguments) for name in names}
    memory = {}
    if not arguments.no_memory:
        bare = peak_memory(None, arguments)
        memory = {name: peak_memory(name, arguments) - bare for name in names}
    what = f"{arguments.backbone}, {size[0]}x{size[1]}, {arguments.threads} thread(s)"
    times = measure({n: eager(net, *size) for n, net in networks.items()}, arguments.repeats)
    print_table(f"PyTorch, {what}", times, memory, arguments.baseline)
    if arguments.onnx:
        sessions = {n: graph(net, *size, arguments.threads) for n, net in networks.items()}
        times = measure(sessions, arguments.repeats)
        print_table(f"ONNX Runtime, {what}", times, {}, arguments.baseline)


if __name__ == "__main__":
    main()
