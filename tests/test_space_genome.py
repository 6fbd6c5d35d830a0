"""Genomes: decoding, and their form in the journal."""

import json

from hypothesis import given
from strategies import genomes, small_space

from esr_ray.space.genome import Genome, decode, genome_from_json, genome_to_json

SPACE = small_space()
FRAMES = small_space(base_channels=(8, 16))


@given(genomes(SPACE) | genomes(FRAMES))
def test_a_genome_survives_json(genome):
    again = genome_from_json(json.loads(json.dumps(genome_to_json(genome))))
    assert again == genome
    assert all(type(flag) is bool for flag in again.active)


def test_the_active_nodes_decode_in_order():
    genome = Genome((True, False, True, True), ("S_4_8_8", "G_4_8_8", "C_4_8_8", "S_4_8_8"))
    assert decode(genome) == ("S_4_8_8", "C_4_8_8", "S_4_8_8")
    assert genome.num_active == 3
    assert genome_to_json(genome)[:2] == [[1, "S_4_8_8"], [0, "G_4_8_8"]]


def test_a_frame_stands_before_the_nodes():
    genome = Genome((True, False), ("S_4_8_8", "G_4_8_8"), 16)
    assert decode(genome) == ("G0_16", "S_4_8_8")
    assert genome_to_json(genome) == [[1, "G0_16"], [1, "S_4_8_8"], [0, "G_4_8_8"]]
