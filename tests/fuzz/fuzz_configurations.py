"""Configurations, damaged as bytes, as tokens and as trees, with values of `--set` beside them."""

from functools import cache

import yaml
from fuzzing import Kind
from mutations import NUMBERS, TEXTS, TOKENS, of_bytes, of_text, of_tree, tree
from project import ROOT

from esr_ray.config.load import check_config, key_paths, load_config
from esr_ray.config.schema import Config
from esr_ray.tasks.make import space_of

TEXTS_OF_FILES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "configs").glob("*.yml"))]
KEYS = key_paths(Config)


@cache
def trees():
    return [yaml.safe_load(text) for text in TEXTS_OF_FILES]


def make(random):
    return written(random), [override(random) for _ in range(random.choice((0, 0, 0, 1, 1, 3)))]


def written(random):
    match random.randrange(5):
        case 0:
            return of_bytes(random, random.choice(TEXTS_OF_FILES).encode())
        case 1:
            return of_text(random, random.choice(TEXTS_OF_FILES)).encode("utf-8", "surrogatepass")
        case 2:
            return random.choice(TEXTS_OF_FILES).encode()
        case 3:
            content = {"data": {"hr": "photos"}}
            for key in random.sample(KEYS, random.randrange(1, 5)):
                put(content, key, tree(random))
        case _:
            content = of_tree(random, random.choice(trees()))
    return yaml.safe_dump(content, default_flow_style=random.choice((None, True, False))).encode()


def put(content, key, value):
    *sections, last = key.split(".")
    for section in sections:
        below = content.get(section)
        if not isinstance(below, dict):
            below = content[section] = {}
        content = below
    content[last] = value


def override(random):
    key = of_text(random, random.choice(KEYS)) if random.random() < 0.2 else random.choice(KEYS)
    match random.randrange(4):
        case 0:
            value = str(random.choice((*NUMBERS, *TEXTS)))
        case 1:
            value = "".join(random.choice((*TOKENS, *TEXTS)) for _ in range(random.randrange(5)))
        case 2:
            value = of_text(random, random.choice(TEXTS_OF_FILES)[:60])
        case _:
            value = yaml.safe_dump(tree(random), default_flow_style=True).removesuffix("...\n").strip()
    return f"{key}{random.choice(('=',) * 30 + ('', '==', ' = '))}{value}"


def read(given, place):
    content, overrides = given
    place.write_bytes(content)
    config = load_config(str(place), overrides).config
    # What is read says all that it was: written down and read again, it is the same.
    assert check_config(config.model_dump(mode="json"), "again") == config
    space_of(config)


def sound():
    return [(text.encode(), ["seed=3"]) for text in TEXTS_OF_FILES]


CONFIGURATIONS = Kind("configurations", make, read, sound)
