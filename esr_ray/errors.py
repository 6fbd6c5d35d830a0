"""The exception that means "the user can mend this": commands print it in one line and exit with status 2."""

import errno

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where nothing more can be written: the disk, the user's share of it, or the file is full."""


class UserError(Exception):
    """Something given by the user is wrong; the message says what, where (file, key) and what to do."""


class DiskFull(UserError):
    """Nothing more can be written where a file was to be."""


class NodeTrouble(Exception):
    """Not what was computed is to blame, but where: in another process, or elsewhere, it may succeed."""


class TooFewDevices(UserError):
    """Ray's cluster does not have the devices that are asked for; where nodes may still join, later it may."""
