"""Nothing that runs without ROS opens a connection or asks for a name: not at run time, not ever.

Python reports every socket to its audit hooks, whoever asks for it. OpenVINO's reporter, in Python,
had a reason to open one: it told an analytics service of each import. ONNX Runtime's, in C++, has
one too, which no hook sees; it leaves files in the user's cache, though.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.bag_files import IMAGE, images, write_bag

CHILD = """
import sys

def hook(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        print("NETWORK", event, arguments, file=sys.stderr, flush=True)
        raise OSError("no network here")

sys.addaudithook(hook)
import socket
try:
    socket.create_connection(("127.0.0.1", 9), 1)
    raise SystemExit("the hook does not work")
except OSError as error:
    assert "no network here" in str(error), error
print("-- begin --", file=sys.stderr, flush=True)
from anymodal_seg_ros.cli.main import main
for line in sys.stdin:
    arguments = line.rstrip("\\n").split("\\t")
    code = 0
    try:
        main(arguments, standalone_mode=False)
    except SystemExit as error:
        code = error.code or 0
    except Exception as error:
        code = f"{type(error).__name__}: {error}"
    print("RAN", arguments[0], code, flush=True)
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.model import load_model
print("RAN", create_engine("onnxruntime", load_model("rig-nano"), 1).name, flush=True)
"""

PARAMETERS = """/**:
  ros__parameters:
    model: {model}
    rig: {{sensors: {{rgb: {{topic: rgb, modality: rgb, expected_hz: 30.0}}}}}}
"""


@pytest.mark.slow
def test_no_command_opens_a_connection(
    tmp_path: Path, tiny_model: Path, project_root: Path
) -> None:
    bag = write_bag(tmp_path / "bag", {"/rgb": (IMAGE, images(4))})
    rig = tmp_path / "rig.yaml"
    rig.write_text(PARAMETERS.format(model=tiny_model))
    commands = [
        ["parameters"],
        ["faults"],
        ["doctor"],
        ["inspect", bag],
        ["run", bag, "--params-file", rig, "--out", tmp_path / "out"],
        ["verify-engine", "--model", tiny_model],
        ["benchmark", "--model", tiny_model, "--repeats", "1"],
        ["simulate", "dataset", tmp_path / "set", "--help"],
    ]
    given = "".join("\t".join(map(str, command)) + "\n" for command in commands)
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=given,
        cwd=project_root,
        env={**os.environ, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    _, _, after = done.stderr.partition("-- begin --")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "NETWORK" not in after, after
    ran = [line for line in done.stdout.splitlines() if line.startswith("RAN ")]
    assert len(ran) == len(commands) + 1, ran
    assert "RAN run 0" in ran and "RAN parameters 0" in ran, ran


@pytest.mark.skipif(
    importlib.util.find_spec("anymodal_seg_training") is None, reason="the trainer is not installed"
)
def test_onnx_runtime_makes_no_identity_to_report(tmp_path: Path, project_root: Path) -> None:
    switches = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"}  # all keep it quiet
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import anymodal_seg_training, onnxruntime as o; o.InferenceSession",
        ],
        cwd=project_root,
        env={k: v for k, v in os.environ.items() if k not in switches}
        | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        check=True,
    )
    assert done.returncode == 0 and list(tmp_path.rglob("*")) == []
