"""Lesson 05, exercise 5.5: a channel goes, and all that made it, scaled it and read it goes with it."""

import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

Layers = dict[str, Tensor]
NORM = ("gamma", "beta", "mean", "variance")


def remove_channels(layers: Layers, keep: list[int]) -> Layers:
    """The two convolutions, and the batch norm between them, with only the channels `keep` in between."""
    cut = {name: layers[name][keep] for name in ("conv1", *NORM)}
    return {**cut, "conv2": layers["conv2"][:, keep]}


def _remove_one_by_one(layers: Layers, keep: list[int]) -> Layers:
    smaller = dict(layers)
    for channel in sorted(_others(layers, keep), reverse=True):
        for name, value in smaller.items():
            axis = 1 if name == "conv2" else 0
            before, after = (
                value.narrow(axis, 0, channel),
                value.narrow(axis, channel + 1, value.shape[axis] - channel - 1),
            )
            smaller[name] = torch.cat([before, after], dim=axis)
    return smaller


def _remove_by_mask(layers: Layers, keep: list[int]) -> dict:
    stays = torch.zeros(len(layers["gamma"]), dtype=torch.bool)
    stays[keep] = True
    return {
        name: value.transpose(0, 1)[stays].transpose(0, 1).tolist() if name == "conv2" else value[stays].numpy()
        for name, value in layers.items()
    }


def _with(layers: Layers, keep: list[int], **changed: Tensor) -> Layers:
    return {**remove_channels(layers, keep), **changed}


def _zeroed(layers: Layers, keep: list[int]) -> Layers:
    zeroed = {name: value.clone() for name, value in layers.items()}
    for channel in _others(layers, keep):
        zeroed["conv2"][:, channel] = 0
        for name in ("conv1", *NORM):
            zeroed[name][channel] = 0
    return zeroed


def _others(layers: Layers, keep: list[int]) -> list[int]:
    return [channel for channel in range(len(layers["gamma"])) if channel not in keep]


def _channels_case(generator: torch.Generator) -> Case:
    channels = random_whole(generator, 3, 5)
    layers = {"conv1": torch.randn(channels, channels, 3, 3, generator=generator)}  # square: a wrong axis runs as well
    layers |= zip(NORM, torch.rand(4, channels, generator=generator) + 0.1)
    layers["conv2"] = torch.randn(channels, channels, 3, 3, generator=generator)
    keep = torch.randperm(channels, generator=generator)[: random_whole(generator, 1, channels - 1)]
    return Case(layers, sorted(keep.tolist()))


def _tiny(channels: int, keep: list[int]) -> Case:
    layers = {"conv1": torch.arange(channels * channels, dtype=torch.float32).reshape(channels, channels, 1, 1)}
    layers |= {name: tensor([float(10 * at + c) for c in range(channels)]) for at, name in enumerate(NORM, 1)}
    return Case({**layers, "conv2": layers["conv1"] + 5.0}, keep)


REMOVE_CHANNELS = Exercise(
    id="5.5",
    title="Take a channel out for real",
    reference=remove_channels,
    cases=(_tiny(2, [0]), _tiny(2, [1]), _tiny(3, [0, 2]), *random_cases(6, seed=55, make=_channels_case)),
    mistakes=(
        Mistake(
            lambda layers, keep: _with(layers, keep, conv2=layers["conv2"]),
            "`conv2` still reads the channels that are gone. Its inputs are axis 1 of its weight: they go too.",
        ),
        Mistake(
            lambda layers, keep: _with(layers, keep, **{name: layers[name] for name in NORM}),
            "The batch norm still has a gamma, a beta, a mean and a variance for channels that are gone.",
        ),
        Mistake(
            lambda layers, keep: _with(layers, keep, mean=layers["mean"], variance=layers["variance"]),
            "The batch norm's running mean and variance have one number for each channel too. They are buffers, "
            "easily forgotten.",
        ),
        Mistake(
            lambda layers, keep: _with(layers, keep, conv2=layers["conv2"][keep]),
            "Axis 0 of `conv2` holds the channels that it makes. The channels that it reads are axis 1.",
        ),
        Mistake(
            lambda layers, keep: _with(layers, keep, conv1=layers["conv1"][:, keep]),
            "Axis 1 of `conv1` holds the channels that it reads. The channels that it makes are axis 0.",
        ),
        Mistake(
            lambda layers, keep: remove_channels(layers, _others(layers, keep)),
            "`keep` lists the channels that stay. You took them out.",
        ),
        Mistake(
            _zeroed,
            "Zeros are stored and multiplied like any other number. To be smaller and faster, the channels must "
            "be cut out.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: isinstance(got, dict) and set(got) < set(expected),
            "A tensor is missing. The two convolutions and all four of the batch norm come back, under their names.",
            [lambda layers, keep: {"conv1": layers["conv1"][keep], "conv2": layers["conv2"][:, keep]}],
        ),
        variants(
            "Those are the channels that `keep` lists, in another order: take them in the order of `keep`.",
            lambda layers, keep: remove_channels(layers, keep[::-1]),
        ),
        variants(
            "Channels are counted from 0, as in `keep`: use it as it is.",
            lambda layers, keep: remove_channels(layers, [channel - 1 for channel in keep]),
        ),
        variants(
            "Those are not the channels that `keep` lists: use it as the index.",
            lambda layers, keep: remove_channels(layers, list(range(len(keep)))),
            lambda layers, keep: remove_channels(layers, list(range(keep[0], keep[-1] + 1))),
            lambda layers, keep: _with(layers, keep, conv1=layers["conv1"][: len(keep)]),
        ),
        Symptom(
            lambda got, expected, given: got["conv1"].shape == given["layers"]["conv1"].shape,
            "`conv1` still makes the channels that are gone. Its outputs are axis 0 of its weight: cut that.",
            [lambda layers, keep: _with(layers, keep, conv1=layers["conv1"])],
        ),
        Symptom(
            lambda got, expected, given: got["conv1"].shape[1:] != expected["conv1"].shape[1:],
            "The inputs of `conv1` stay as they are. Cut axis 0 of its weight, and nothing else.",
            [lambda layers, keep: _with(layers, keep, conv1=layers["conv1"][keep][:, keep])],
        ),
        variants(
            "Axes 2 and 3 of `conv2` are the height and width of its kernels. The channels that it reads are axis 1.",
            lambda layers, keep: _with(
                layers, keep, conv2=layers["conv2"][:, :, [at for at in keep if at < layers["conv2"].shape[2]]]
            ),
        ),
        Symptom(
            lambda got, expected, given: len(got["conv2"]) != len(expected["conv2"]),
            "The outputs of `conv2` stay as they are. The channels that it reads are axis 1 of its weight: cut that, "
            "and nothing else.",
            [lambda layers, keep: _with(layers, keep, conv2=layers["conv2"][keep][:, keep])],
        ),
    ),
    also_correct=(_remove_one_by_one, _remove_by_mask),
)
