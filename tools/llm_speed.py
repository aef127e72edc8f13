"""Time decoding of SmolLM2-135M on this machine: ours at several widths, torch's int4 product in the same plan, and
llama.cpp on the same file, in turns and in one run; next to the calculator's predictions.

    python tools/llm_speed.py [--threads 1] [--context 64] [--turns 15] [--tokens 16]

llama.cpp is the package xllamacpp (of the test group). In a turn each contestant decodes `--tokens` tokens, one
contestant after the other; the table has the median of the turns, their 10th and 90th percentile, and the ratio to
llama.cpp turn by turn. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from mini_lib.columns import aligned
from mini_lib.llm.model import DecodePlan, KVCache, find_model_file, load_language_model
from mini_lib.llm.model.here import measure_limits, predict_step
from mini_lib.llm.model.speed import compare_operators, profile_step
from studies.language.peer import llama_cpp, turn_of
from studies.language.study import Plan, packed

PEER, GROUP = "llama.cpp, the same file", 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--context", type=int, default=64, help="tokens before the first that is timed")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--tokens", type=int, default=16, help="tokens per turn")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)

    path = find_model_file()
    lm = load_language_model(path)
    models = {
        "fp32": lm,
        "int8": packed(lm, 8, Plan()),
        "int4, head int8": packed(lm, 4, Plan()),
        "int4": packed(lm, 4, Plan(), head_bits=4),
        "int3, head int8": packed(lm, 3, Plan()),
    }
    room = chosen.context + chosen.tokens + 1
    plans = {
        name: DecodePlan(model, KVCache(lm.architecture, room), threads=chosen.threads)
        for name, model in models.items()
    }
    plans["int4, torch's product"] = TorchInt4Plan(lm, KVCache(lm.architecture, room))
    limits = measure_limits(chosen.threads)
    turns: dict[str, Callable[[], float]] = {
        name: partial(turn_of, plan, context=chosen.context, tokens=chosen.tokens) for name, plan in plans.items()
    }
    peer = llama_cpp(path, threads=chosen.threads, context=chosen.context, tokens=chosen.tokens)
    if peer is None:
        parser.error("xllamacpp is not installed; `pip install xllamacpp`")
    turns[PEER] = peer
    times: dict[str, list[float]] = {name: [] for name in turns}
    for turn in range(chosen.turns + 1):
        for name, run in turns.items():
            took = run()
            if turn:  # the first turn warms up
                times[name].append(took)
    print(limits)
    print(
        table(
            times,
            {
                name: predict_step(plan.lm, limits, context=chosen.context).seconds
                for name, plan in plans.items()
                if name in models
            },
        )
    )
    print()
    print("The step of int4 with its head in int8, operator by operator, ms predicted and measured:")
    plan = plans["int4, head int8"]
    step = predict_step(plan.lm, limits, context=chosen.context)
    rows = compare_operators(step, profile_step(plan, context=chosen.context))
    print(
        aligned(
            [
                ("operator", "predicted", "measured"),
                *((name, f"{1e3 * a:.2f}", f"{1e3 * b:.2f}") for name, a, b in rows),
            ]
        )
    )


class TorchInt4Plan(DecodePlan):
    """The same plan with torch's product of bfloat16 and int4 in groups of 32, for every matrix."""

    def _product(self, name: str, layer: nn.Module, x: Tensor, y: Tensor) -> Callable[[], object]:
        weight = layer.weight.detach()
        groups = weight.unflatten(1, (-1, GROUP))
        scale = (groups.abs().amax(dim=-1, keepdim=True) / 7).clamp(min=1e-8)
        codes = (groups / scale).round().clamp(-8, 7).add(8).flatten(1).to(torch.int32)
        kept = torch._convert_weight_to_int4pack_for_cpu(codes, 2)
        grids = torch.stack((scale[..., 0], torch.zeros_like(scale[..., 0])), dim=-1).transpose(0, 1).contiguous()
        grids = grids.bfloat16()

        def call() -> None:
            y.copy_(torch._weight_int4pack_mm_for_cpu(x.bfloat16(), kept, GROUP, grids))

        return call


def table(times: dict[str, list[float]], predicted: dict[str, float]) -> str:
    peer = np.array(times[PEER])
    lines = [("contestant", "ms per token (p10-p90)", "tokens/s", "x llama.cpp (p10-p90)", "predicted ms", "off")]
    for name, took in times.items():
        took = np.array(took)
        low, middle, high = np.percentile(1e3 * took, (10, 50, 90))
        ratios = np.percentile(peer / took, (50, 10, 90))
        calculated = 1e3 * predicted[name] if name in predicted else None
        off = ("", "") if calculated is None else (f"{calculated:.2f}", f"{calculated / middle - 1:+.0%}")
        lines.append(
            (
                name,
                f"{middle:.2f} ({low:.2f}-{high:.2f})",
                f"{1e3 / middle:.1f}",
                "{:.2f} ({:.2f}-{:.2f})".format(*ratios),
                *off,
            )
        )
    return aligned(lines)


if __name__ == "__main__":
    main()
