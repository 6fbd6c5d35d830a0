"""What several test files draw from: blocks of the grammar, spaces, genomes, and the method's published example."""

from hypothesis import strategies as st

from esr_ray.config.space import SpaceConfig
from esr_ray.space.block import BLOCK_TYPES, Block
from esr_ray.space.genome import Genome
from esr_ray.space.space import Space, make_space

EXAMPLE = (
    *("G_8_16_24", "C_8_16_16", "G_4_16_24", "G_8_16_16", "S_4_24_32", "C_8_16_48", "S_4_16_24", "G_6_16_24"),
    *("G_8_16_16", "C_8_16_24", "S_8_16_16", "S_8_16_24", "S_8_16_32", "S_6_16_16", "G_6_16_64", "G_8_16_16"),
    "S_8_16_32",
)


def legal(block: Block) -> bool:
    return BLOCK_TYPES[block.letter].illegal(block) is None


# All that the grammar has: groups, odd growth rates, widths that no vector divides.
legal_blocks = st.builds(
    Block,
    st.sampled_from("SGC"),
    st.integers(1, 9),
    st.sampled_from([1, 2, 3, 4, 5, 6, 8, 12, 16]),
    st.sampled_from([1, 2, 3, 4, 5, 7, 8, 12, 16, 24]),
).filter(legal)

# Every one of these is legal for its letter: G needs a growth rate divisible by 4 from 4 convolutions on.
block_names = st.builds(
    "{}_{}_{}_{}".format,
    st.sampled_from("SGC"),
    st.integers(1, 8),
    st.sampled_from([4, 8, 12, 16, 24, 32]),
    st.integers(1, 64),
)


def small_space(scale: int = 2, **keys: object) -> Space:
    """Six nodes, at least three active, 12 blocks, G0 8; networks have 3,929 to 12,725 parameters at x2."""
    given = {
        "node_num": 6,
        "min_active": 3,
        "base_channels": 8,
        "conv_num": (1, 2),
        "growth_rate": (4, 8),
        "block_types": ("S", "C"),
    }
    return make_space(SpaceConfig(**{**given, **keys}), scale)


def genomes(space: Space) -> st.SearchStrategy[Genome]:
    """Any genome over the space's vocabulary and of its frames, within the budget or not."""
    frames = st.sampled_from(space.base_channels if len(space.base_channels) > 1 else [None])
    nodes = st.tuples(st.booleans(), st.sampled_from(space.vocabulary.names))
    lists = st.lists(nodes, min_size=space.node_num, max_size=space.node_num)
    return st.builds(
        lambda chosen, frame: Genome(tuple(a for a, _ in chosen), tuple(name for _, name in chosen), frame),
        lists,
        frames,
    )
