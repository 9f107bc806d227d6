#!/bin/bash
# Let a command see ROS 2. Its scripts read variables that may be unset, so no 'set -u' before.
set -e
# shellcheck disable=SC1090
source "/opt/ros/${ROS_DISTRO}/setup.bash"
exec "$@"
