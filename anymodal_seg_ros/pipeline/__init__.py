"""Sensing and inference put together. The node and the offline runner both run exactly this.

They differ only in where messages come from, whose clock is passed in, how many threads do the work
and where predictions go.
"""

from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.pipeline.pipeline import Pipeline
from anymodal_seg_ros.pipeline.tasks import Progress

__all__ = ["Pipeline", "Progress", "create_engine"]
