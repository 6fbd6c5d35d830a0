"""What Python has of esr_ray: searching, training and measuring networks, and using them. Commands are thin over it."""

from esr_ray.api.evaluation import Evaluation, evaluate_networks
from esr_ray.api.experiment import (
    RunResult,
    SetReport,
    TrainedNetwork,
    search_networks,
    train_networks,
)
from esr_ray.api.network import Network, load
from esr_ray.errors import UserError
from esr_ray.runs.status import Status
from esr_ray.search.front import FrontRow

__all__ = [
    "Evaluation",
    "FrontRow",
    "Network",
    "RunResult",
    "SetReport",
    "Status",
    "TrainedNetwork",
    "UserError",
    "evaluate_networks",
    "load",
    "search_networks",
    "train_networks",
]
