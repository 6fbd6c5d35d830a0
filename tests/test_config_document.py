"""The page of all keys is that of the schema."""

from pathlib import Path

from esr_ray.config.document import configuration_page
from esr_ray.config.load import key_paths
from esr_ray.config.schema import Config

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"


def test_the_page_in_docs_is_the_schemas() -> None:
    assert PAGE.read_text() == configuration_page(), "run: python -m esr_ray.config.document > docs/configuration.md"


def test_every_key_is_explained() -> None:
    page = configuration_page()
    missing = [path for path in key_paths(Config) if f"| `{path.rpartition('.')[2]}` |" not in page]
    assert not missing
