"""The engines on a network with an input of another size: do they reach their aims?

    python benchmarks/engines.py --export-only              minutes, on a machine however busy
    python benchmarks/engines.py                            MiT-B0 at 480x640, one thread
    python benchmarks/engines.py --resume                   after it was interrupted
    python benchmarks/engines.py --size 192x256 --switches 10000 --engine openvino

The graphs of that size are exported once from the weights of the bundled model, which takes
minutes, and kept in --folder; so is what was measured of each engine, as soon as it was. Needs
torch and onnx.

Aims, as ratios of one run: the fastest engine on a CPU at least 1.5 times as fast as eager PyTorch
and at most 2.5 times the floor of products; at least 1.8 times the masks per second of processor
time of the whole graph in ONNX Runtime; ready in less than 3 s; nothing grows. The exit code is 1
if one of them is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from rich.console import Console

from anymodal_seg_ros.cli.engines.benchmark import conclusions, timing_table
from anymodal_seg_ros.inference.auto.choice_memory import choice_key
from anymodal_seg_ros.inference.benchmark.engine_benchmark import (
    MEASURED,
    EngineBenchmark,
    benchmark_engines,
)
from anymodal_seg_ros.inference.benchmark.engine_report import EngineReport, Timing
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


def measured(model: Model, options: argparse.Namespace) -> EngineBenchmark:
    """Measure one engine after the other, and keep what was found of each."""
    parts = []
    for kind in options.engine or MEASURED:
        how = f"{kind}-{options.threads}-{options.repeats}-{options.switches}"
        path = options.folder / f"{model.folder.name}-{how}.json"
        key = choice_key(model, options.threads, False, "auto")
        found = kept(path, key) if options.resume else None
        print(f"{kind}: {'as measured before' if found else 'being measured'}", flush=True)
        if found is None:
            found = benchmark_engines(
                model, options.threads, options.repeats, options.switches, [kind], print
            )
            content = {"key": key, "found": dataclasses.asdict(found)}
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        parts.append(found)
    return dataclasses.replace(
        parts[-1],
        engines=tuple(report for part in parts for report in part.engines),
        left_out={kind: why for part in parts for kind, why in part.left_out.items()},
        longest_ms={name: ms for part in parts for name, ms in part.longest_ms.items()},
        grown_mb={name: mb for part in parts for name, mb in part.grown_mb.items()},
    )


def kept(path: Path, key: str) -> EngineBenchmark | None:
    """Return what was measured of an engine before, on this machine and with this model."""
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["key"] != key:
        return None
    found = content["found"]
    for report in found["engines"]:
        report["timings"] = tuple(Timing(**timing) for timing in report["timings"])
    found["engines"] = tuple(EngineReport(**report) for report in found["engines"])
    return EngineBenchmark(**found)


def aims(found: EngineBenchmark) -> list[tuple[str, float, bool]]:
    """Return each aim, the figure of the engine that is best at it, and whether it is reached.

    Aims of which nothing is known, because an engine to compare with was left out, are not told.
    """
    ratios = found.ratios()
    cpu = [r for r in found.engines if r.name.endswith("cpu") and r.name != "torch cpu"]

    def of(ratio: str) -> list[float]:
        return [ratios[r.name][ratio] for r in cpu if ratio in ratios[r.name]]

    against = of("against_torch"), of("against_whole")
    figures = [
        ("times as fast as torch, at least 1.5", max, against[0], 1.5, True),
        ("times the floor, at most 2.5", min, of("of_floor"), 2.5, False),
        ("times the masks of the whole graph, at least 1.8", max, against[1], 1.8, True),
        ("ready after, at most 3 s", min, [r.ready_s for r in cpu], 3.0, False),
        (
            "MB more after all switches, at most 16",
            max,
            [found.grown_mb[r.name] for r in cpu if found.switches],
            16.0,
            False,
        ),
    ]
    results = []
    for words, best, values, aim, at_least in figures:
        if values:
            figure = best(values)
            results.append((words, figure, figure >= aim if at_least else figure <= aim))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="rig-b0", help="a bundled model")
    parser.add_argument("--size", default="480x640", help="of the input, HEIGHTxWIDTH")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--switches", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(".cache/benchmarks"))
    parser.add_argument("--engine", action="append", choices=MEASURED, help="only this; repeatable")
    parser.add_argument("--resume", action="store_true", help="measure no engine a second time")
    parser.add_argument("--export-only", action="store_true", help="measure nothing yet")
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    model = resized(options.model, height, width, options.folder)
    if options.export_only:
        print(f"ready to be measured: {model.folder}")
        return 0
    found = measured(model, options)
    if not found.engines:
        return 1
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
