"""Coverage-guided fuzzing of the decoders, for hours rather than for every test run.

    pip install atheris
    PYTHONPATH=.:test python test/fuzz/fuzz_decode.py -max_total_time=600 CORPUS_FOLDER

The hypothesis tests cover the same ground in seconds; run this after a change to the decoders or
with a new OpenCV. A finding is written to ``crash-*`` and repeated by naming that file instead.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import atheris

with atheris.instrument_imports(include=["anymodal_seg_ros"]):
    from anymodal_seg_ros.errors import DecodeError
    from anymodal_seg_ros.sensing.decoding.camera_formats import CAMERA_FORMATS
    from anymodal_seg_ros.sensing.decoding.decode import decode_image
    from anymodal_seg_ros.sensing.decoding.encodings import LAYOUTS

from fixtures.damage import GOOD

ENCODINGS = sorted([*LAYOUTS, *CAMERA_FORMATS])
FORMATS = [form for form, _ in GOOD]


def one_input(data: bytes) -> None:
    """Decode what the fuzzer made up; the first byte chooses the kind of message."""
    kind, rest = (data[0], data[1:]) if data else (0, b"")
    if kind < len(FORMATS):
        message = SimpleNamespace(format=FORMATS[kind], data=rest)
    else:
        fields = atheris.FuzzedDataProvider(rest)
        message = SimpleNamespace(
            encoding=ENCODINGS[kind % len(ENCODINGS)],
            height=fields.ConsumeIntInRange(0, 40),
            width=fields.ConsumeIntInRange(0, 40),
            step=fields.ConsumeIntInRange(0, 400),
            is_bigendian=fields.ConsumeBool(),
            data=fields.ConsumeBytes(1 << 14),
        )
    try:
        image = decode_image(message)
        assert image.pixels.shape[:2] == (image.height, image.width)
        image.pixels.copy()
    except DecodeError:
        pass


def main() -> None:
    """Fill the corpus with good messages and hand over to the fuzzer."""
    folders = [Path(word) for word in sys.argv[1:] if Path(word).is_dir()]
    for folder in folders[:1]:
        for kind, (_, data) in enumerate(GOOD):
            (folder / f"good-{kind}").write_bytes(bytes([kind]) + data)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
