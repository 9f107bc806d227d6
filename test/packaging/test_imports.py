"""Which part may import which: sensing and inference run on any machine, with or without ROS."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

PACKAGE = "anymodal_seg_ros"
LAYERS = [
    {
        "",
        "errors",
        "foreign_text",
        "former_addresses",
        "frames",
        "config",
        "json_files",
        "resources",
        "streams",
        "usage_reports",
        "written_files",
        "worker_processes",
    },
    {"sensing", "networks"},
    {"inference", "faults", "messages"},
    {"pipeline", "simulation"},
    {"evaluation"},
    {"demo", "parameter_table"},
    {"nodes"},
    {"cli"},
    {"entry_points"},
]
"""From the bottom to the top: a part imports from layers below its own, never sideways or up."""

ROS = {"rclpy", "ament_index_python", "builtin_interfaces", "rcl_interfaces", "std_srvs"}
ONLY_IN = {
    "torch": (
        "networks/",
        "inference/runtimes/cuda_graphs.py",
        "inference/benchmark/gemm_floor.py",
        "inference/runtimes/torch_engine.py",
    ),
    "safetensors": ("networks/", "inference/runtimes/torch_engine.py"),
    "trimesh": ("simulation/",),
    "embreex": ("simulation/",),
    "rosbags": ("evaluation/", "messages/rosbags.py"),
    "lz4": ("evaluation/bag_storage/",),
    "backports": ("evaluation/bag_storage/",),
    "click": ("cli/",),
    "jinja2": ("evaluation/scorecard/report/report.py",),
    "jtop": ("inference/hardware/jetson_stats.py",),
    "matplotlib": ("evaluation/engine_picture.py", "evaluation/scorecard/report/plots.py"),
    "pytest": ("evaluation/pytest_scorecard.py",),
    "onnx": (),
    "openvino": ("inference/runtimes/openvino_engine.py",),
    "timm": ("networks/ma_clip.py", "networks/timm_encoder.py"),
}
"""Where else than there nobody may import these, not even inside a function."""

EMBEDDED = ("pipeline/pipeline.py", f"{PACKAGE}.pipeline")
"""An engine is made by what the package calls ``create_engine``: whoever embeds a pipeline may have
put another one there."""


@dataclass(frozen=True)
class Import:
    """One import statement."""

    file: str
    module: str
    at_top: bool

    @property
    def name(self) -> str:
        """The module that imports."""
        path = self.file.removesuffix(".py").removesuffix("__init__").rstrip("/")
        return ".".join([PACKAGE, *filter(None, path.split("/"))])

    @property
    def part(self) -> str:
        """The part of the package that imports: a folder or a module."""
        return self.file.split("/")[0].removesuffix(".py").removesuffix("__init__")

    @property
    def target(self) -> str | None:
        """The part that is imported, None if it is another package."""
        head, _, rest = self.module.partition(".")
        return rest.split(".")[0] if head == PACKAGE else None


def imports(root: Path) -> Iterator[Import]:
    for path in sorted((root / PACKAGE).rglob("*.py")):
        file, tree = path.relative_to(root / PACKAGE).as_posix(), ast.parse(path.read_text())
        top = {id(node) for node in _outside_functions(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: write imports with the package's full name"
                names = _imported_from(root, node)
            else:
                continue
            yield from (Import(file, name, id(node) in top) for name in names)


def _imported_from(root: Path, node: ast.ImportFrom) -> list[str]:
    """What a ``from`` imports; parts of the package by their own names, not the package's."""
    if node.module != PACKAGE:
        return [node.module or ""]
    folder = root / PACKAGE
    parts = {path.stem for path in folder.iterdir() if path.suffix in ("", ".py")}
    return [f"{PACKAGE}.{a.name}" if a.name in parts else PACKAGE for a in node.names]


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs on import."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _outside_functions(child)


@pytest.fixture(scope="module")
def every_import(project_root: Path) -> list[Import]:
    return list(imports(project_root))


def test_every_part_has_a_layer(every_import: list[Import]) -> None:
    parts = {i.part for i in every_import}
    assert parts <= set.union(*LAYERS), "a new part: say in LAYERS where it belongs"


def test_nobody_imports_upwards_or_sideways(every_import: list[Import]) -> None:
    layer = {part: height for height, parts in enumerate(LAYERS) for part in parts}

    def allowed(part: str, target: str) -> bool:
        below = layer[target] < layer[part]
        return below or part == target or layer[part] == layer[target] == 0

    own = [(i, i.target) for i in every_import if i.target is not None]
    wrong = [f"{i.file} imports {i.module}" for i, target in own if not allowed(i.part, target)]
    assert wrong == []


def test_no_file_imports_itself_through_others(every_import: list[Import]) -> None:
    """Not in a function or for annotations either: what imports in a circle is one file."""
    graph: dict[str, set[str]] = {}
    for i in every_import:
        if (i.file, i.module) != EMBEDDED:
            graph.setdefault(i.name, set()).add(i.module)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_in_evaluation_only_the_bags_of_the_rig_know_the_simulation(
    every_import: list[Import],
) -> None:
    users = {i.file for i in every_import if (i.part, i.target) == ("evaluation", "simulation")}
    assert all(user.startswith("evaluation/rig_") for user in users), users


def test_data_sets_stand_on_the_rig_and_the_rig_not_on_them(every_import: list[Import]) -> None:
    own, top = "simulation/dataset/", "simulation/contact_sheet.py"
    users = {
        i.file
        for i in every_import
        if i.part == "simulation" and i.module.startswith(f"{PACKAGE}.simulation.dataset")
    }
    assert {user for user in users if not user.startswith((own, top))} == set()


def test_only_nodes_know_ros(every_import: list[Import]) -> None:
    ros = [i for i in every_import if _is_ros(i.module.split(".")[0])]
    assert {i.part for i in ros} == {"nodes"}


def _is_ros(package: str) -> bool:
    return package in ROS or package.endswith("_msgs")


def test_commands_import_nodes_only_when_they_run(every_import: list[Import]) -> None:
    at_top = [i for i in every_import if i.at_top and (i.part, i.target) == ("cli", "nodes")]
    assert at_top == []


@pytest.mark.parametrize("library", ONLY_IN)
def test_libraries_stay_where_they_belong(every_import: list[Import], library: str) -> None:
    users = {i.file for i in every_import if i.module.split(".")[0] == library}
    assert {user for user in users if not user.startswith(ONLY_IN[library])} == set()


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (
            ["pipeline", "inference.runtimes.onnxruntime_engine"],
            ["torch", "rclpy", "rosbags", "trimesh"],
        ),
        (["faults.stream", "faults.timeline"], ["torch", "rclpy", "onnxruntime", "rosbags"]),
        pytest.param(
            ["simulation.dataset.frames", "simulation.dataset.plan"],
            ["torch", "rclpy", "onnxruntime", "rosbags"],
            marks=pytest.mark.skipif(not find_spec("trimesh"), reason="needs '.[sim]'"),
        ),
        (["evaluation.replay", "evaluation.results"], ["torch", "rclpy", "trimesh"]),
        (
            ["cli.main", "cli.bags.run", "cli.bags.play", "cli.bags.assemble_bag"],
            ["torch", "rclpy", "trimesh"],
        ),
        (
            ["cli.evaluation.evaluate", "cli.bags.inspect", "cli.evaluation.compare"],
            ["torch", "rclpy", "trimesh", "jinja2", "matplotlib", "pytest", "onnxruntime"],
        ),
        (["inference.tensorrt.engine"], ["onnxruntime", "torch"]),
        pytest.param(
            ["networks", "networks.anyseg"],
            ["timm", "open_clip", "transformers", "torchvision"],
            marks=pytest.mark.skipif(not find_spec("torch"), reason="needs '.[train]'"),
        ),
        (
            ["sensing.decoding.decode", "sensing.sync.synchronizer"],
            ["torch", "rclpy", "onnxruntime"],
        ),
        (["sensing"], ["cv2", "numpy", "yaml", "onnxruntime", "rclpy"]),
        (["sensing.sync.message_filter"], ["cv2", "onnxruntime", "rclpy", "message_filters"]),
    ],
)
def test_importing_loads_nothing_that_may_be_missing(
    project_root: Path, modules: list[str], absent: list[str]
) -> None:
    """What the syntax tree cannot show: what really gets loaded, through whatever detour."""
    names = ", ".join(f"{PACKAGE}.{module}" for module in modules)
    script = f"import sys, {names}\nprint(*(sys.modules.keys() & set({absent!r})))"
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=project_root, capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == []


def test_all_of_sensing_works_where_only_numpy_opencv_and_yaml_are_installed(
    project_root: Path,
) -> None:
    """Nobody needs an inference engine, a bag reader or ROS to use its public names."""
    others = ["onnxruntime", "rosbags", "click", "rich", "torch", "rclpy", "message_filters"]
    script = f"""
import sys
sys.modules.update(dict.fromkeys({others!r}))  # importing one of them now raises ImportError
from types import SimpleNamespace as Message
import numpy as np
from {PACKAGE} import sensing

assert all(getattr(sensing, name) for name in sensing.__all__)

class Topic:
    def registerCallback(self, callback, *args):
        self.send = lambda message: callback(message, *args)

topic, sets = Topic(), []
checks = [sensing.ContentChecker("depth", sensing.ChecksConfig())]
sync = sensing.PartialTimeSynchronizer([topic], 10, 0.05, checks=checks)
sync.registerCallback(sets.append)
header = Message(stamp=Message(sec=1, nanosec=0))
ramp = np.linspace(1, 2, 4800, dtype=np.float32).tobytes()
topic.send(Message(
    header=header, height=60, width=80, encoding="32FC1", is_bigendian=0, step=320, data=ramp
))
assert len(sets) == 1, sync.status()
"""
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=project_root, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr


def test_a_class_name_exists_once() -> None:
    found: dict[str, list[str]] = {}
    root = Path(__file__).resolve().parents[2]
    for folder in (PACKAGE, "training"):
        for path in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, []).append(str(path.relative_to(root)))
    assert {name: files for name, files in found.items() if len(files) > 1} == {}
