"""What a person who watches a run wants to know, as plain data that crosses processes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """Where a run stands. `lines` are those of its log since the number asked for; times are in seconds.

    `process` is the driver's: where it is another one, the driver was restarted and numbers its lines anew.
    """

    phase: str = "starting"
    generation: int = 0
    num_generation: int = 0
    finished: int = 0
    failed: int = 0
    expected: int = 0
    devices: int = 0
    busy: int = 0
    best_psnr: float | None = None
    best_id: int | None = None
    bicubic_psnr: float | None = None
    step: int = 0
    steps: int = 0
    eta_s: float | None = None
    lines: tuple[str, ...] = ()
    next_line: int = 0
    process: int = 0
