"""What a user installs: the wheel and the source distribution, in an environment of their own."""

import os
import re
import subprocess
import sys

import pytest
from project import ROOT


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_wheel_and_sdist_work_out_of_reach_of_the_checkout_and_find_the_same():
    command = ["bash", ROOT / "scripts" / "smoke.sh"]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = re.findall(r"^(?:candidate|winner|large\.png).*", done.stdout, re.MULTILINE)
    assert len(figures) == 2 * 4
    assert figures[:4] == figures[4:]
