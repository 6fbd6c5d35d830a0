"""Architectures: names of blocks, descriptions of networks, lists in configurations, the reference's files."""

import json

import numpy as np
from fuzzing import Kind
from mutations import NUMBERS, TEXTS, as_json, of_bytes, of_text, of_tree, tree
from strategies import EXAMPLE

from esr_ray.config.load import check_config
from esr_ray.errors import UserError
from esr_ray.native.describe import describe
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.runs.searched import searched_networks
from esr_ray.space.block import MOST_CONVS, block_cost, parse_block
from esr_ray.space.counts import reference_params, spec_cost
from esr_ray.space.spec import NetworkSpec, spec_from_json

DESCRIPTION = json.loads(NetworkSpec(EXAMPLE[:3], 32, 2, "nearest", task='{"scale": 2}').to_json())
ROWS = [f'{30 + number / 7},{10_000 * number},{10**9},"{list(EXAMPLE[number:])}"' for number in range(4)]
FILES = [
    "\n".join(["Population Iteration: 1", *ROWS, ""]),
    "\n".join(str(list(EXAMPLE[number:])) for number in range(3)),
    "['G_8_16_24',\n 'C_8_16_16']\n",
]


def name(random):
    """A block's name, more or less."""
    match random.randrange(6):
        case 0:
            return of_text(random, random.choice(EXAMPLE))
        case 1:
            return of_bytes(random, random.choice(EXAMPLE).encode()).decode("utf-8", "surrogateescape")
        case 2:
            return str(random.choice((*NUMBERS, *TEXTS)))
        case 3:
            parts = [
                str(random.choice((*NUMBERS, random.randrange(300)))) for _ in range(random.choice((2, 3, 3, 3, 4)))
            ]
            return "_".join([random.choice("SGCsgcXÄ\uff11"), *parts])
    return f"{random.choice('SGC')}_{random.randrange(300)}_{random.randrange(1, 200)}_{random.randrange(10_001)}"


def make(random):
    match random.randrange(5):
        case 0:
            return "name", name(random)
        case 1:
            content = of_tree(random, DESCRIPTION)
            text = as_json(content)
            return "description", random.choice((text,) * 8 + (of_text(random, text), "[" * 100_000, "9" * 5_000))
        case 2:
            sources = (EXAMPLE, lambda: name(random), lambda: tree(random, 1))
            names = [
                random.choice(EXAMPLE) if one is EXAMPLE else one()
                for one in random.choices(sources, (20, 2, 1), k=random.choice((0, 1, 2, 5, 30, 1200)))
            ]
            return "list", names
        case 3:
            return "file", of_text(random, random.choice(FILES)).encode("utf-8", "surrogatepass")
    content = random.choice(FILES).encode()
    return "file", random.choice(
        (
            of_bytes(random, content),
            content.replace(
                b"G",
                random.choice((b"a", b"[", b" ", b"1", b"_", b"a_1", b"'", b"\n")) * random.choice((4, 400, 40_000)),
                1,
            ),
            b"\x93NUMPY" + random.randbytes(20),
        )
    )


def read(given, place):
    kind, content = given
    if kind == "name":
        block = parse_block(content)
        assert block.name == content
        assert 1 <= block.convs <= MOST_CONVS
        block_cost(content, 3)
    elif kind == "description":
        check(described(content))
    elif kind == "list":
        data = {"data": {"hr": "x"}, "pipeline": ["full_training"], "networks": [content]}
        for arch in check_config(data, str(place)).networks:
            check(described(json.dumps({**DESCRIPTION, "arch": arch})))
    else:
        place.write_bytes(content)
        for arch in searched_networks(place, 5):
            assert arch
            for one in arch:
                parse_block(one)


def described(text):
    try:
        return spec_from_json(text)
    except ValueError as error:
        # As the function says. Whoever calls it names the file.
        raise UserError(str(error)) from None


def check(spec):
    """A description that was read can be counted and described, and says the same again."""
    assert spec_from_json(spec.to_json()) == spec
    if not spec.arch or (spec.scale in (2, 3) and spec.base_channels % 4):
        return
    shapes = parameter_shapes(spec)
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == spec_cost(spec).params
    assert describe(spec)[5] == len(spec.arch)
    assert reference_params(spec.arch, spec.base_channels) > 0


def sound():
    files = [("file", content.encode()) for content in FILES]
    return [("list", list(EXAMPLE)), ("description", as_json(DESCRIPTION)), *(("name", one) for one in EXAMPLE), *files]


ARCHITECTURES = Kind("architectures", make, read, sound)
