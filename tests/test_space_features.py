"""A network as numbers: finite, as many for each network of a space, and of the network alone."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import genomes, small_space

from esr_ray.config.space import SpaceConfig
from esr_ray.space.features import feature_matrix, letters_of
from esr_ray.space.genome import decode
from esr_ray.space.sample import sample_genome
from esr_ray.space.space import make_space
from esr_ray.space.spec import frame_name

SPACE = small_space()
archs = genomes(SPACE).map(decode).filter(bool)


@settings(deadline=None, max_examples=50)
@given(st.lists(archs, min_size=1, max_size=6))
def test_features_are_finite_and_each_row_depends_on_its_network_alone(networks):
    features = feature_matrix(networks, SPACE)
    assert features.shape == (len(networks), feature_matrix([networks[0]], SPACE).shape[1])
    assert np.isfinite(features).all()
    for row, arch in zip(features, networks, strict=True):
        np.testing.assert_array_equal(row, feature_matrix([arch], SPACE)[0])


def test_genomes_of_one_network_have_the_same_features():
    """A list of blocks, as a journal may hand it over, is the same network too."""
    arch = ("S_1_4_8", "C_2_8_8")
    np.testing.assert_array_equal(feature_matrix([arch], SPACE), feature_matrix([list(arch)], SPACE))


def test_what_a_network_is_made_of_and_where_changes_its_features():
    arch = ("S_1_4_8", "C_2_8_8", "S_2_4_4")
    others = [arch[::-1], arch[:2], ("S_1_4_8", "C_1_8_8", "S_2_4_4"), ("S_1_8_8", "C_2_8_8", "S_2_4_4")]
    first, *rest = feature_matrix([arch, *others], SPACE)
    assert all(not np.array_equal(first, other) for other in rest)
    # Of the first and of the last block.
    assert first[-6:].tolist() == [1, 4, 8, 2, 4, 4]


def test_the_number_of_features_is_the_spaces():
    """A type that no network of a search has drawn yet has its columns all the same."""
    space = make_space(SpaceConfig(), 2)
    assert letters_of(space) == ("C", "G", "S")
    assert letters_of(SPACE) == ("C", "S")
    rng = np.random.default_rng(0)
    drawn = [decode(sample_genome(space, rng)) for _ in range(20)]
    alone = ("S_4_8_8",) * 16
    assert feature_matrix(drawn, space).shape[1] == feature_matrix([alone], space).shape[1]
    assert feature_matrix([alone], space).shape[1] > feature_matrix([("S_1_4_4",) * 3], SPACE).shape[1]


def test_of_several_frames_each_has_its_features():
    frames = small_space(base_channels=(8, 12, 16))
    blocks = ("S_1_4_8", "C_2_8_8", "S_2_4_4")
    rows = feature_matrix([(frame_name(one), *blocks) for one in frames.base_channels], frames)
    alone = feature_matrix([blocks], SPACE)[0]
    # All that SPACE has, whose networks have 8 channels, and four columns more.
    assert rows.shape == (3, len(alone) + 4)
    np.testing.assert_array_equal(np.delete(rows[0], range(7, 11)), alone)
    np.testing.assert_allclose(rows[:, 7], np.log([8, 12, 16]))
    np.testing.assert_array_equal(rows[:, 8:11], np.eye(3))
