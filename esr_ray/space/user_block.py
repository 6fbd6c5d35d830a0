"""A user's block type from a file: a letter, a cell, a count.

The file defines
    LETTER = "R"                                            one capital letter that no built-in type has
    def cost(convs, growth, out, in_channels):              (parameters, mult-adds for each LR pixel)
    def build(convs, growth, out, in_channels):             the mindspore.nn.Cell, (B, in, H, W) -> (B, out, H, W)
    def illegal(convs, growth, out):                        optional: the broken rule in words, or None
H and W are even. The file is copied into the run folder and imported by path on every node.
"""

from __future__ import annotations

from pathlib import Path

from esr_ray.errors import UserError
from esr_ray.space.block import Block, BlockType, register_block_type
from esr_ray.space.layers import Cost
from esr_ray.user_source import run_source


def load_user_block(path: str | Path) -> BlockType:
    """Import the file and make its type known.

    Raises UserError where the file is missing, does not import, or does not define what it must.
    """
    path = Path(path)
    module = run_source(path, "space.user_blocks", f"esr_ray_user_block_{path.stem}")
    letter = getattr(module, "LETTER", None)
    if not (isinstance(letter, str) and len(letter) == 1 and letter.isascii() and letter.isupper()):
        raise UserError(f"{path}: must define LETTER, one capital letter A-Z (it is {letter!r})")
    for function in ("cost", "build"):
        if not callable(getattr(module, function, None)):
            raise UserError(f"{path}: must define a function {function}(convs, growth, out, in_channels)")

    def cost(block: Block, in_channels: int) -> Cost:
        call = f"cost({block.convs}, {block.growth}, {block.out}, {in_channels})"
        try:
            params, mult_adds = module.cost(block.convs, block.growth, block.out, in_channels)
            counted = Cost(int(params), float(mult_adds))
        except Exception as error:
            raise UserError(f"{path}: {call} raised {type(error).__name__}: {error}") from error
        if counted.params < 0 or not counted.mult_adds >= 0:
            raise UserError(
                f"{path}: {call} gave {params!r}, {mult_adds!r}; give parameters and mult-adds, none below 0"
            )
        return counted

    def illegal(block: Block) -> str | None:
        rule = getattr(module, "illegal", None)
        try:
            return None if rule is None else rule(block.convs, block.growth, block.out)
        except Exception as error:
            raise UserError(f"{path}: illegal(...) raised {type(error).__name__}: {error} for {block.name}") from error

    block_type = BlockType(letter, illegal, cost=cost, module=module)
    register_block_type(block_type)
    return block_type
