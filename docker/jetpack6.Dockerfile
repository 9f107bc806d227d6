# syntax=docker/dockerfile:1
# JetPack 6.1 and 6.2 on Orin: Ubuntu 22.04, Python 3.10, CUDA 12.6, TensorRT 10.3; ROS 2 Humble.
# cuda-bindings for aarch64 begin at 12.8, which runs on the drivers of all CUDA 12.
# Not yet verified on hardware. Build it on the Jetson, in the root of the checkout:
#
#   docker build -f docker/jetpack6.Dockerfile -t anymodal-seg:jetpack6 .
#
# and run it as docs/how-to/jetson.md says. The plans of TensorRT are kept in the volume /cache.

ARG JETPACK_IMAGE=nvcr.io/nvidia/l4t-jetpack:r36.4.0
# hadolint ignore=DL3006
FROM ${JETPACK_IMAGE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 ROS_DISTRO=humble

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl python3-venv \
    && curl -fsSL https://raw.githubusercontent.com/ros/rosdistro/master/ros.key \
        -o /usr/share/keyrings/ros-archive-keyring.gpg \
    && echo "deb [arch=$(dpkg --print-architecture) \
signed-by=/usr/share/keyrings/ros-archive-keyring.gpg] \
http://packages.ros.org/ros2/ubuntu $(. /etc/os-release && echo "${UBUNTU_CODENAME}") main" \
        > /etc/apt/sources.list.d/ros2.list \
    && apt-get update \
    && apt-get install -y --no-install-recommends \
        python3-libnvinfer \
        "ros-${ROS_DISTRO}-ros-core" \
        "ros-${ROS_DISTRO}-tf2-msgs" \
        "ros-${ROS_DISTRO}-vision-msgs" \
    && rm -rf /var/lib/apt/lists/*

# The environment sees TensorRT and ROS 2 of the system; NumPy stays below 2, as both were built for.
RUN python3 -m venv --system-site-packages /opt/anymodal
ENV PATH=/opt/anymodal/bin:${PATH}
WORKDIR /opt/anymodal/src
COPY . .
RUN python -m pip install --no-cache-dir --constraint docker/constraints-jetson.txt \
        "cuda-bindings==12.8.*" . \
    && python -c "import cv2, numpy, onnxruntime" \
    && rm -rf build ./*.egg-info

# It must run as the user of the drivers (--user): whoever that is may write here, logs and snapshots too.
ENV XDG_CACHE_HOME=/cache ROS_HOME=/cache/ros
RUN useradd --create-home --uid 1500 --groups video robot && install -d -m 1777 /cache
USER 1500
VOLUME /cache

ENTRYPOINT ["/opt/anymodal/src/docker/entrypoint.sh"]
CMD ["python", "-m", "anymodal_seg_ros.nodes.segmentation_node", \
     "--ros-args", "-p", "engine:=auto", "--params-file", "/config/rig.yaml"]
