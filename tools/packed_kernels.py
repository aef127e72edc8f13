"""Weights of few bits: a matrix times a vector at each width, and whole models, next to torch's kernels.

    python tools/packed_kernels.py                # both tables: about a minute, on one thread
    python tools/packed_kernels.py --only matrix --repeats 100

The first table multiplies one vector by a matrix of 4096 x 4096, with cold weights: each contestant has several copies
of its matrix, together twice the last-level cache, and takes the next one at each call. With a single matrix, formats
that fit in the cache would be timed from the cache, and the others from memory; in a model, which calls other layers in
between, all come from memory. "read only" reads 64 MiB and does nothing with it: its GB/s are the limit. "x torch int4"
is the median of the ratios within each turn. Ours round the activations to 8 bits; torch's int4 and int8 keep them in
bf16.

The second table times whole models at batch 1 and 32: weights in groups or per channel, activations rounded to 8 bits.
torch's dynamic int8 takes linear layers only. "x fp32" below 1 is slower. The process starts itself again with settings
that let the allocator keep its memory (studies/factorize/clean_process.py says why).
"""

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from time import perf_counter, thread_time

import numpy as np
import torch
from torch import nn

from mini_lib import native, zoo
from mini_lib.columns import aligned
from mini_lib.fold import fold_batch_norm
from mini_lib.latency import compare_latency, milliseconds
from mini_lib.measure import stored_bytes
from mini_lib.quantize import BinaryFormat, IntFormat, PerChannel, PerGroup, pack_for_speed, quantize_weights
from mini_lib.quantize.packed.race import race_packed
from studies.factorize.clean_process import KEEP_MEMORY, ONE_THREAD

SETTINGS = KEEP_MEMORY | ONE_THREAD
WIDE = 2048


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("matrix", "models"))
    parser.add_argument("--size", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), default=(4096, 4096))
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--processor-time", action="store_true", help="for a machine that others use too")
    given = parser.parse_args()
    clock = thread_time if given.processor_time else perf_counter
    if any(os.environ.get(name) != value for name, value in SETTINGS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | SETTINGS)
    torch.set_num_threads(1)
    print(f"{native.find_compiler().version}, {' '.join(native.native_flags())}, one thread")
    if given.only != "models":
        print(f"\n{given.size[0]} x {given.size[1]} times a vector, cold, {given.repeats} turns")
        print(race_packed(*given.size, repeats=given.repeats, clock=clock))
    if given.only != "matrix":
        for name, model, sides in _models():
            for batch in (1, 32):
                print(f"\n{name}, batch {batch}, {given.repeats} turns")
                print(_model_table(model, torch.rand(batch, *sides), given.repeats, clock))


def _models() -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    wide = nn.Sequential(nn.Linear(WIDE, WIDE), nn.ReLU(), nn.Linear(WIDE, WIDE), nn.ReLU(), nn.Linear(WIDE, 10))
    return [
        ("small_cnn", fold_batch_norm(zoo.load("small_cnn")), (1, 28, 28)),
        ("lenet_300_100", zoo.load("lenet_300_100"), (1, 28, 28)),
        (f"MLP {WIDE}-{WIDE}-{WIDE}-10", wide.eval(), (WIDE,)),
    ]


def _model_table(model: nn.Module, x: torch.Tensor, repeats: int, clock: Callable[[], float]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that this function will move
        dynamic = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    models = {"fp32": model, "torch dynamic int8 (linear layers)": dynamic}
    sizes = {"fp32": stored_bytes(model), "torch dynamic int8 (linear layers)": _dynamic_bytes(dynamic)}
    formats = {f"packed int{bits} per channel": IntFormat(bits, granularity=PerChannel(0)) for bits in (8, 4, 3, 2)}
    if not any(isinstance(module, nn.Conv2d) or getattr(module, "in_features", 32) % 4 for module in model.modules()):
        formats["packed int4 per group of 4"] = IntFormat(4, granularity=PerGroup(4))
    for name, fmt in (formats | {"packed binary": BinaryFormat()}).items():
        models[name] = pack_for_speed(quantize_weights(model, fmt))
        sizes[name] = stored_bytes(models[name])
    with torch.no_grad():
        times = compare_latency({name: partial(one, x) for name, one in models.items()}, repeats=repeats, clock=clock)
    lines = [("model", "KiB stored", "ms (median, p10-p90)", "x fp32 (p10-p90)")]
    for name, time in times.items():
        ratios = np.divide(times["fp32"].times_s, time.times_s)
        median, low, high = np.percentile(ratios, (50, 10, 90))
        shown = milliseconds(time.median_s, time.low_s, time.high_s)
        lines.append((name, f"{sizes[name] / 1024:,.1f}", shown, f"{median:.2f} ({low:.2f}-{high:.2f})"))
    return aligned(lines)


def _dynamic_bytes(model: nn.Module) -> int:
    """Bytes of a dynamically quantized model: int8 weights with a scale (fp32) and a zero point (8 bits) per tensor."""
    kept = {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    packed = [module for module in model.modules() if isinstance(module, torch.ao.nn.quantized.dynamic.Linear)]
    weights = sum(module.weight().numel() + 5 + 4 * module.out_features for module in packed)
    floats = sum(value.nbytes for name, value in kept.items() if not name.endswith(("scale", "zero_point")))
    return weights + floats


if __name__ == "__main__":
    main()
