"""Folders of this user alone, among the system's temporary files: nobody else can put a file into them."""

from __future__ import annotations

import operator
import os
import stat
import tempfile
from itertools import accumulate
from pathlib import Path

from esr_ray.errors import UserError


def private_folder(*names: str) -> Path:
    """The folder `esr_ray-UID/NAMES` of the temporary files, made if it is not there.

    Raises UserError if it is somebody else's, or if others may write in it: what lies there cannot be trusted then.
    """
    root = Path(tempfile.gettempdir()) / f"esr_ray-{os.getuid()}"
    for folder in accumulate(names, operator.truediv, initial=root):
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be made ({error.strerror}); set TMPDIR to a folder that can be written"
            ) from None
        shared = stat.S_IMODE(found.st_mode) & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or shared:
            raise UserError(
                f"{folder}: is not a folder that only you may write in; remove it, or set TMPDIR to another place"
            )
    return folder
