"""What a network is, for those who are handed it: as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from esr_ray.errors import UserError
from esr_ray.inference.find import Source
from esr_ray.inference.load import Loaded
from esr_ray.metrics import FIGURES
from esr_ray.networks.checkpoint import PLAIN, card_of
from esr_ray.runs.folder import FINAL, RunFolder, stored_config
from esr_ray.runs.record import read_history
from esr_ray.runs.result import baseline_of
from esr_ray.space.counts import mult_adds_720p, spec_cost
from esr_ray.tables import protocol
from esr_ray.tasks.make import make_task


def describe_network(
    source: Source, network: Loaded, files: Sequence[str] = (), about: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """All that is known of a network, as JSON: what it is and, of one that lies in the folder of a run, the data, the
    training, the search and the report of that. `files` are those that were written with it; `about` is what only a
    person knows, such as `name`, `licence` and `pictures`, where the training pictures are from."""
    about = about or {}
    spec = network.spec
    cost = spec_cost(spec)
    content: dict[str, Any] = {
        "name": source.name,
        "title": _title(network),
        "task": network.task.settings,
        "arch": list(spec.arch),
        "base_channels": spec.base_channels,
        "scale": spec.scale,
        "global_skip": spec.global_skip,
        "channels": {"in": spec.in_channels, "out": spec.out_channels},
        "parameters": cost.params,
        "mult_adds_1280x720": mult_adds_720p(cost, spec.scale),
        "esr_ray": version("esr_ray"),
        "files": list(files),
        "load": next((name for name in files if name.endswith(PLAIN)), source.path.name),
    }
    if source.run is not None:
        content |= _of_run(RunFolder(source.run), source.path.stem)
    else:
        # A plain file has brought what was known where it was written.
        known = card_of(source.path) or {}
        content = {**known, **content, **{key: known[key] for key in ("name", "esr_ray") if key in known}}
        try:
            card_markdown(content)
        except (LookupError, TypeError, ValueError, AttributeError):
            raise UserError(
                f"{source.path}: the card inside is none that esr_ray has written; make the file again from the run or "
                "the checkpoint that it was made of"
            ) from None
    return {**content, **about}


def _title(network: Loaded) -> str:
    name, title = network.task.name.replace("_", "-"), network.task.title
    # Some titles begin with what the task is called.
    return title if title.startswith(name) else f"{name}, {title}"


def _of_run(folder: RunFolder, label: str) -> dict[str, Any]:
    history, config = read_history(folder.journal), stored_config(folder)
    trained = history.trained.get(label) or history.trained.get(FINAL)
    if trained is None:
        return {}
    # Folders of this machine say nothing elsewhere; their last two parts are how data sets are told apart.
    content: dict[str, Any] = {
        "versions": history.run.versions if history.run is not None else {},
        "data": _short(config.data.model_dump(mode="json")),
        "training": trained.settings,
        "training_seconds": trained.seconds.total,
    }
    if trained.id is not None and trained.id in history.state.candidates:
        born = history.state.candidates[trained.id]
        content["search"] = {
            "seed": config.seed,
            "candidate": trained.id,
            "operator": born.operator,
            "parents": list(born.parents),
            "candidates_trained": len(history.state.candidates),
        }
    reported = history.reported.get(trained.network)
    if reported is not None:
        content["report"] = {
            "protocol": protocol(make_task(config.task)),
            "baseline": reported.baseline,
            "judged_by": reported.by,
            "sets": [
                {"name": part["name"], "network": part["network"], "baseline": baseline_of(part)}
                for part in reported.sets
            ],
        }
    return content


def _short(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _short(part) for key, part in content.items()}
    return "/".join(Path(content).parts[-2:]) if isinstance(content, str) else content


def card_markdown(content: Mapping[str, Any]) -> str:
    """The card that people read."""
    lines = [
        f"# {content['name']}",
        "",
        f"A network of esr_ray for {content['title']}.",
        "",
        "| | |",
        "|---|---|",
        f"| architecture | `{' '.join(content['arch'])}` |",
        f"| channels outside the blocks | {content['base_channels']} |",
        f"| global skip | {content['global_skip']} |",
        f"| parameters | {content['parameters']:,} |",
        f"| mult-adds for an output of 1280x720 | {content['mult_adds_1280x720'] / 1e9:.2f} G |",
        f"| made by | esr_ray {content['esr_ray']} |",
    ]
    if content.get("versions"):
        lines.append(f"| with | {', '.join(f'{name} {number}' for name, number in content['versions'].items())} |")
    if "pictures" in content:
        lines.append(f"| trained on | {content['pictures']} |")
    elif "data" in content:
        data = content["data"]
        lines.append(f"| trained on | {data['hr'] or data['train']['hr']} |")
    if "licence" in content:
        lines.append(f"| licence | {content['licence']} |")
    if "training" in content:
        training = content["training"]
        size = f"batches of {training['batch_size']} crops of {training['crop_size']}"
        lines.append(f"| training | {training['steps']:,} steps, {size} |")
    if "search" in content:
        search = content["search"]
        of_all = f"candidate {search['candidate']} of {search['candidates_trained']}"
        lines.append(f"| search | {of_all}, {search['operator']} |")
    if "report" in content:
        report = content["report"]
        lines += ["", f"Measured: {report['protocol']}.", ""]
        figure = report["judged_by"]
        short = FIGURES[figure].short
        lines += [f"| set | {short} | SSIM-Y | {report['baseline']} {short} |", "|---|---|---|---|"]
        for part in report["sets"]:
            ours, without = part["network"], part["baseline"]
            lines.append(f"| {part['name']} | {ours[figure]:.2f} | {ours['ssim_y']:.4f} | {without[figure]:.2f} |")
    lines += ["", "```python", "import esr_ray", "", f'esr_ray.load("{content["load"]}").upscale(picture)', "```"]
    lines += ["", "Pictures are float32 in [0, 1], (batch, channels, height, width); the output is not clipped."]
    if content["files"]:
        lines += ["", "Files: " + ", ".join(content["files"]) + "."]
    return "\n".join(lines) + "\n"
