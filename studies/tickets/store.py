"""The files of a study: one per seed, replaced in one step, so that no file is ever half written.

Each file holds the sha256 of its content, so that a single changed bit is noticed.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from mini_lib.files import UNSEALED, seal_holds, sealed, write_file
from mini_lib.prune.mask import Mask
from studies.parts import open_parts
from studies.tickets.study import Run, State, Study

_SETTINGS = "study.json"


def settings_of(study: Study) -> dict[str, object]:
    """Return the settings that decide a study's results, as plain values. Seeds are not included: more can be added.

    Functions are identified by their name. `rounds` is not included either: a study can continue for more rounds.

    Raises:
        ValueError: a function has no name of its own, such as a lambda.
    """
    values: dict[str, object] = {}
    for setting in fields(study):
        value = getattr(study, setting.name)
        if setting.name == "recipe":
            values |= {f"recipe.{name}": part for name, part in asdict(value).items()}
        elif callable(value):
            values[setting.name] = _name_of(setting.name, value)
        elif setting.name not in ("seeds", "rounds"):
            values[setting.name] = value
    return json.loads(json.dumps(values))  # as they will be read back: tuples become lists


def _name_of(setting: str, function: Callable) -> str:
    name = getattr(function, "__qualname__", "<nameless>")
    if "<" in name:  # also <lambda>, and <locals> of another function
        raise ValueError(
            f"{setting} must be a function from the top of a module, got {function!r}; only by its name can a study "
            "that goes on know it again"
        )
    return f"{function.__module__}.{name}"


def open_folder(folder: Path, study: Study) -> None:
    """Make the folder of a study, or check that its content belongs to this study.

    Raises:
        ValueError: it holds a study with other settings (named in the message), its settings cannot be read, or a
            function of the study has no name of its own.
    """
    open_parts(folder, settings_of(study), file=_SETTINGS)


def save(state: State, folder: Path) -> None:
    """Write the state of a seed in one step: if the process is stopped meanwhile, the file is as it was before."""
    tensors = {}
    for chain, mask in state.masks.items():
        # A copy: in round 1 chains share one mask, and safetensors refuses two names for one tensor.
        tensors |= {f"mask/{chain}/{name}": keep.clone() for name, keep in mask.tensors.items()}
    for use, weights in state.weights.items():
        tensors |= {f"weights/{use}/{name}": weight for name, weight in weights.items()}
    runs = json.dumps([asdict(run) for run in state.runs])
    # A safetensors file forgets the order, and the controls draw their places layer by layer.
    order = json.dumps(list(tensors))
    metadata = {"sha256": UNSEALED, "seed": str(state.seed), "round": str(state.round), "runs": runs, "order": order}
    write_file(_path(folder, state.seed), sealed(safetensors.torch.save(tensors, metadata)))


def load(folder: Path, seed: int) -> State:
    """Return the state of a seed; the initial state if there is no file.

    Raises:
        ValueError: the file is damaged, or belongs to another seed.
    """
    path = _path(folder, seed)
    if not path.exists():
        return State(seed)
    try:
        content = path.read_bytes()
        tensors = safetensors.torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        # A file from an earlier version has no hash; one whose hash was lost has another key in its place.
        if set(header) != {"seed", "round", "runs", "order"} and not seal_holds(content, header["sha256"]):
            raise ValueError("its content is not what was written: the sha256 in it differs")
        if header["seed"] != str(seed):
            raise ValueError(f"it holds seed {header['seed']}")
        runs = tuple(Run(**run) for run in json.loads(header["runs"]))
        number = int(header["round"])
        tensors = {key: tensors[key] for key in json.loads(header["order"])}
    except (ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path} is damaged ({error}); remove it, and this seed begins again") from error
    masks: dict[str, dict[str, torch.Tensor]] = {}
    weights: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        kind, use, name = key.split("/", 2)
        (masks if kind == "mask" else weights).setdefault(use, {})[name] = tensor
    return State(seed, number, runs, {chain: Mask(tensors) for chain, tensors in masks.items()}, weights)


def _path(folder: Path, seed: int) -> Path:
    return folder / f"seed-{seed:06d}.safetensors"
