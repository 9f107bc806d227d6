# syntax=docker/dockerfile:1
# JetPack 7.2 on Orin and Thor: Ubuntu 24.04, Python 3.12, CUDA 13, TensorRT 10.16; ROS 2 Jazzy or Lyrical.
# Since 7.2 both run the packages for Arm servers (SBSA), so an image for Arm is enough.
# Not yet verified on hardware. Build it on the Jetson, in the root of the checkout:
#
#   docker build -f docker/jetpack7.Dockerfile -t anymodal-seg:jetpack7 .
#
# Lyrical for Ubuntu 24.04 is not on packages.ros.org but on the build farm of Isaac ROS 5; name its line for apt:
#
#   docker build -f docker/jetpack7.Dockerfile --build-arg ROS_DISTRO=lyrical \
#       --build-arg ROS_APT="deb [signed-by=/usr/share/keyrings/ros-archive-keyring.gpg] URL noble main" \
#       --build-arg ROS_KEY=URL-OF-ITS-KEY -t anymodal-seg:jetpack7-lyrical .

ARG CUDA_IMAGE=nvcr.io/nvidia/cuda:13.0.1-base-ubuntu24.04
# hadolint ignore=DL3006
FROM ${CUDA_IMAGE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ARG ROS_DISTRO=jazzy
ARG ROS_APT="deb [signed-by=/usr/share/keyrings/ros-archive-keyring.gpg] http://packages.ros.org/ros2/ubuntu noble main"
ARG ROS_KEY=https://raw.githubusercontent.com/ros/rosdistro/master/ros.key
# The TensorRT that JetPack 7.2 was tested with; others of 10.13 and later will do.
ARG TENSORRT=10.16.*+cuda13.*
ENV DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 ROS_DISTRO=${ROS_DISTRO}

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl python3-venv \
    && curl -fsSL "${ROS_KEY}" -o /usr/share/keyrings/ros-archive-keyring.gpg \
    && echo "${ROS_APT}" > /etc/apt/sources.list.d/ros2.list \
    && apt-get update \
    && apt-get install -y --no-install-recommends \
        "libnvinfer10=${TENSORRT}" \
        "libnvinfer-plugin10=${TENSORRT}" \
        "libnvonnxparsers10=${TENSORRT}" \
        "python3-libnvinfer=${TENSORRT}" \
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
        "cuda-bindings==13.*" . \
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
