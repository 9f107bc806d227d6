"""The engines on a network with an input of another size: do they reach their aims?

    python benchmarks/engines.py                            MiT-B0 at 480x640, one thread
    python benchmarks/engines.py --size 192x256 --switches 10000

The graphs of that size are exported once from the weights of the bundled model, which takes
minutes, and kept in --folder. Needs torch and onnx.

Aims, as ratios of one run: the fastest engine on a CPU at least 1.5 times as fast as eager PyTorch
and at most 2.5 times the floor of products; at least 1.8 times the masks per second of processor
time of the whole graph in ONNX Runtime; ready in less than 3 s; nothing grows. The exit code is 1
if one of them is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from rich.console import Console

from anymodal_seg_ros.cli.benchmark import conclusions, timing_table
from anymodal_seg_ros.inference.engine_benchmark import EngineBenchmark, benchmark_engines
from anymodal_seg_ros.inference.manifest import FileSpec, dump_manifest
from anymodal_seg_ros.inference.model import Model, load_model, sha256
from anymodal_seg_training.export.graphs import rewrite_graphs, rig_frame

WEIGHTS = "model.safetensors"


def resized(name: str, height: int, width: int, base: Path) -> Model:
    """Return a model with the weights of another and an input of another size."""
    folder = base / f"{name}-{height}x{width}"
    if not (folder / "self_test.npz").is_file():
        source = load_model(name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WEIGHTS).write_bytes(source.read("weights"))
        weights = FileSpec(WEIGHTS, sha256(folder / WEIGHTS))
        manifest = dataclasses.replace(
            source.manifest, height=height, width=width, files={"weights": weights}
        )
        dump_manifest(manifest, folder)
        rewrite_graphs(folder, rig_frame(manifest))
    return load_model(str(folder))


def aims(found: EngineBenchmark) -> list[tuple[str, float, bool]]:
    """Return each aim, the figure of the engine that is best at it, and whether it is reached."""
    cpu = {n: r for n, r in found.ratios().items() if n.endswith("cpu") and n != "torch cpu"}
    torch = max((r.get("against_torch", 0.0) for r in cpu.values()), default=0.0)
    floor = min((r.get("of_floor", float("inf")) for r in cpu.values()), default=float("inf"))
    whole = max((r.get("against_whole", 0.0) for r in cpu.values()), default=0.0)
    ready = min(r.ready_s for r in found.engines if r.name in cpu)
    results = [
        ("times as fast as torch, at least 1.5", torch, torch >= 1.5),
        ("times the floor, at most 2.5", floor, floor <= 2.5),
        ("times the masks of the whole graph, at least 1.8", whole, whole >= 1.8),
        ("ready after, at most 3 s", ready, ready <= 3.0),
    ]
    if found.switches:
        grown = max(mb for name, mb in found.grown_mb.items() if name in cpu)
        results.append(("MB more after all switches, at most 16", grown, grown <= 16.0))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="rig-b0", help="a bundled model")
    parser.add_argument("--size", default="480x640", help="of the input, HEIGHTxWIDTH")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--switches", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(".cache/benchmarks"))
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    model = resized(options.model, height, width, options.folder)
    found = benchmark_engines(model, options.threads, options.repeats, options.switches, tell=print)
    console = Console()
    console.print(timing_table(found.engines, f"{found.model}, {found.size}"))
    print("\n".join(conclusions(found)))
    missed = 0
    for words, figure, reached in aims(found):
        print(f"{'reached' if reached else 'MISSED '}  {figure:6.2f}  {words}")
        missed += not reached
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
