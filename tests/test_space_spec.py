"""What a checkpoint keeps of a network."""

from esr_ray.space.spec import NetworkSpec, spec_from_json


def test_a_spec_survives_json():
    spec = NetworkSpec(("S_4_8_16", "G_4_16_24"), 32, 3, "bicubic")
    again = spec_from_json(spec.to_json())
    assert again == spec
    assert hash(again) == hash(spec)
