"""Allocation under a budget: against all allocations, for every kind of budget; the searches, by what they spend."""

import itertools
import math
import re
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib import data, zoo
from mini_lib.fold import fold_batch_norm
from mini_lib.measure import layer_costs, stored_bytes
from mini_lib.quantize import mse, quantize_weights, rung
from mini_lib.quantize.mixed import (
    BIT_SERIAL,
    INT4_INT8_GPU,
    Accelerator,
    CostTable,
    Evaluations,
    OutOfEvaluations,
    Trials,
    WidthCost,
    accelerator_costs,
    allocate,
    deploy,
    measure_costs,
    search_evolution,
    search_random,
    search_rl,
    sensitivity_by_kl,
    time_in_use,
)
from mini_lib.quantize.mixed.accelerators import DRAM_J_PER_BYTE, SRAM_J_PER_BYTE
from mini_lib.quantize.packed import PackedConv2d, PackedLinear

SEARCHES = [search_evolution, search_random, search_rl]
PARTS = {"budget_bytes": "stored_bytes", "budget_s": "median_s", "budget_joules": "joules"}


def random_table(seed: int, layers: int, widths: int) -> tuple[CostTable, dict[str, dict[int, float]]]:
    """Costs and errors at random: more bits need not cost more, nor harm less."""
    random = Random(seed)

    def cost() -> WidthCost:
        seconds = random.uniform(0, 1e-4)
        return WidthCost(random.randint(0, 40), seconds, seconds, seconds, random.uniform(0, 1e-6))

    names, bits = [f"layer{k}" for k in range(layers)], (8, 5, 4, 3, 2)[:widths]
    costs = {name: {width: cost() for width in bits} for name in names}
    errors = {name: {width: random.choice([0.0, random.random()]) for width in bits} for name in names}
    return CostTable("at random", costs, cost()), errors


def every(table: CostTable) -> list[dict[str, int]]:
    return [dict(zip(table.layers, bits)) for bits in itertools.product(table.widths, repeat=len(table.layers))]


def total_error(errors, bits) -> float:
    return sum(errors[name][width] for name, width in bits.items())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.sampled_from(sorted(PARTS)), st.floats(0, 1))
def test_exact_is_the_best_of_all_allocations(seed, layers, widths, budget, share):
    table, errors = random_table(seed, layers, widths)
    spent = sorted(getattr(table.total(bits), PARTS[budget]) for bits in every(table))
    amount = spent[0] + share * (spent[-1] - spent[0])
    if amount <= 0:
        return
    found = allocate(table, errors, **{budget: amount})
    # Sums of seconds and joules depend on their order; bytes do not.
    most = amount * (1 if budget == "budget_bytes" else 1 + 2e-12)
    assert getattr(found.cost, PARTS[budget]) <= most
    affordable = [bits for bits in every(table) if getattr(table.total(bits), PARTS[budget]) <= amount]
    # the solver stops within 1e-10 of the largest error, for each layer
    assert found.error <= min(total_error(errors, bits) for bits in affordable) + 1e-8
    assert found.error == pytest.approx(total_error(errors, found.bits), abs=1e-12)
    assert found.cost == table.total(found.bits)
    greedy = allocate(table, errors, **{budget: amount}, method="greedy")
    assert getattr(greedy.cost, PARTS[budget]) <= most
    assert found.error <= greedy.error + 1e-8


@pytest.mark.parametrize("name, widths", [("small_cnn", (8, 4, 3, 2)), ("lenet_300_100", (8, 6, 5, 4, 3, 2))])
def test_exact_is_brute_force_on_the_nets_of_the_course(name, widths):
    model = fold_batch_norm(zoo.load(name))
    images = data.fashion().validation.images[:20]
    errors = sensitivity_by_kl(model, widths, images)
    for accelerator in (BIT_SERIAL, INT4_INT8_GPU):
        table = accelerator_costs(model, images[:1], widths, accelerator)
        everything = every(table)
        assert len(everything) <= 4096
        rows = [(table.total(bits), total_error(errors, bits)) for bits in everything]
        for budget, part in PARTS.items():
            costs = sorted(getattr(cost, part) for cost, _ in rows)
            for amount in (costs[0], costs[len(costs) // 3], costs[-1]):
                found = allocate(table, errors, **{budget: amount})
                best = min(error for cost, error in rows if getattr(cost, part) <= amount)
                assert found.error == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("budget", sorted(PARTS))
def test_a_budget_of_exactly_what_an_allocation_costs_is_enough_for_it(budget):
    table, errors = random_table(3, 5, 4)
    for bits in every(table)[::37]:
        amount = getattr(table.total(bits), PARTS[budget])
        assert allocate(table, errors, **{budget: amount}).error <= total_error(errors, bits) + 1e-8


# --- what is refused -----------------------------------------------------------------------------------------------


def two_layers() -> tuple[CostTable, dict[str, dict[int, float]]]:
    row = {8: WidthCost(800, 8e-6, 8e-6, 8e-6), 2: WidthCost(200, 2.00005e-6, 2e-6, 3e-6)}
    errors = {"a": {8: 0.0, 2: 1.0}, "b": {8: 0.0, 2: 2.0}}
    return CostTable("by hand", {"a": row, "b": row}, WidthCost(1000, 1e-6, 1e-6, 1e-6)), errors


@pytest.mark.parametrize(
    "budget, message",
    [
        ({"budget_bytes": 1399}, "budget_bytes of 1,399 cannot be met: .* still costs 1,400; give 1,400 or more"),
        ({"budget_s": 4e-6}, r"budget_s of 4e-06 cannot be met: .* still costs 5.001e-06; give 5.001e-06 or more"),
        ({"budget_joules": 1.0}, "the table knows no joules of this machine; give budget_bytes or budget_s"),
        ({}, "give exactly one of budget_bytes, budget_s and budget_joules, got 0 of them"),
        ({"budget_bytes": 2000, "budget_s": 1.0}, "give exactly one of .*, got 2 of them"),
        ({"budget_bytes": 0}, "budget_bytes must be a finite number above 0, got 0"),
        ({"budget_s": math.nan}, "budget_s must be a finite number above 0, got nan"),
    ],
)
@pytest.mark.parametrize("choose", [allocate, *SEARCHES])
def test_budgets_that_cannot_be_met(choose, budget, message):
    table, errors = two_layers()
    second = errors if choose is allocate else Evaluations(lambda bits: total_error(errors, bits), 10)
    with pytest.raises(ValueError, match=message):
        choose(table, second, **budget)


@pytest.mark.parametrize("choose", [allocate, *SEARCHES])
def test_the_least_that_a_message_names_is_enough(choose):
    table, errors = two_layers()
    second = errors if choose is allocate else Evaluations(lambda bits: total_error(errors, bits), 10)
    for budget in ("budget_bytes", "budget_s"):
        with pytest.raises(ValueError) as raised:
            choose(table, second, **{budget: 1e-9})
        least = float(re.search(r"give ([\d.e,-]+) or more", str(raised.value))[1].replace(",", ""))
        assert choose(table, second, **{budget: least}).bits == {"a": 2, "b": 2}


@pytest.mark.parametrize(
    "errors, message",
    [
        ({"a": {8: 0.0, 2: 1.0}}, "sensitivity says nothing about layer 'b'"),
        ({"a": {8: 0.0, 2: 1.0}, "b": {8: 0.0, 2: 1.0}, "c": {}}, "sensitivity names 'c'"),
        ({"a": {8: 0.0, 2: 1.0}, "b": {8: 0.0}}, "sensitivity says nothing about 2 bits of layer 'b'"),
        (
            {"a": {8: 0.0, 2: 1.0}, "b": {8: 0.0, 2: -1e-9}},
            "the error of layer 'b' at 2 bits must be a finite number of 0",
        ),
        ({"a": {8: 0.0, 2: 1.0}, "b": {8: 0.0, 2: math.nan}}, "the error of layer 'b' at 2 bits .*, got nan"),
    ],
)
def test_sensitivities_that_do_not_fit_the_table(errors, message):
    with pytest.raises(ValueError, match=message):
        allocate(two_layers()[0], errors, budget_bytes=2000)


def test_an_unknown_method():
    with pytest.raises(ValueError, match="method must be 'exact' or 'greedy', got 'best'"):
        allocate(*two_layers(), budget_bytes=2000, method="best")


def test_tables_that_are_none():
    row = {8: WidthCost(1, 0.0, 0.0, 0.0)}
    with pytest.raises(ValueError, match="costs holds no layer"):
        CostTable("m", {}, row[8])
    with pytest.raises(ValueError, match=r"layer 'b' has the widths \[4\], expected \[8\]"):
        CostTable("m", {"a": row, "b": {4: row[8]}}, row[8])
    with pytest.raises(ValueError, match="median_s must be a finite number of 0 or more, got nan"):
        WidthCost(1, math.nan, 0.0, 0.0)
    with pytest.raises(TypeError, match="stored_bytes must be a whole number"):
        WidthCost(1.5, 0.0, 0.0, 0.0)
    table = CostTable("m", {"a": row}, row[8])
    with pytest.raises(ValueError, match="bits names 'x', which is not among the chosen layers"):
        table.total({"x": 8})
    with pytest.raises(ValueError, match="layer 'a' has no cost at 3 bits; the table has 8"):
        table.total({"a": 3})
    with pytest.raises(TypeError):
        table.costs["a"][4] = row[8]


# --- the searches --------------------------------------------------------------------------------------------------


def together(bits: dict[str, int]) -> float:
    """Errors that do not add up: layers at few bits harm each other."""
    return sum(4.0**-width for width in bits.values()) + sum(width <= 3 for width in bits.values()) ** 2


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("limit", [1, 7, 40])
def test_a_search_spends_no_more_than_it_may_and_stays_within_the_budget(search, limit):
    table, _ = random_table(1, 5, 4)
    costs = sorted(table.total(bits).median_s for bits in every(table))
    asked = []

    def error_of(bits):
        asked.append(dict(bits))
        return together(bits)

    evaluate = Evaluations(error_of, limit)
    found = search(table, evaluate, budget_s=costs[len(costs) // 2], seed=3)
    assert len(asked) == evaluate.count <= limit
    assert all(one not in asked[:place] for place, one in enumerate(asked))  # nothing is paid for twice
    assert found.error == min(map(together, asked)) == together(found.bits)
    assert found.cost.median_s <= costs[len(costs) // 2] * (1 + 2e-5) and found.cost == table.total(found.bits)


@pytest.mark.parametrize("search", SEARCHES)
def test_the_same_seed_finds_the_same_and_the_global_random_state_stays(search):
    table, _ = random_table(2, 5, 4)
    state = torch.random.get_rng_state()

    def seen(seed: int) -> list:
        order = []
        search(table, Evaluations(lambda bits: order.append(bits) or together(bits), 15), budget_bytes=120, seed=seed)
        return order

    assert seen(0) == seen(0) != seen(1)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("search", SEARCHES)
def test_with_enough_evaluations_a_small_space_is_searched_whole(search):
    table, _ = random_table(5, 2, 3)
    costs = sorted(table.total(bits).stored_bytes for bits in every(table))
    affordable = [bits for bits in every(table) if table.total(bits).stored_bytes <= costs[-2]]
    evaluate = Evaluations(together, 60)
    assert search(table, evaluate, budget_bytes=costs[-2]).error == min(map(together, affordable))


def test_the_agent_learns():
    # One width is best for every layer, of 4^8 allocations: of 300 at random the best has some six of eight right.
    row = {bits: WidthCost(1, 0.0, 0.0, 0.0) for bits in (8, 4, 3, 2)}
    table = CostTable("m", {f"layer{k}": row for k in range(8)}, WidthCost(0, 0.0, 0.0, 0.0))

    def error_of(bits):
        return sum(width != 3 for width in bits.values()) + 0.1

    def median(search):
        found = [search(table, Evaluations(error_of, 300), budget_bytes=8, seed=seed).error for seed in range(3)]
        return sorted(found)[1]

    assert median(search_rl) < median(search_random) - 0.5


def test_evaluations_that_run_out_and_errors_that_are_none():
    evaluate = Evaluations(lambda bits: 1.0, 1)
    evaluate({"a": 2})
    with pytest.raises(OutOfEvaluations):
        evaluate({"a": 4})
    with pytest.raises(ValueError, match=r"the error of \{'a': 2\} must be a finite number of 0 or more, got nan"):
        Evaluations(lambda bits: math.nan, 1)({"a": 2})
    with pytest.raises(ValueError, match="limit must be a whole number of 1 or more, got 0"):
        Evaluations(lambda bits: 1.0, 0)
    table, _ = two_layers()
    with pytest.raises(ValueError, match="learning_rate must be a finite number above 0"):
        search_rl(table, Evaluations(lambda bits: 1.0, 3), budget_bytes=2000, learning_rate=0)
    assert search_rl(table, Evaluations(lambda bits: 1.0, 3), budget_bytes=2000, walks=50).error == 1.0
    with pytest.raises(ValueError, match="walks must be a whole number of 1 or more"):
        search_rl(table, Evaluations(lambda bits: 1.0, 3), budget_bytes=2000, walks=0)


# --- machines ------------------------------------------------------------------------------------------------------


def net() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 16)).eval()


X = torch.ones(4, 2, 6, 6)


@pytest.mark.parametrize("machine", [BIT_SERIAL, INT4_INT8_GPU], ids=lambda machine: machine.name)
@pytest.mark.parametrize("bits", [8, 5, 4, 3, 2])
def test_an_accelerators_costs_by_hand(machine, bits):
    table = accelerator_costs(net(), X, (8, 5, 4, 3, 2), machine)
    runs_as = {8: 8, 5: 8, 4: 4, 3: 4, 2: 4}[bits] if machine is INT4_INT8_GPU else bits
    # name, MACs for 4 inputs, weights, scales, numbers in and out
    for name, macs, weights, scales, activations in (
        ("0", 4 * 16 * 32 * 18, 32 * 18, 32, 4 * (72 + 512)),
        ("3", 4 * 512 * 16, 512 * 16, 16, 4 * (512 + 16)),
    ):
        cost = table.costs[name][bits]
        assert cost.stored_bytes == weights * runs_as // 8 + 4 * scales
        rate, bandwidth = (8192 * 200e6, 6.4e9) if machine is BIT_SERIAL else (520e12, 320e9)
        moved = cost.stored_bytes + (0 if machine is BIT_SERIAL else activations)
        assert cost.median_s == cost.low_s == cost.high_s
        assert cost.median_s == pytest.approx(max(macs * runs_as / rate, moved / bandwidth), rel=1e-12)
        at = SRAM_J_PER_BYTE if machine is BIT_SERIAL else DRAM_J_PER_BYTE
        joules = macs * (0.2e-12 * runs_as / 8 + 0.1e-12) + cost.stored_bytes * 162.5e-12 + activations * at
        assert cost.joules == pytest.approx(joules, rel=1e-12)
    assert table.rest == WidthCost(4 * 48, 0.0, 0.0, 0.0, 0.0)


def test_three_and_five_bits_pay_on_the_bit_serial_machine_alone():
    model = fold_batch_norm(zoo.load("small_cnn"))
    serial, gpu = (
        accelerator_costs(model, torch.zeros(1, 1, 28, 28), (8, 5, 4, 3, 2), one) for one in (BIT_SERIAL, INT4_INT8_GPU)
    )
    for name in serial.layers:
        times = [cost.median_s for cost in serial.costs[name].values()]
        assert times == sorted(times, reverse=True) and len(set(times)) == 5
        assert gpu.costs[name][5] == gpu.costs[name][8] and gpu.costs[name][3] == gpu.costs[name][2]


def test_the_bytes_of_a_table_are_those_that_are_stored():
    model = fold_batch_norm(zoo.load("small_cnn"))
    table = accelerator_costs(model, torch.zeros(1, 1, 28, 28), (8, 4, 3, 2), BIT_SERIAL)
    for bits in every(table)[::101]:
        assert table.total(bits).stored_bytes == stored_bytes(quantize_weights(model, bits))


def test_accelerators_that_cannot():
    with pytest.raises(ValueError, match="int4/int8 GPU multiplies weights of up to 8 bits, got 9"):
        accelerator_costs(net(), X, (9,), INT4_INT8_GPU)
    with pytest.raises(ValueError, match="bandwidth_bytes_per_s must be a finite number above 0"):
        Accelerator("m", (8,), 1.0, 0.0, True, "", ())
    with pytest.raises(ValueError, match="widths must be one or more bits"):
        Accelerator("m", (), 1.0, 1.0, True, "", ())

    class Idle(nn.Sequential):
        def forward(self, x):
            return self[0](x)

    idle = Idle(*net()).eval()
    assert [row.name for row in layer_costs(idle, X) if row.macs == 0] == ["3"]
    for measure in (lambda: accelerator_costs(idle, X, (8,), BIT_SERIAL), lambda: measure_costs(idle, X, (8,))):
        with pytest.raises(ValueError, match="layer '3' does not run on the example"):
            measure()


def test_what_is_deployed_is_packed_where_it_has_few_bits():
    model = net()
    small = deploy(model, {"0": 4, "3": 32})
    assert isinstance(small[0], PackedConv2d) and type(small[3]) is nn.Linear
    assert isinstance(deploy(model, {"0": 32, "3": 2})[3], PackedLinear)
    assert torch.equal(deploy(model, {"0": 32, "3": 32})(X), model(X))
    # inputs are rounded to int8: an output moves by max |x| / 254 * sum |w| at most
    with torch.no_grad():
        expected = quantize_weights(model, {"0": 4}, lambda name, module: name == "0")[0](X)
        weight = quantize_weights(model, rung(4))[0].weight
        assert (small[0](X) - expected).abs().max() <= 1.01 * weight.abs().flatten(1).sum(1).max() / 254
    with pytest.raises(ValueError, match="bits names 'conv', which is not among the chosen layers"):
        deploy(model, {"conv": 4})


def test_a_width_without_a_packed_kernel_unpacks():
    small = deploy(net(), {"0": 5, "3": 5})
    with torch.no_grad():
        assert torch.equal(small(X), quantize_weights(net(), rung(5))(X))


def test_a_measured_table_has_every_time_and_the_bytes_of_the_model():
    model = net()
    table = measure_costs(model, X, (32, 8, 2), repeats=3, warmup=1)
    assert table.layers == ("0", "3") and table.widths == (32, 8, 2)
    for row in table.costs.values():
        assert all(0 < cost.low_s <= cost.median_s <= cost.high_s and cost.joules is None for cost in row.values())
    assert table.total({"0": 8, "3": 2}).stored_bytes == stored_bytes(quantize_weights(model, {"0": 8, "3": 2}))
    assert table.total({"0": 32, "3": 32}).stored_bytes == stored_bytes(model)
    assert "packed kernels, batch of 4" in str(table)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_times_are_asked_for_in_whole_numbers():
    for measure in (lambda **how: measure_costs(net(), X, (8,), **how), lambda **how: time_in_use({}, X, **how)):
        with pytest.raises(ValueError, match="repeats must be a whole number of 1 or more, got 0"):
            measure(repeats=0)
        with pytest.raises(TypeError, match="warmup must be a whole number"):
            measure(warmup=1.5)


def test_kl_chooses_better_than_2_bits_everywhere():
    # Measured on validation pictures over the three checkpoints: 66 points of accuracy or more; the bar is 10.
    model, pictures = fold_batch_norm(zoo.load("small_cnn")), data.fashion().validation.first(200)
    table = accelerator_costs(model, pictures.images[:1], (8, 4, 3, 2), BIT_SERIAL)
    few = dict.fromkeys(table.layers, 2)
    errors = sensitivity_by_kl(model, (8, 4, 3, 2), pictures.images, observer=mse)
    mixed = allocate(table, errors, budget_bytes=1.1 * table.total(few).stored_bytes).bits
    trials = Trials(model, (8, 4, 3, 2), observer=mse)
    right = {
        name: (trials.logits(bits, pictures.images).argmax(1) == pictures.labels).double().mean().item()
        for name, bits in {"few": few, "mixed": mixed}.items()
    }
    assert right["mixed"] > right["few"] + 0.1


def test_many_layers_of_which_each_is_rounded_up_fit_a_budget_of_what_they_cost():
    # Each price is 0.6 of a unit over a whole number: rounded up, 150 layers are 60 units too dear.
    seconds = (10**7 / 150 + 0.6 - (10**7 / 150) % 1) * 1e-9
    row = {8: WidthCost(100_001, seconds, seconds, seconds, seconds)}
    table = CostTable("m", {f"layer{k}": row for k in range(150)}, WidthCost(0, 0.0, 0.0, 0.0, 0.0))
    errors = {name: {8: 0.0} for name in table.layers}
    total = table.total(dict.fromkeys(table.layers, 8))
    for budget, part in PARTS.items():
        assert allocate(table, errors, **{budget: getattr(total, part)}).cost == total
    with pytest.raises(ValueError, match="give 15,000,150 or more"):
        allocate(table, errors, budget_bytes=total.stored_bytes - 1)


# --- what a hostile user tries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["exact", "greedy"])
def test_bytes_are_never_overspent_not_by_one_in_a_million(method):
    row = {8: WidthCost(4_000_001, 0.0, 0.0, 0.0), 4: WidthCost(1_000_000, 0.0, 0.0, 0.0)}
    table = CostTable("by hand", {"a": row, "b": row}, WidthCost(0, 0.0, 0.0, 0.0))
    errors = {name: {8: 0.0, 4: 1.0} for name in "ab"}
    assert allocate(table, errors, budget_bytes=5_000_000, method=method).cost.stored_bytes == 2_000_000
    assert allocate(table, errors, budget_bytes=5_000_001, method=method).cost.stored_bytes == 5_000_001


@pytest.mark.parametrize("part", ["budget_s", "budget_joules"])
@pytest.mark.parametrize("layers", [2, 30])
def test_seconds_and_joules_are_not_overspent_by_a_millionth(part, layers):
    dear, cheap = (WidthCost(1, cost, cost, cost, cost) for cost in (2e-6, 1e-6))
    names = [f"layer {k}" for k in range(layers)]
    table = CostTable("by hand", {name: {8: dear, 4: cheap} for name in names}, WidthCost(0, 0.0, 0.0, 0.0, 0.0))
    errors = {name: {8: 0.0, 4: 1.0} for name in names}
    one_dear = (layers + 1) * 1e-6
    for budget, expected in ((one_dear, layers - 1), (one_dear * (1 - 1e-9), layers)):
        assert allocate(table, errors, **{part: budget}).error == expected
        found = search_evolution(table, Evaluations(lambda bits: total_error(errors, bits), 40), **{part: budget})
        assert getattr(found.cost, PARTS[part]) <= budget * (1 + 2e-12)


@pytest.mark.parametrize("search", SEARCHES)
def test_an_error_function_that_changes_what_it_is_given_changes_nothing(search):
    table, _ = two_layers()

    def error_of(bits):
        error = sum(1 / width for width in bits.values())
        bits.update(a=4, b=4)
        return error

    found = search(table, Evaluations(error_of, 50), budget_bytes=10**6)
    assert found.error == sum(1 / width for width in found.bits.values())


@pytest.mark.parametrize("search", SEARCHES)
def test_searches_refuse_what_does_not_count_and_seeds_that_cannot_be_repeated(search):
    table, _ = two_layers()
    with pytest.raises(TypeError, match=r"evaluate must count its calls, got .*; use Evaluations\(error_of, limit=100"):
        search(table, lambda bits: 1.0, budget_bytes=10**6)
    with pytest.raises(TypeError, match="seed must be a whole number, got None; any will do"):
        search(table, Evaluations(lambda bits: 1.0, 3), budget_bytes=10**6, seed=None)


def test_a_budget_that_the_rest_spends_leaves_a_search_the_layers_that_are_free():
    free = WidthCost(0, 0.0, 0.0, 0.0)
    table = CostTable("by hand", {"a": {8: free, 4: free}}, WidthCost(10, 1e-3, 1e-3, 1e-3))
    for search in SEARCHES:
        for budget in ({"budget_bytes": 10}, {"budget_s": 1e-3}):
            assert search(table, Evaluations(lambda bits: 1 / bits["a"], 4), **budget).bits == {"a": 8}


def test_a_sensitivity_is_a_mapping_of_mappings():
    table, _ = two_layers()
    with pytest.raises(TypeError, match=r"sensitivity\['a'\] must be \{bits: error\}, got 1.0; measure all widths"):
        allocate(table, {"a": 1.0, "b": 2.0}, budget_bytes=10**6)


def test_activations_have_8_bits_on_an_accelerator_whatever_the_model_computes_in():
    small, large = nn.Sequential(nn.Linear(64, 32)), nn.Sequential(nn.Linear(64, 32)).double()
    tables = [
        accelerator_costs(small, torch.ones(9, 64), [4], INT4_INT8_GPU),
        accelerator_costs(large, torch.ones(9, 64).double(), [4], INT4_INT8_GPU),
    ]
    assert tables[0].costs["0"][4] == tables[1].costs["0"][4]
    with pytest.raises(ValueError, match="bits must be a whole number of 1 or more, got 0; give the bits of a weight"):
        INT4_INT8_GPU.runs_as(0)
