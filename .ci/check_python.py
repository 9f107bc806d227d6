"""Say in one line why this interpreter or machine cannot run the project; silent where it can.

Written so that Python 3.6 can still read it and complain.
"""

import platform
import sys

if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit(
        f"{sys.executable} is Python {platform.python_version()}, but Python 3.10 to 3.13 is "
        "needed: name another one, e.g. make PYTHON=python3.12"
    )
if (sys.platform, platform.machine()) != ("linux", "x86_64"):
    sys.exit(
        "ROS 2 comes as wheels for x86_64 Linux only, and this is "
        f"{sys.platform} {platform.machine()}: use a ROS 2 installation and colcon build instead"
    )
