"""Right calls of the public functions that no doctest calls, or only with something large."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import nn

Calls = Iterable[Callable[[], object]]


def small_net() -> nn.Sequential:
    """A convolution and a linear layer, for pictures [N, 1, 4, 4] in two classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)).eval()


def small_split(count: int = 8) -> object:
    from mini_lib.data import PIXEL_MEAN, PIXEL_STD, Split

    images = (torch.arange(count * 16).reshape(count, 1, 4, 4).float() / 255 - PIXEL_MEAN) / PIXEL_STD
    return Split(images, torch.arange(count) % 2)


def quantize() -> Calls:
    import mini_lib.quantize as q
    from mini_lib.quantize.mixed import hessian_traces
    from mini_lib.quantize.packed.race import Race, Runner

    weight = torch.linspace(-1, 1, 128).reshape(2, 64)
    formats = (
        q.IntFormat(8),
        q.BinaryFormat(),
        q.TernaryFormat(),
        q.CodebookFormat(2, iterations=3),
        q.FP8Format(),
        q.FloatFormat(),
        q.MXFP8,
        q.NF4Format(),
        q.NVFP4Format(),
    )

    def all_ways(fmt: q.Format) -> object:
        fields = fmt.encode(weight, q.min_max)
        fmt.layout((2, 64))
        parts = fmt.pack(fields)
        unpacked = fmt.unpack(parts, (2, 64))
        if hasattr(fmt, "scale"):
            fmt.scale(parts)
        if hasattr(fmt, "in_blocks"):
            fmt.in_blocks(weight)
        return fmt.decode(unpacked, (2, 64))

    yield from ((lambda fmt=fmt: all_ways(fmt)) for fmt in formats)
    net, split = small_net(), small_split()
    x, calibration = split.images[:2], split.images
    yield lambda: q.Accelerator("a machine", (4, 8), 1e12, 1e9, True, "a book", ("none",))
    yield lambda: q.BinaryFormat(q.PerChannel(0), torch.float16)
    costs = {"0": {4: q.WidthCost(9, 1e-6, 1e-6, 1e-6), 8: q.WidthCost(18, 2e-6, 2e-6, 2e-6)}}
    table = q.CostTable("a machine", costs, q.WidthCost(4, 1e-6, 1e-6, 1e-6))
    yield lambda: table.total({"0": 4})
    errors = {"0": {4: 0.5, 8: 0.1}}
    yield lambda: q.allocate(table, errors, budget_bytes=40)
    yield lambda: q.Evaluations(lambda bits: errors["0"][bits["0"]], 4)
    for search in (q.search_random, q.search_evolution, q.search_rl):
        yield lambda search=search: search(
            table, q.Evaluations(lambda bits: errors["0"][bits["0"]], 2), budget_bytes=40, seed=0
        )

    def best() -> object:
        from mini_lib.quantize.mixed.allocate import Budget  # noqa: F401

        evaluate = q.Evaluations(lambda bits: 0.1, 4)
        return evaluate({"0": 4})

    yield best
    fake = q.prepare(net, q.IntFormat(8))
    yield lambda: fake(x)
    yield lambda: q.FakeQuantConv2d(net[0], fake[0].fake_weight)
    yield lambda: fake[0].rounded_input(x)
    yield lambda: q.QuantizedLayer(q.quantize(weight, q.IntFormat(8)), torch.zeros(2))
    packed = q.pack_for_speed(q.quantize_weights(net, q.IntFormat(8, granularity=q.PerChannel(0))))
    yield lambda: packed(x)
    yield lambda: packed[0].own_macs(packed[0](x))
    yield lambda: q.file_bytes(net)
    yield lambda: q.measure_costs(net, x, (4, 8))
    yield lambda: q.sensitivity_by_hessian(net, (4, 8), split)
    yield lambda: q.sensitivity_by_loss(net, (4, 8), split)
    yield lambda: q.sensitivity_by_output(net, (4, 8), calibration)
    yield lambda: hessian_traces(net, split)
    yield lambda: q.Trials(net, (4, 8)).loss(split)
    from mini_lib.latency import latency

    time = latency(lambda: None, repeats=3)
    race = Race(4, 4, (Runner("torch float32", 64, time), Runner("read only", 64, time)))
    yield lambda: race.share_of_limit("torch float32")
    yield lambda: q.accelerator_costs(net, x, (4, 8), q.BIT_SERIAL)


def prune() -> Calls:
    from mini_lib.data import Splits
    from mini_lib.latency import latency
    from mini_lib.prune.sparse import Comparison, KernelSweep, KernelTime, compare_kernels, sweep_kernels
    from mini_lib.prune.tickets import Recipe, batch_order, train_together, weights_of

    time = latency(lambda: None, repeats=3)

    def compared(density: float) -> Comparison:
        kernels = tuple(KernelTime(name, density, 64, time) for name in ("dense", "CSR"))
        return Comparison(4, 4, density, kernels)

    yield lambda: KernelSweep((compared(0.1), compared(0.5))).crossover("CSR")
    yield lambda: sweep_kernels(8, 8, (0.5, 1.0), kernels=("dense", "CSR"), repeats=1, warmup=0)
    yield lambda: compare_kernels(8, 8, 0.5, kernels=("dense", "CSR"), repeats=1, warmup=0)
    net, split = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), small_split()
    recipe = Recipe(steps=2, batch_size=4)
    yield lambda: recipe.make_optimizer(list(net.parameters()))
    yield lambda: train_together(
        net,
        [weights_of(net)] * 2,
        [None] * 2,
        [batch_order(8, recipe, seed) for seed in (0, 1)],
        Splits(split, split, split),
        recipe,
    )


def factorize() -> Calls:
    from mini_lib.factorize import add_lora, inverted_residual
    from mini_lib.factorize.low_rank import cp, tensor_train

    yield lambda: inverted_residual(2, 2, 2).eval()(torch.ones(1, 2, 4, 4))
    yield lambda: add_lora(nn.Sequential(nn.Linear(4, 4)), 2)(torch.ones(1, 4))
    yield lambda: cp(nn.Conv2d(2, 2, 3), 2, starts=1, sweeps=2)
    yield lambda: tensor_train(nn.Linear(4, 4), (2, 2), (2, 2), (2,)).layer(torch.ones(1, 4))


def loops() -> Calls:
    import mini_lib.loops as l

    small = l.matmul(4, 4, 4)
    yield lambda: l.EnergyTable("a table", "a book", {"add": 1e-12}, 8, {1024: 1e-11}, (1e-9, 2e-9))
    yield lambda: l.MatrixUnit("a unit", 1, 8, 1, 0.5, "fp32", "fp32")
    space = l.Space(small, (1, 2), (4,))
    rng = random.Random(0)
    one, two = space.draw(rng), space.draw(rng)
    yield lambda: space.mutate(one, rng, 0.5)
    yield lambda: space.cross(one, two, rng)
    yield lambda: l.evolutionary_search(small, space, trials=2, cost=lambda nest: 1.0)
    yield lambda: l.random_search(small, space, trials=2, cost=lambda nest: 1.0)
    yield lambda: small.reorder("m k n").vectorize("n")
    yield lambda: l.show_dependences(small)
    yield lambda: l.time_native(small, repeats=1)


def augment() -> Calls:
    import mini_lib.augment as a
    from mini_lib.augment.operations import Cover, identity, invert, rotate
    from mini_lib.batch import Batch

    generator = torch.Generator().manual_seed(0)
    bytes_ = torch.arange(32, dtype=torch.uint8).reshape(2, 1, 4, 4)
    batch = Batch(bytes_, torch.tensor([0, 1]))
    floats = Batch(bytes_.float() / 255, torch.tensor([0, 1]))
    for made in (
        lambda: a.AugMix(3, 2, 1, 1.0),
        lambda: a.RandAugment(1, 9),
        a.TrivialAugment,
        lambda: a.TrivialAugment((rotate,)),
    ):
        yield made
        yield lambda made=made: made()(batch, generator)
    for mixed in (lambda: a.CutMix(1.0, 2), lambda: a.Mixup(1.0, 2), lambda: a.SamplePairing(0.5)):
        yield lambda mixed=mixed: mixed()(floats, generator)
    yield lambda: Cover(7)
    yield lambda: Cover(7)(bytes_, torch.tensor([1.0, 2.0]), generator)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).eval()
    net[1].weight.data, net[1].bias.data = torch.tensor([[0.0], [1.0]]).expand(2, 16).clone(), torch.tensor([0.0, 10.2])
    safety = []

    def label_safety() -> object:
        safety.append(a.label_safety(net, bytes_, torch.tensor([0, 1]), (rotate,), (0.5, 1.0)))
        return safety[-1]

    yield label_safety
    yield lambda: replace(safety[0])
    yield lambda: safety[0].limits(at_least=0.1)
    yield lambda: safety[0].guard(at_least=0.1)
    import mini_lib.augment.search as s

    space = s.SearchSpace(operations=(rotate, invert, identity), probabilities=(0.5, 1.0), magnitudes=(0, 9))
    policy = space.random_policy(1, generator)
    yield lambda: space.genes(policy)
    yield lambda: space.neighbour(policy, generator)
    yield lambda: s.explored(space, policy, generator)
    for method in (
        lambda: s.Controller(space, seed=0, sub_policies=1, units=4),
        lambda: s.Evolution(space, seed=0, sub_policies=1, population=2, sample=1),
        lambda: s.RandomSearch(space, seed=0, sub_policies=1),
        lambda: s.ForwardSelection(space, seed=0, sub_policies=1, draws=1),
    ):

        def asked(method: Callable = method) -> object:
            made = method()
            policies = made.ask(2)
            made.tell(policies, [0.5] * len(policies))
            if isinstance(made, s.Controller):
                made.log_probabilities(policies)
                made.probabilities(2)
            return made

        yield asked
    recipe, split = s.ChildRecipe(steps=2, batch_size=4), small_split()
    spent = s.Spent(8, 8)

    def build(seed: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))

    yield lambda: s.Child(build(0), 0.5, 2, spent)
    yield lambda: s.Judged(policy, 0.5)
    yield lambda: s.Learned(torch.ones(3) / 3, torch.ones(2) / 2, torch.ones(2) / 2)
    yield lambda: s.Matched(policy, spent)
    schedule = s.PolicySchedule((policy, policy))
    yield lambda: schedule.begin(4)
    yield lambda: s.PopulationResult(schedule, 0.5, ((0.5, 0.5),), spent)
    outcome = s.SearchOutcome((s.Judged(policy, 0.5), s.Judged(policy, 0.25)), spent)
    yield lambda: replace(outcome)
    yield lambda: outcome.joined(1)
    yield lambda: s.ByChildren(build, split, split, recipe)([policy])
    yield lambda: s.DensityMatching(build(0).eval(), split, seed=0)([policy])
    yield lambda: s.train_children(build, [None], split, split, recipe, [0])
    yield lambda: s.population_based(build, space, split, split, recipe, seed=0, parts=1, population=4, sub_policies=1)
    yield lambda: s.run_search(
        s.RandomSearch(space, seed=0, sub_policies=1), lambda policies: [0.5] * len(policies), trials=2
    )
    yield lambda: s.fast_autoaugment(
        build, split, lambda evaluate, fold: outcome, recipe=recipe, seed=0, count=2, top=1
    )


def llm_cost() -> Calls:
    import mini_lib.llm.cost as c

    model, device = c.find_model("llama-3-8b"), c.DEVICES[0]
    work = c.Workload(batch=1, prompt=64, output=16)
    yield lambda: device.matmul_peak(16)
    yield lambda: device.ridge(16)
    yield lambda: replace(c.IDEAL)
    yield lambda: replace(c.ENGINE_2025)
    yield lambda: c.ENGINE_2025.beyond(device, work)
    yield lambda: c.LatentAttention(4, 8, 8, 8, 4, 8)
    yield lambda: c.estimate(model, device, work, c.IDEAL)
    yield lambda: c.largest_batch(model, device, work)
    yield lambda: c.memory(model, device, work)
    yield lambda: c.step(model, device, new_tokens=1)


def llm_serving() -> Calls:
    import mini_lib.llm.cost as c
    import mini_lib.llm.serving as s

    model, device, work = c.find_model("llama-3-8b"), c.DEVICES[0], c.Workload(batch=1, prompt=64, output=16)
    timing = s.calculator_timing(model, device, work, c.IDEAL)
    yield lambda: s.calculator_timing(model, device, work, c.IDEAL)
    yield lambda: timing.decode_s(2)
    yield lambda: timing.prefill_s(8, 0)
    yield lambda: timing.pass_s(8, 2, 16.0, 1)
    yield lambda: s.full_load(model, device, work, c.IDEAL, rounds=1, max_batch=2)
    yield lambda: s.kv_room_tokens(model, device, work)
    yield lambda: s.load_curve(
        lambda rate: s.poisson_arrivals(rate, 4, 8, 4, 0), s.LinearTiming(0.01), (1.0, 2.0), kv_tokens=64
    )
    row = s.LoadRow(1.0, 10.0, 0.1, 0.2, 0.01, 0.02, 1.0, 0.5, 2.0, 0.5, 0)
    bend = ((1.0, 9.0, 0.1), (2.0, 18.0, 0.1), (3.0, 19.0, 9.0), (4.0, 19.0, 90.0))
    rows = [replace(row, rate_per_s=rate, tokens_per_s=tokens, ttft_p99_s=wait) for rate, tokens, wait in bend]
    yield lambda: s.knee(rows)


def llm_prices() -> Calls:
    import mini_lib.llm.prices as p

    yield lambda: replace(p.EPOCH_2025[0])
    yield lambda: p.by_provider(p.scored_history()[0])


def llm_published() -> Calls:
    import mini_lib.llm.cost as c
    import mini_lib.llm.published as p

    rows = p.published_rows()[:4]
    engines = {row.engine: c.IDEAL for row in rows}
    yield lambda: p.compare(rows, engines)
    yield lambda: p.median_error(p.compare(rows, engines))
    yield lambda: p.halves(rows)
    yield lambda: p.predicted_s(rows[0], c.IDEAL)
    yield lambda: p.fit_engines(rows, [("bandwidth", tuple(engines), 0.5, 1.0)])


def llm_model() -> Calls:
    from tokenizers.pre_tokenizers import ByteLevel

    import mini_lib.llm.model as m
    import mini_lib.quantize as q

    lm = m.stand_in()
    tokens = lm.tokenizer.encode("The steam engine is older.")
    keys = torch.zeros(1, 1, 32)

    def cached() -> object:
        cache = m.KVCache(lm.architecture, 8)
        cache.check_fits(lm.architecture, (1, 1))
        lm(torch.tensor([tokens[:2]]), cache)
        cache.append(0, keys, keys)
        cache.advance(1)
        cache.shorten(1)
        return cache

    yield cached
    yield lambda: m.DecodePlan(lm, m.KVCache(lm.architecture, 8)).step(3)
    yield lambda: m.DecodePlan(lm, m.KVCache(lm.architecture, 8), tokens=2).run([3, 4])
    header = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": ["<end>", "<|im_start|>", "<|im_end|>", *ByteLevel.alphabet()],
        "tokenizer.ggml.token_type": [3, 3, 3, *[1] * 256],
        "tokenizer.ggml.merges": [],
        "tokenizer.ggml.eos_token_id": 0,
    }
    yield lambda: m.Tokenizer.of_file(header)
    yield lambda: list(lm.tokenizer.stream(tokens))
    yield lambda: m.Tokenizer.of_file(header).question("a", "c")
    yield lambda: m.first_layers(lm, 1)
    yield lambda: m.drafted_by(lm, 16)
    yield lambda: m.generate(lm, "The", 2)
    yield lambda: list(m.stream(lm, "The", 2))
    yield lambda: m.generate_speculatively(lm, "The", 2, m.look_up)
    yield lambda: m.perplexity(lm, tokens, 8)
    yield lambda: m.scale_salient_lm(lm, q.IntFormat(8, granularity=q.PerChannel(0)), tokens, 2, window=8)
    yield lambda: m.smooth_lm(lm, tokens, window=8)


def kernels() -> Calls:
    from mini_lib.kernels import pack_matrix

    matrix = pack_matrix(torch.zeros(2, 32, dtype=torch.uint8), torch.ones(2, 1), 0, 4)
    yield lambda: matrix.dense_rows(torch.tensor([0, 1]))


def data() -> Calls:
    from mini_lib.data import Splits, SplitsWithReference

    split = small_split()
    yield lambda: Splits(split, split, split)
    yield lambda: SplitsWithReference(split, split, split, split)


def core() -> Calls:
    from mini_lib.batch import Batch, need_batch
    from mini_lib.costs import layer_costs
    from mini_lib.native import has_instructions
    from mini_lib.stacked import accuracies_together, losses_together, stack

    yield lambda: need_batch(Batch(torch.zeros(1, 1, 2, 2), torch.tensor([0])))
    yield lambda: has_instructions("avx2")
    net, split = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), small_split()
    both = stack([dict(net.named_parameters())] * 2)
    yield lambda: layer_costs(net, split.images[:1])
    yield lambda: accuracies_together(net, both, split)
    yield lambda: losses_together(net, both, torch.stack([split.images] * 2), torch.stack([split.labels] * 2))


EXTRA = {
    "quantize": quantize,
    "prune": prune,
    "factorize": factorize,
    "loops": loops,
    "augment": augment,
    "llm_cost": llm_cost,
    "llm_serving": llm_serving,
    "llm_prices": llm_prices,
    "llm_published": llm_published,
    "llm_model": llm_model,
    "kernels": kernels,
    "data": data,
    "core": core,
}
