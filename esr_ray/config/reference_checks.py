"""Values in the reference's files that must be what ours does anyway, and those that are said to be passed over."""

from __future__ import annotations

from typing import Any

from esr_ray.config.reference_file import ReferenceFile, key_path, warn_if_other

# Values that must be these, since ours has nothing else; a file that wants another cannot be served.
_REFUSED: dict[str, dict[str, tuple[Any, ...]]] = {
    "search": {
        "search_space.type": ("SearchSpace",),
        "search_space.modules": (["esrbody"],),
        "search_space.esrbody.type": ("ESRN",),
        "search_algorithm.type": ("ESRSearch",),
        "search_algorithm.codec": ("ESRCodec",),
    },
    "training": {
        "trainer.type": ("Trainer",),
        "trainer.with_train": (True,),
        "trainer.optimizer.type": ("Adam",),
        "trainer.lr_scheduler.type": ("MultiStepLR",),
        "trainer.loss.type": ("L1Loss",),
        "trainer.metric.type": ("PSNR", "SRMetric"),
        "trainer.metric.params.method": ("psnr",),
    },
}
_EIGHT_BITS = "PSNR is always that of 8-bit pictures"
_FIGURES = "PSNR on Y, PSNR on RGB and SSIM are always reported"
_ONE_WAY = "networks are always evaluated in the same way"
# Values whose others change nothing in ours, which is said: (the values we mean, what ours does).
_SAID: dict[str, dict[str, tuple[tuple[Any, ...], str]]] = {
    "training": {
        "trainer.callbacks": (("ESRTrainerCallback", ["ESRTrainerCallback"]), "there are no callbacks"),
        "trainer.codec": (("ESRCodec",), "there is one way to write networks down"),
        "trainer.metric.params.max_rgb": ((255,), _EIGHT_BITS),
        "trainer.metric.params.to_y": ((True,), _FIGURES),
        "dataset.train.fixed_size": ((True,), "training is always on crops of one size"),
    },
    "evaluator": {
        "evaluator.type": (("Evaluator",), _ONE_WAY),
        "evaluator.host_evaluator.type": (("HostEvaluator", "GpuEvaluator", "EsrGpuEvaluator"), _ONE_WAY),
        "evaluator.host_evaluator.codec": (("ESRCodec",), "there is one way to write networks down"),
        "evaluator.host_evaluator.metric.type": (("PSNR", "SRMetric"), _FIGURES),
        "evaluator.host_evaluator.metric.params.method": (("psnr",), _FIGURES),
        "evaluator.host_evaluator.metric.params.to_y": ((True,), _FIGURES),
        "evaluator.host_evaluator.metric.params.max_rgb": ((255,), _EIGHT_BITS),
    },
}
AUGMENTATION = {
    "hflip": "ours always flips, with p = 0.5",
    "vflip": "ours always flips, with p = 0.5",
    "rot90": "ours always transposes, with p = 0.5",
    "shuffle": "ours always draws crops at random",
}
BORDER = "scores leave out a border of as many pixels as the scale"


def check_refused(file: ReferenceFile, step: str, table: str) -> None:
    for key, allowed in _REFUSED[table].items():
        value = file.take(path := key_path(step, key), None)
        if value is not None and value not in allowed:
            file.fault(path, f"ours has no {value!r}, only {' or '.join(map(repr, allowed))}; change it")


def check_said(file: ReferenceFile, step: str, table: str) -> None:
    for key, (meant, does) in _SAID[table].items():
        value = file.take(path := key_path(step, key), None)
        if value is not None and value not in meant:
            file.warn(path, f"{value!r} is ignored: {does}")


def check_repeated(file: ReferenceFile, step: str, nas: str, native: dict[str, Any]) -> None:
    """What a step says again of the network, the seed and the measure, of which a run has one."""
    check_said(file, step, "evaluator")
    scale, nodes = native["task"]["scale"], native["space"]["node_num"]
    measure = "evaluator.host_evaluator"
    for key in (f"{measure}.scale", f"{measure}.metric.params.scale", f"{measure}.metric.params.crop_border"):
        warn_if_other(file, key_path(step, key), scale, BORDER)
    for key in ("trainer.seed", f"{measure}.seed"):
        warn_if_other(file, key_path(step, key), native["seed"], "a run has one seed")
    for key in ("trainer.node_num", "trainer.range.node_num", f"{measure}.range.node_num"):
        warn_if_other(file, key_path(step, key), nodes, "networks are as the search found them")
    for path in [path for path in file.leaves if path[:3] == (step, "model", "model_desc")]:
        searched = file.leaves.get((nas, "search_space", *path[3:]))
        value = file.take(path, None)
        if value is not None and (searched is None or value != searched.value):
            file.warn(path, f"{value!r} is ignored: networks are as the search found them, in {nas}.search_space")
