"""All kinds of inputs."""

from fuzz_architectures import ARCHITECTURES
from fuzz_checkpoints import CHECKPOINTS
from fuzz_configurations import CONFIGURATIONS
from fuzz_journals import JOURNALS
from fuzz_native import NATIVE
from fuzz_pictures import PICTURES
from fuzz_rank_tables import RANK_TABLES

KINDS = [CONFIGURATIONS, JOURNALS, RANK_TABLES, ARCHITECTURES, CHECKPOINTS, PICTURES, NATIVE]
