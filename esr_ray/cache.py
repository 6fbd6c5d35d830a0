"""`python -m esr_ray.cache`: the decoded pictures that are kept on this machine, and how to be rid of them."""

from __future__ import annotations

if __name__ == "__main__":
    # Before the rest is imported, which takes a second.
    from esr_ray.signals import guard

    guard()

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from esr_ray.command import make_parser, run_command
from esr_ray.data.cache import empty, kept_stores
from esr_ray.errors import UserError
from esr_ray.tasks.pictures import default_cache_dir
from esr_ray.view import make_console, print_line

EPILOG = """\
Pictures are decoded once and kept, so that all processes of a machine share them and the next run begins at once.
What is removed is made again when it is needed; a run that is at work goes on. runtime.cache_limit_gb bounds it.

exit status: 0 done, 2 error, 130 stopped by Ctrl-C.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = make_parser("cache", "Show or empty the folder of decoded pictures.", EPILOG)
    parser.add_argument("--dir", type=Path, help="the folder; default ~/.cache/esr_ray, as for runtime.cache_dir")
    parser.add_argument("--empty", action="store_true", help="remove all that is in it")
    given = parser.parse_args(arguments)
    return run_command(lambda: _run(given.dir, given.empty))


def _run(folder: Path | None, remove: bool) -> int:
    console = make_console()
    place = default_cache_dir() if folder is None else folder.expanduser()
    if not place.is_dir():
        raise UserError(f"{place}: there is no such folder; give the runtime.cache_dir of a configuration by --dir")
    if remove:
        try:
            print_line(console, f"{place}: {empty(place) / 1e6:,.1f} MB removed")
        except OSError as error:
            raise UserError(f"{error.filename or place}: cannot be removed ({error.strerror})") from None
        return 0
    stores = kept_stores(place)
    if stores:
        table = Table("decoded pictures", "size", "last used")
        for one in stores:
            used = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.used))
            table.add_row(one.checksum[:12], f"{one.size / 1e6:,.1f} MB", used)
        console.print(table)
    print_line(console, f"{place}: {len(stores)} kept, {sum(one.size for one in stores) / 1e6:,.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
