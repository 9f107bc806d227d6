"""Is enough of the world seen for a mask that can be relied on?"""

from __future__ import annotations

from collections.abc import Collection

from anymodal_seg_ros.config import RigConfig


def shortfall(rig: RigConfig, present: Collection[str]) -> str:
    """Say what is lacking.

    Args:
        rig: with its critical sensors and the least number of modalities.
        present: names of the sensors that see something.

    Returns:
        In words; empty if the present sensors are enough.
    """
    lacking = [n for n, sensor in rig.sensors.items() if sensor.critical and n not in present]
    if lacking:
        return f"critical sensor missing: {', '.join(lacking)}"
    kinds = sorted({rig.sensors[name].modality for name in present})
    if len(kinds) < rig.min_modalities:
        have = ", ".join(kinds) or "none"
        needed = rig.min_modalities
        needs = "1 modality is" if needed == 1 else f"{needed} modalities are"
        return f"{needs} needed, there are {len(kinds)}: {have}"
    return ""
