"""The S, G and C blocks (paper, section 3.2; method, Blocks). Shapes are (B, C, H, W), with even H and W."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from esr_ray.space.block import BLOCK_TYPES, Block, group_count, has_entry, has_residual_conv


def conv(in_channels: int, out_channels: int, kernel: int, groups: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size, with zero padding and a bias."""
    return nn.Conv2d(
        in_channels, out_channels, kernel, pad_mode="pad", padding=kernel // 2, has_bias=True, group=groups
    )


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """(B, groups·n, H, W): channel j of group i goes to place j·groups + i."""
    batch, channels, height, width = x.shape
    x = ops.reshape(x, (batch, groups, channels // groups, height, width))
    return ops.reshape(ops.transpose(x, (0, 2, 1, 3, 4)), (batch, channels, height, width))


class Ends(nn.Cell):
    """What all types share: the 1x1 entry to the growth rate, and the residual of the block's input."""

    def __init__(self, block: Block, in_channels: int) -> None:
        super().__init__()
        self.from_input = block.out == in_channels
        self.from_conv = has_residual_conv(block, in_channels)
        self.entry = conv(in_channels, block.growth, 1) if has_entry(block, in_channels) else nn.Identity()
        self.residual = conv(in_channels, block.out, 1) if self.from_conv else nn.Identity()

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, in, H, W) -> (B, growth, H, W), (B, OUT, H, W)."""
        entry = self.entry(x)
        if self.from_input:
            return entry, x
        if self.from_conv:
            return entry, self.residual(x)
        return entry, entry


class GroupBlock(nn.Cell):
    """G: grouped convolutions over the shuffled concatenation of all before; one 1x1 at the end."""

    def __init__(self, block: Block, in_channels: int) -> None:
        super().__init__()
        growth = block.growth
        self.ends = Ends(block, in_channels)
        self.convs = nn.CellList([conv((c + 1) * growth, growth, 3, groups=group_count(c)) for c in range(block.convs)])
        self.last = conv((block.convs + 1) * growth, block.out, 1)
        self.num_convs = block.convs
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, OUT, H, W)."""
        dense, residual = self.ends(x)
        for index in range(self.num_convs):
            new = self.relu(self.convs[index](channel_shuffle(dense, index + 1)))  # (B, growth, H, W)
            dense = ops.concat((dense, new), 1)
        return self.last(dense) + residual


class ShrinkBlock(nn.Cell):
    """S: each 3x3 is followed by a 1x1 that shrinks the concatenation of all before to the growth rate."""

    def __init__(self, block: Block, in_channels: int) -> None:
        super().__init__()
        growth, convs = block.growth, block.convs
        self.ends = Ends(block, in_channels)
        self.convs = nn.CellList([conv(growth, growth, 3) for _ in range(convs)])
        self.shrinks = nn.CellList(
            [conv((2 + c) * growth, growth if c < convs - 1 else block.out, 1) for c in range(convs)]
        )
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, OUT, H, W)."""
        current, residual = self.ends(x)
        dense = current
        for layer, shrink in zip(self.convs, self.shrinks):  # noqa: B905 (graph mode knows no strict=)
            dense = ops.concat((dense, self.relu(layer(current))), 1)
            current = shrink(dense)
        return current + residual


class ContextualBlock(nn.Cell):
    """C: as S at half resolution, each 3x3 applied three times with the same weights; a pixel shuffle leads back."""

    def __init__(self, block: Block, in_channels: int) -> None:
        super().__init__()
        growth, convs = block.growth, block.convs
        self.ends = Ends(block, in_channels)
        self.convs = nn.CellList([conv(growth, growth, 3) for _ in range(convs)])
        self.shrinks = nn.CellList([conv((2 + c) * growth, growth, 1) for c in range(convs - 1)])
        self.last = conv((convs + 1) * growth // 4, block.out, 1)
        self.pool = nn.AvgPool2d(2, 2)
        self.relu = nn.ReLU()
        self.num_convs = convs

    def construct(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, OUT, H, W)."""
        entry, residual = self.ends(x)
        current = self.pool(entry)  # (B, growth, H/2, W/2)
        dense = current
        for index in range(self.num_convs):
            layer = self.convs[index]
            new = self.relu(layer(self.relu(layer(self.relu(layer(current))))))
            dense = ops.concat((dense, new), 1)
            if index < self.num_convs - 1:
                current = self.shrinks[index](dense)
        return self.last(ops.pixel_shuffle(dense, 2)) + residual


CELLS = {"S": ShrinkBlock, "G": GroupBlock, "C": ContextualBlock}


def build_block(block: Block, in_channels: int) -> nn.Cell:
    """The cell of a block, (B, in, H, W) -> (B, OUT, H, W); a user's type comes from the user's file."""
    if block.letter in CELLS:
        return CELLS[block.letter](block, in_channels)
    module = BLOCK_TYPES[block.letter].module
    assert module is not None, "a type without a cell of ours comes from a file"
    return module.build(block.convs, block.growth, block.out, in_channels)
