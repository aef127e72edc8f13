"""Which layer deserves which bits? Searches compared with the true optimum, mixed bits with controls, three machines.

    python tools/mixed_precision.py                  # all parts, three seeds: about 15 minutes on a quiet machine
    python tools/mixed_precision.py --parts arms ranks --seeds 0
    python tools/mixed_precision.py --parts machines # half a minute

arms: 2 bits everywhere against mixed bits of at most 10% more bytes, and 4 bits everywhere against mixed bits of no
more bytes; each also with batch norm re-estimated, and at 2 bits after a short training. Bits are chosen by KL
divergence on validation pictures; test pictures are used once, at the end.
searches: all 4^5 allocations of small_cnn are measured, which gives the true optimum. The table shows how far from it
exact and greedy allocation end (they add up errors), and evolution, the agent and random search (they measure), by
evaluations.
ranks: Spearman's rank correlation of each sensitivity with the measured loss and accuracy of 100 random allocations, on
pictures that no sensitivity has seen.
machines: the costs on this machine and on two described ones, the bits that each chooses for half of its latency, and
the measured latency of this machine's choice.
"""

import argparse
import itertools
import statistics
from collections.abc import Iterator
from random import Random
from time import perf_counter

import torch
from scipy.stats import spearmanr
from torch import nn

from mini_lib import data, zoo
from mini_lib.columns import aligned
from mini_lib.fit import Spread, accuracy, fit
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import mse, quantize_weights
from mini_lib.quantize.mixed import (
    BIT_SERIAL,
    INT4_INT8_GPU,
    CostTable,
    Evaluations,
    Trials,
    accelerator_costs,
    allocate,
    deploy,
    measure_costs,
    search_evolution,
    search_random,
    search_rl,
    sensitivity_by_bytes,
    sensitivity_by_hessian,
    sensitivity_by_kl,
    sensitivity_by_loss,
    sensitivity_by_output,
    sensitivity_by_weight,
    time_in_use,
)
from mini_lib.quantize.train import export, prepare, reestimate_batch_norm

WIDTHS = (8, 4, 3, 2)
ENDS = ("conv1", "linear")  # the first and the last layer
ROUNDS = 25


def main() -> None:
    """Print the requested parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"arms": arms, "searches": searches, "ranks": ranks, "machines": machines}
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--seeds", nargs="+", type=int, choices=(0, 1, 2), default=[0, 1, 2])
    parser.add_argument("--pictures", type=int, default=200, help="validation pictures for KL")
    given = parser.parse_args()
    torch.set_num_threads(1)
    splits = data.fashion()
    for name in given.parts:
        started_s = perf_counter()
        print(f"\n== {name} ==", flush=True)
        parts[name](splits, given.seeds, given.pictures)
        print(f"{perf_counter() - started_s:.0f} s", flush=True)


def byte_table(model: nn.Module, splits: data.Splits) -> CostTable:
    """The bytes of the layers at each width, which are the same on every machine that stores all widths."""
    return accelerator_costs(model, splits.validation.images[:1], WIDTHS, BIT_SERIAL)


# --- arms ----------------------------------------------------------------------------------------------------------


def arms(splits: data.Splits, seeds: list[int], pictures: int) -> None:
    """Print the test accuracy of mixed bits and of their controls, over the seeds."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    chosen = []
    for seed in seeds:
        trained = zoo.load("small_cnn", seed)
        table = byte_table(fold_batch_norm(trained), splits)
        sensitivity = sensitivity_by_kl(trained, WIDTHS, splits.validation.images[:pictures], observer=mse)
        few, four = (table.total(dict.fromkeys(table.layers, bits)).stored_bytes for bits in (2, 4))
        mixed_2 = allocate(table, sensitivity, budget_bytes=1.1 * few).bits
        mixed_4 = allocate(table, sensitivity, budget_bytes=four).bits
        chosen.append((str(seed), *("/".join(map(str, bits.values())) for bits in (mixed_2, mixed_4))))
        for name, bits in {
            "2 everywhere": dict.fromkeys(table.layers, 2),
            "8/2/8, the rule of thumb": {name: 8 if name in ENDS else 2 for name in table.layers},
            "mixed, 2-bit bytes + 10%": mixed_2,
            "4 everywhere": dict.fromkeys(table.layers, 4),
            "mixed, 4-bit bytes": mixed_4,
        }.items():
            size = f"{table.total(bits).stored_bytes / few:.2f}"
            row = found.setdefault(name, {"bytes": []} | {way: [] for way in WAYS})
            row["bytes"].append(size)
            for way, model in after(trained, bits, splits, seed, train="4 " not in name and "4-" not in name):
                row[way].append(accuracy(model, splits.test))
        print(f"seed {seed} done", flush=True)
    print(aligned([("seed", "2-bit bytes + 10%", "4-bit bytes"), *chosen], left=(0, 1, 2)))
    lines = [("test accuracy", "bytes", *WAYS)]
    for name, row in found.items():
        sizes = sorted(set(row["bytes"]))
        lines.append((name, "-".join({sizes[0]: 0, sizes[-1]: 0}), *(shown(row[way]) for way in WAYS)))
    print(aligned(lines))
    gains = [m - u for m, u in zip(found["mixed, 2-bit bytes + 10%"][WAYS[0]], found["2 everywhere"][WAYS[0]])]
    print(f"mixed minus 2 everywhere, post-training: {', '.join(f'{100 * gain:.1f}' for gain in gains)} points")


WAYS = ("post-training", "batch norm re-estimated", "trained (2 epochs)")


def shown(values: list[float]) -> str:
    """A mean with its spread, or a dash if nothing was measured."""
    if not values:
        return "-"
    return f"{100 * Spread(tuple(values)).mean:.1f}" + (
        f" ± {100 * Spread(tuple(values)).std:.1f}" if values[1:] else ""
    )


def after(trained, bits, splits, seed: int, *, train: bool) -> Iterator[tuple[str, nn.Module]]:
    """The model at these bits: as it is, with batch norm re-estimated on training pictures, and trained."""
    small = quantize_weights(trained, bits, observer=mse)
    yield WAYS[0], small
    yield WAYS[1], reestimate_batch_norm(small, splits.train.images[:500])
    if train:
        start = prepare(trained, bits)
        subset = splits.train.first(4000)
        fitted = fit(start, subset, splits.validation.first(500), epochs=2, seed=seed, learning_rate=0.002)
        yield WAYS[2], export(fitted.model)


# --- searches ------------------------------------------------------------------------------------------------------

SEARCHES = {"evolution": search_evolution, "agent (REINFORCE)": search_rl, "random": search_random}


def searches(splits: data.Splits, seeds: list[int], pictures: int) -> None:
    """Print how far each way of choosing ends from the brute-forced optimum."""
    lines = [("model, budget", "best", "method", "evaluations", "KL above the optimum: median", "least", "most")]
    for seed in seeds:
        model = fold_batch_norm(zoo.load("small_cnn", seed))
        trials = Trials(model, WIDTHS, observer=mse)
        kl, table, layers = trials.kl(splits.validation.images[:pictures]), byte_table(model, splits), trials.layers
        started_s = perf_counter()
        truth = {bits: kl(dict(zip(layers, bits))) for bits in itertools.product(WIDTHS, repeat=len(layers))}
        print(f"seed {seed}: {len(truth):,} allocations measured in {perf_counter() - started_s:.0f} s", flush=True)

        def error_of(bits: dict[str, int], truth=truth, layers=layers) -> float:
            return truth[tuple(bits[name] for name in layers)]

        # Each layer alone: one more evaluation per width, counted like those of the searches.
        sensitivity = {name: {bits: kl({name: bits}) for bits in WIDTHS} for name in layers}
        spent = len(layers) * len(WIDTHS)
        few = table.total(dict.fromkeys(layers, 2)).stored_bytes
        for factor in (1.1, 1.5, 2.0):
            budget = factor * few
            fits = [bits for bits in truth if table.total(dict(zip(layers, bits))).stored_bytes <= budget]
            best = min(fits, key=truth.get)
            place = f"seed {seed}, {factor:g} x 2-bit bytes ({len(fits)} fit)"

            def gap(bits: dict[str, int], best=best, truth=truth, error_of=error_of) -> float:
                return error_of(bits) / truth[best] - 1

            def line(method, evaluations, gaps, place=place, best=best):
                numbers = (statistics.median(gaps), min(gaps), max(gaps))
                lines.append(
                    (place, "/".join(map(str, best)), method, evaluations, *(f"{one:+.1%}" for one in numbers))
                )

            for method in ("exact", "greedy"):
                found = allocate(table, sensitivity, budget_bytes=budget, method=method)
                line(method, str(spent), [gap(found.bits)])
            for limit in (spent, 50, 100):
                if limit > spent:  # the remaining evaluations measure the allocations with the best sums
                    ranked = sorted(fits, key=lambda bits: sum(sensitivity[n][b] for n, b in zip(layers, bits)))
                    line(
                        "exact, then measure",
                        str(limit),
                        [min(truth[b] for b in ranked[: limit - spent]) / truth[best] - 1],
                    )
                for method, search in SEARCHES.items():
                    gaps, counts = [], []
                    for search_seed in range(10):
                        evaluate = Evaluations(error_of, limit)
                        gaps.append(gap(search(table, evaluate, budget_bytes=budget, seed=search_seed).bits))
                        counts.append(evaluate.count)
                    line(method, f"{min(counts)}-{max(counts)}" if min(counts) < max(counts) else str(limit), gaps)
    print(aligned(lines, left=(0, 1, 2)))
    print("ten seeds of each search; a search with fewer evaluations than allowed had nothing new left to measure")


# --- ranks ---------------------------------------------------------------------------------------------------------


def ranks(splits: data.Splits, seeds: list[int], pictures: int) -> None:
    """Print how well each sensitivity, added up, ranks 100 random allocations."""
    correlations: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        model = fold_batch_norm(zoo.load("small_cnn", seed))
        seen, rest = (
            splits.validation.first(pictures),
            data.Split(splits.validation.images[1000:2000], splits.validation.labels[1000:2000]),
        )
        sensitivities = {
            "loss": sensitivity_by_loss(model, WIDTHS, seen, observer=mse),
            "KL divergence": sensitivity_by_kl(model, WIDTHS, seen.images, observer=mse),
            "Hessian trace": sensitivity_by_hessian(model, WIDTHS, splits.train.first(100), observer=mse),
            "layer output": sensitivity_by_output(model, WIDTHS, splits.train.images[:pictures], observer=mse),
            "weight error": sensitivity_by_weight(model, WIDTHS, observer=mse),
            "bytes saved": sensitivity_by_bytes(model, WIDTHS, observer=mse),
        }
        random, trials = Random(seed), Trials(model, WIDTHS, observer=mse)
        drawn = random.sample(list(itertools.product(WIDTHS, repeat=len(trials.layers))), 100)
        logits = [trials.logits(dict(zip(trials.layers, bits)), rest.images) for bits in drawn]
        measured = {
            "loss": [nn.functional.cross_entropy(one, rest.labels).item() for one in logits],
            "error rate": [(one.argmax(1) != rest.labels).double().mean().item() for one in logits],
        }
        for name, sensitivity in sensitivities.items():
            sums = [sum(sensitivity[layer][b] for layer, b in zip(trials.layers, bits)) for bits in drawn]
            for what, values in measured.items():
                rho = spearmanr(sums, values).statistic
                correlations.setdefault(name, {}).setdefault(what, []).append(rho)
    lines = [("Spearman with the measured", *(f"{what}, seeds {seeds}" for what in ("loss", "error rate")))]
    for name, row in correlations.items():
        lines.append((name, *(" ".join(f"{rho:.2f}" for rho in row[what]) for what in ("loss", "error rate"))))
    print(aligned(lines))


# --- machines ------------------------------------------------------------------------------------------------------


def machines(splits: data.Splits, seeds: list[int], pictures: int) -> None:
    """Print three cost tables and each machine's choice; and this machine's choice, predicted and measured."""
    model, example = fold_batch_norm(zoo.load("small_cnn", seeds[0])), splits.validation.images[:1]
    every = (32, 8, 6, 5, 4, 3, 2)
    sensitivity = sensitivity_by_kl(model, every, splits.validation.images[:pictures], observer=mse)
    tables = [
        measure_costs(model, example, (32, 8, 4, 3, 2), observer=mse, repeats=60),
        accelerator_costs(model, example, (8, 6, 5, 4, 3, 2), BIT_SERIAL),
        accelerator_costs(model, example, (8, 6, 5, 4, 3, 2), INT4_INT8_GPU),
    ]
    for table in tables:
        print(table, "\n")
    choices = []
    for table in tables:
        times = [{bits: cost.median_s for bits, cost in row.items()} for row in table.costs.values()]
        fastest, widest = sum(min(row.values()) for row in times), sum(row[8] for row in times)
        budget_s = table.rest.median_s + (fastest + widest) / 2
        choices.append(allocate(table, sensitivity, budget_s=budget_s))
    lines = [("latency half-way from 8 bits to the fastest", *tables[0].layers, "KL (sum)", "us", "bytes", "uJ")]
    for table, choice in zip(tables, choices):
        energy = "-" if choice.cost.joules is None else f"{1e6 * choice.cost.joules:.2f}"
        lines.append(
            (
                table.device,
                *map(str, choice.bits.values()),
                f"{choice.error:.4f}",
                f"{1e6 * choice.cost.median_s:.3g}",
                f"{choice.cost.stored_bytes:,}",
                energy,
            )
        )
    print(aligned(lines))
    for table, choice in zip(tables, choices):
        print(f"\n{table.device}: seconds saved per layer, from 8 bits to fewer")
        for name, row in table.costs.items():
            saved = {bits: row[8].median_s - cost.median_s for bits, cost in row.items() if bits != 8}
            text = ", ".join(f"{bits} bits {1e6 * one:+.3g} us" for bits, one in saved.items())
            print(f"  {name}: {text}; KL at 4 bits {sensitivity[name][4]:.4f}; takes {choice.bits[name]}")
    # A busy machine changes its speed from second to second, so table and networks are timed together, round by round.
    print(f"\npredicted over measured latency on this machine, {ROUNDS} rounds of both, median (p10-p90)")
    plans = {"chosen": choices[0].bits}
    plans |= {f"{bits} everywhere": dict.fromkeys(tables[0].layers, bits) for bits in (32, 8, 4, 2)}
    deployed = {name: deploy(model, bits, observer=mse) for name, bits in plans.items()}
    ratios: dict[str, list[float]] = {name: [] for name in plans}
    for _ in range(ROUNDS):
        table = measure_costs(model, example, (32, 8, 4, 3, 2), observer=mse, repeats=5)
        for name, found in time_in_use(deployed, example, repeats=5).items():
            ratios[name].append(table.total(plans[name]).median_s / found.median_s)
    for name, row in ratios.items():
        low, middle, high = (float(torch.tensor(row).quantile(share)) for share in (0.1, 0.5, 0.9))
        print(f"  {name}: {middle - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%})")
    print(f"validation accuracy, packed: {accuracy(deployed['chosen'], splits.validation):.3f}", end="; ")
    print(f"float: {accuracy(model, splits.validation):.3f}")


if __name__ == "__main__":
    main()
