"""A transformation keeps what a model computes, up to what it promises to change, or refuses by name.

Every transformation meets every odd model. Each is asked for as little as it can be: 8 bits, the full rank, a mask of
ones, a training of no steps. So the output has to stay what it was, within what 8 bits round.

A run of the tests takes a sixth of the pairs, always the same. All of them, in half a minute:

    EVERY_PAIR=1 pytest tests/test_faithful.py
    python tests/test_faithful.py            prints the table
"""

from __future__ import annotations

import copy
import functools
import math
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from door_fuzz import fingerprint, judge_error
from odd_models import ODD, fits, odd_model
from torch import Tensor, nn

from mini_lib.data import Split
from mini_lib.distill import mean_of
from mini_lib.factorize import (
    add_lora,
    factorize,
    input_moments,
    is_factorizable,
    is_separable,
    merge_lora,
    output_svd,
    restore_mean_output,
    separate_model,
)
from mini_lib.fit import fit
from mini_lib.fold import fold_batch_norm
from mini_lib.prune import Mask, apply_mask, baked, is_prunable, masked, prune_and_train
from mini_lib.prune.second_order import sparse_gpt
from mini_lib.prune.structure import channel_groups, mask_channels, remove_channels
from mini_lib.prune.tickets import weights_of, with_weights
from mini_lib.quantize import (
    IntFormat,
    PerChannel,
    adaround,
    awq,
    correct_bias,
    deploy,
    equalize,
    export,
    freeze_batch_norm,
    gptq,
    is_weight_layer,
    min_max,
    pack_for_speed,
    prepare,
    quantize_weights,
    quantize_weights_and_activations,
    reestimate_batch_norm,
    scale_salient,
    smooth,
    to_integers,
    with_integer_biases,
)
from mini_lib.stacked import stack, unstack
from mini_lib.surgery import find, replace, swap

ROOT = Path(__file__).resolve().parent.parent
FMT = IntFormat(8, granularity=PerChannel(0))
INPUTS = IntFormat(8, symmetric=False, signed=False)
EVERY_PAIR = bool(os.environ.get("EVERY_PAIR"))
EXACT, ROUNDED = 1e-4, 0.08  # of the largest output; where from: see `tolerance`

Transform = Callable[[nn.Module, Tensor], nn.Module]


def _activations(model: nn.Module, x: Tensor) -> nn.Module:
    return quantize_weights_and_activations(model, FMT, INPUTS, x)


def _shape(layer: nn.Module) -> tuple[int, ...]:
    lazy = isinstance(layer.weight, nn.UninitializedParameter)
    return (layer.out_features, 1) if lazy else tuple(layer.weight.shape)


def _ones(model: nn.Module) -> Mask:
    layers = {name: layer for name, layer in model.named_modules() if is_prunable(name, layer)}
    kept = {f"{name}.weight": torch.ones(_shape(layer), dtype=torch.bool) for name, layer in layers.items()}
    return Mask(kept or {"fc.weight": torch.ones(12, 8, dtype=torch.bool)})


def _full_rank(model: nn.Module) -> dict[str, int]:
    shapes = {name: _shape(layer) for name, layer in model.named_modules() if is_factorizable(name, layer)}
    return {name: min(shape[0], math.prod(shape[1:])) for name, shape in shapes.items()}


def _output_svd(model: nn.Module, x: Tensor) -> nn.Module:
    moments = input_moments(model, x)
    layers = dict(find(model, is_factorizable))
    return swap(
        model, {name: output_svd(layers[name], moments[name], rank).layer for name, rank in _full_rank(model).items()}
    )


def _mean_output(model: nn.Module, x: Tensor) -> nn.Module:
    moments = input_moments(model, x)
    layers = dict(find(model, is_factorizable))
    return swap(model, {name: restore_mean_output(layer, layer, moments[name]) for name, layer in layers.items()})


def _rebuilt(model: nn.Module, x: Tensor) -> nn.Module:
    def again(layer: nn.Linear) -> nn.Linear:
        made = nn.Linear(
            layer.in_features,
            layer.out_features,
            layer.bias is not None,
            dtype=layer.weight.dtype,
            device=layer.weight.device,
        )
        made.load_state_dict(layer.state_dict())
        return made

    def is_one(name: str, module: nn.Module) -> bool:
        return type(module) is nn.Linear and {"weight", "bias"} <= module._parameters.keys()

    return replace(model, is_one, again)


def _all_channels(model: nn.Module, x: Tensor) -> dict[str, list[int]]:
    return {group.name: list(range(group.channels)) for group in channel_groups(model, x[:2])}


def _trained_no_steps(model: nn.Module, x: Tensor) -> nn.Module:
    split = Split(x, torch.zeros(len(x), dtype=torch.int64))
    return prune_and_train(model, split, split, densities=[1.0], epochs=1, seed=0, learning_rate=1e-12)[-1].model


def _stacked(model: nn.Module, x: Tensor) -> nn.Module:
    return with_weights(model, unstack(stack([weights_of(model), weights_of(model)]), 1))


EIGHT_BITS: dict[str, Transform] = {
    "quantize_weights": lambda model, x: quantize_weights(model, FMT),
    "quantize_weights_and_activations": _activations,
    "correct_bias": lambda model, x: correct_bias(model, quantize_weights(model, FMT), x),
    "prepare": lambda model, x: prepare(model, FMT, observer=min_max),
    "prepare, export": lambda model, x: export(prepare(model, FMT, observer=min_max)),
    "prepare with activations, export": lambda model, x: export(
        prepare(model, FMT, activations=INPUTS, calibration=x, observer=min_max)
    ),
    "gptq": lambda model, x: gptq(model, FMT, x),
    "awq": lambda model, x: awq(model, FMT, x, candidates=2),
    "adaround": lambda model, x: adaround(model, FMT, x, steps=2),
    "pack_for_speed": lambda model, x: pack_for_speed(quantize_weights(model, FMT)),
    "deploy": lambda model, x: deploy(model, {name: 8 for name, _ in find(model, is_weight_layer)}),
    "to_integers": lambda model, x: to_integers(_activations(model, x), x),
    "with_integer_biases": lambda model, x: with_integer_biases(_activations(model, x)),
}
NOTHING_CHANGED: dict[str, Transform] = {
    "scale_salient": lambda model, x: scale_salient(model, FMT, x, candidates=2),
    "smooth": lambda model, x: smooth(model, x),
    "equalize": lambda model, x: equalize(model),
    "fold_batch_norm": lambda model, x: fold_batch_norm(model),
    "freeze_batch_norm": lambda model, x: freeze_batch_norm(model),
    "reestimate_batch_norm": lambda model, x: reestimate_batch_norm(model, x),
    "masked": lambda model, x: masked(model, _ones(model)),
    "masked, baked": lambda model, x: baked(masked(model, _ones(model))),
    "baked": lambda model, x: baked(model),
    "apply_mask": lambda model, x: apply_mask(model, _ones(model)),
    "mask_channels": lambda model, x: mask_channels(model, x[:2], _all_channels(model, x)),
    "remove_channels": lambda model, x: remove_channels(model, x[:2], _all_channels(model, x)),
    "prune_and_train": _trained_no_steps,
    "sparse_gpt": lambda model, x: sparse_gpt(model, x, density=1.0)[0],
    "factorize": lambda model, x: factorize(model, x[:2], _full_rank(model)).model,
    "factorize without folding": lambda model, x: factorize(model, x[:2], _full_rank(model), fold=False).model,
    "separate_model": lambda model, x: (
        separate_model(
            model, x[:2], {name: min(len(layer.weight), 9) for name, layer in find(model, is_separable)}, fold=False
        ).model
    ),
    "add_lora": lambda model, x: add_lora(model, 2),
    "add_lora, merge_lora": lambda model, x: merge_lora(add_lora(model, 2)),
    "add_lora twice, merge_lora": lambda model, x: merge_lora(add_lora(add_lora(model, 2), 2)),
    "output_svd": _output_svd,
    "restore_mean_output": _mean_output,
    "stack, unstack": _stacked,
    "mean_of": lambda model, x: mean_of([model, model]),
    "replace": _rebuilt,
    "swap": lambda model, x: swap(model, dict(find(model, is_factorizable))),
}
TRANSFORMATIONS = EIGHT_BITS | NOTHING_CHANGED


def _statistics_anew(model: nn.Module, x: Tensor) -> nn.Module:
    """The model with the mean and variance of this batch in each batch norm, by torch's own cumulative average."""
    model = copy.deepcopy(model)
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for norm in norms:  # in the order in which they run: a net of these has one
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
            model(x)
            norm.eval()
    return model


def _trained(model: nn.Module, x: Tensor) -> nn.Module:
    split = Split(x, torch.zeros(len(x), dtype=torch.int64))
    return fit(model, split, split, epochs=1, seed=0, learning_rate=1e-12).model


# These ask that batch norm is folded first, so they get a net that has none.
WITHOUT_NORM = {
    "quantize_weights_and_activations",
    "correct_bias",
    "awq",
    "scale_salient",
    "smooth",
    "equalize",
    "to_integers",
    "with_integer_biases",
    "add_lora",
    "add_lora, merge_lora",
    "add_lora twice, merge_lora",
    "stack, unstack",
}
# What the result has to compute, where that is not what the model does.
INSTEAD: dict[str, Transform] = {"reestimate_batch_norm": _statistics_anew, "prune_and_train": _trained}
# These promise that every weight is stored in few bits: a layer that they leave in float has to be named.
PROMISES_SIZE = {name for name in EIGHT_BITS if name not in ("to_integers",)}


def state_of(model: nn.Module) -> object:
    """Everything that a transformation must leave as it is in its argument."""
    return fingerprint(model)


def names_what(message: str, model: nn.Module) -> bool:
    """Whether a refusal names a layer of the model, or the kind of the model or of a layer."""
    names = {name for name, _ in model.named_modules(remove_duplicate=False) if name}
    kinds = {type(module).__name__ for module in model.modules()}
    words = (
        "training mode",
        "lazy",
        "meta",
        "scripted",
        "float",
        "dtype",
        "no layer",
        "complex",
        "the model",
        "model ",
        "nothing to equalize",
        "the call of",
    )
    quoted = message.replace('"', "'")
    return (
        any(f"'{name}'" in quoted or f" {name} " in quoted or f"'{name}." in quoted for name in names)
        or any(kind in message for kind in kinds)
        or any(word in message for word in words)
    )


def left_in_float(model: nn.Module) -> list[str]:
    """The layers of a transformed model that are still what they were: a linear layer or a convolution in float."""
    kinds = (nn.Linear, nn.Conv2d)  # which `where` chooses among, as the text says; others stay what they are
    # attention is a kind of its own, which no transformation claims: it reads the weight of its last layer itself
    other = nn.modules.linear.NonDynamicallyQuantizableLinear
    return [name for name, module in model.named_modules() if isinstance(module, kinds) and type(module) is not other]


def raised_here(error: BaseException) -> bool:
    """Whether the library itself refused, with a ValueError or a TypeError."""
    return judge_error(error) is None


@functools.cache
def made(odd: str, norm: bool) -> tuple[nn.Module, Tensor, object, Tensor | None]:
    """An odd model, its input, what it holds, and what it computes in evaluation mode (None if it must not run)."""
    model, x = odd_model(odd, norm)
    expected = None
    if odd != "lazy" and not odd.startswith("training"):
        expected = outputs(model, x)
    return model, x, state_of(model), expected


@torch.no_grad()
def outputs(model: nn.Module, x: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model(x).double()


def verdict(transform: str, odd: str) -> str:
    """What becomes of an odd model: "kept", "refused: ...", or, in capitals, what is wrong."""
    model, x, before, expected = made(odd, transform not in WITHOUT_NORM)
    instead = None
    if transform in INSTEAD and expected is not None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                instead = INSTEAD[transform](model, x).eval()
        except Exception:
            instead = None  # no such thing is there to be compared with: it has to be refused
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = TRANSFORMATIONS[transform](model, x)
    except Exception as error:
        if state_of(model) != before:
            made.cache_clear()
            return "ARGUMENT CHANGED by a refusal"
        frames = traceback.extract_tb(error.__traceback__)
        if not raised_here(error):
            mine = [frame for frame in frames if "mini_lib" in frame.filename]
            place = f"{Path(mine[-1].filename).relative_to(ROOT)}:{mine[-1].lineno}" if mine else "this test"
            return f"FOREIGN {type(error).__name__}: {str(error).splitlines()[0][:90]} [{place}]"
        return f"{'refused' if names_what(str(error), model) else 'UNNAMED'}: {error}"
    if state_of(model) != before:
        made.cache_clear()
        return "ARGUMENT CHANGED"
    if expected is None:
        if odd.startswith("training"):  # compared in evaluation mode
            model, result = copy.deepcopy(model).eval(), result.eval()
            expected = INSTEAD.get(transform, lambda model, x: model)(model, x).eval()
            expected = outputs(expected, x)
        else:
            return f"TAKEN without a word: {odd}"
    if instead is not None:
        expected = outputs(instead, x)
    if odd.startswith("then cast to "):
        dtype = getattr(torch, odd.removeprefix("then cast to "))
        try:
            result, x = result.to(dtype), x.to(dtype)
        except Exception as error:
            return "refused: " + str(error) if raised_here(error) else f"FOREIGN {type(error).__name__}: {error}"
    try:
        got = outputs(result, x)
    except Exception as error:
        if raised_here(error):
            return f"refused: {error}"
        if (transform, odd) in LOUD:
            return "refused: the layer put in place has no such attribute"
        return f"BREAKS {type(error).__name__}: {str(error).splitlines()[0][:90]}"
    if odd == "meta":
        return "kept" if got.is_meta and got.shape == expected.shape else "CHANGED: a model without values got some"
    off = float((got - expected).abs().max() / expected.abs().max()) if got.shape == expected.shape else float("inf")
    if not off <= tolerance(transform, odd):
        return f"CHANGED by {off:.1%}"
    if transform in PROMISES_SIZE and (left := left_in_float(result)):
        return f"LEFT IN FLOAT without a word: {', '.join(left)}"
    return "kept"


def tolerance(transform: str, odd: str) -> float:
    """How far the output may be off, as a share of its largest value."""
    own = {"bfloat16": 2**-4, "float16": 2**-7}.get(odd.removeprefix("then cast to "), 0.0)
    return max(ROUNDED if transform in EIGHT_BITS else EXACT, own)


# A layer that the reader puts in place with `swap` is the reader's: a forward that reads what it lacks says so at once.
LOUD = {
    ("output_svd", "reads fc.weight besides"),
    ("output_svd", "reads fc.in_features"),
    ("output_svd", "reads fc.weight"),
}
# None of these hinders anybody: they are kept, but by those that say why not.
HARMLESS = (
    "plain",
    "hook on the model",
    "hook on a container",
    "subclass by name only",
    "functional dropout",
    "no_grad in forward",
    "linear on 3-d",
    "without gradients",
    "no bias",
)
NOT_A_CHAIN = {"functional dropout", "no_grad in forward", "linear on 3-d", "hook on the model", "hook on a container"}
HINDERED = {
    "to_integers": NOT_A_CHAIN,
    "with_integer_biases": NOT_A_CHAIN,
    "mask_channels": {"linear on 3-d", "subclass by name only"},
    "remove_channels": {"linear on 3-d", "subclass by name only"},
    "prune_and_train": {"without gradients"},
}


def pairs(transform: str, every: bool) -> list[str]:
    """The odd models that a transformation meets; without `every` the harmless ones and each sixth of the others.

    The sixths go round: six transformations in a row meet all of them.
    """
    turn = list(TRANSFORMATIONS).index(transform)
    met = [odd for number, odd in enumerate(ODD) if every or odd in HARMLESS or (number + turn) % 6 == 0]
    return [odd for odd in met if fits(odd, transform not in WITHOUT_NORM)]


def is_right(said: str) -> bool:
    return said.startswith(("kept", "refused"))


def judged(transform: str, every: bool = True) -> dict[str, str]:
    """The verdicts over its odd models; a harmless one that is refused is wrong too."""
    said = {odd: verdict(transform, odd) for odd in pairs(transform, every)}
    for odd in HARMLESS:
        if said[odd].startswith("refused") and odd not in HINDERED.get(transform, ()):
            said[odd] = f"HINDERED, {said[odd]}"
    return said


@pytest.mark.parametrize("transform", TRANSFORMATIONS)
def test_what_a_model_computes_is_kept_or_refused_by_name(transform):
    wrong = {odd: said for odd, said in judged(transform, EVERY_PAIR).items() if not is_right(said)}
    assert not wrong, "\n".join(f"{transform} x {odd}: {said}" for odd, said in wrong.items())


def main() -> None:
    import time

    torch.set_num_threads(1)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    lines, wrong, short, counts = [], [], {}, {}
    for transform in TRANSFORMATIONS:
        begin = time.process_time()
        for odd, said in judged(transform).items():
            kind = said.partition(":")[0] if is_right(said) else said.split()[0].strip(",")
            counts[kind] = counts.get(kind, 0) + 1
            lines.append(f"{transform} x {odd}: {said}")
            if not is_right(said):
                wrong.append(lines[-1])
        short[transform] = time.process_time() - begin
    text = f"{len(TRANSFORMATIONS)} transformations x {len(ODD)} models, {len(lines)} pairs: " + ", ".join(
        f"{n} {k}" for k, n in counts.items()
    )
    print(text)
    print(
        "slowest:",
        ", ".join(f"{name} {took:.1f} s" for name, took in sorted(short.items(), key=lambda row: -row[1])[:6]),
    )
    if folder:
        (folder / "faithful.txt").write_text("\n".join([text, *lines]) + "\n")
        (folder / "faithful_failures.txt").write_text("\n".join([text, *wrong]) + "\n")


if __name__ == "__main__":
    main()
