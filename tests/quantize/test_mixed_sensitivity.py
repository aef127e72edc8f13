"""Sensitivities: by hand, against whole quantized models, and the Hessian's trace against the Hessian itself."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, hessian
from torch.nn.utils import prune

from mini_lib.data import Split
from mini_lib.quantize import PerTensor, min_max, mse, quantize_weights, rung
from mini_lib.quantize.mixed import (
    Trials,
    hessian_traces,
    kl_divergence,
    sensitivity_by_bytes,
    sensitivity_by_hessian,
    sensitivity_by_kl,
    sensitivity_by_loss,
    sensitivity_by_output,
    sensitivity_by_weight,
)
from mini_lib.quantize.mixed.trials import need_widths


def net(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 4), nn.Tanh(), nn.Linear(4, 3)
        ).eval()


LAYERS = ("0", "4", "6")


def split(count: int = 20, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randn(count, 1, 6, 6, generator=generator), torch.randint(0, 3, (count,), generator=generator))


ALL = {
    "loss": lambda model, widths, **how: sensitivity_by_loss(model, widths, split(), **how),
    "kl": lambda model, widths, **how: sensitivity_by_kl(model, widths, split().images, **how),
    "output": lambda model, widths, **how: sensitivity_by_output(model, widths, split().images, **how),
    "weight": sensitivity_by_weight,
    "bytes": sensitivity_by_bytes,
    # conv1 and the first linear layer of an untrained net lie at no minimum: the last layer alone is convex
    "hessian": lambda model, widths, **how: sensitivity_by_hessian(
        model, widths, split(), **({"where": lambda name, module: name == "6"} | how)
    ),
}


@pytest.mark.parametrize("name", ALL)
def test_every_sensitivity_has_one_shape_and_no_negative_error(name):
    found = ALL[name](net(), (2, 8, 4))
    assert tuple(found) == (LAYERS if name != "hessian" else ("6",))
    for row in found.values():
        assert tuple(row) == (8, 4, 2)
        assert all(type(error) is float and 0 <= error < math.inf for error in row.values())
        assert row[2] > row[8] or name == "loss"  # the labels are random: rounding may be lucky


@pytest.mark.parametrize("name", ALL)
def test_the_model_and_the_global_random_state_stay_as_they_are(name):
    model, state = net(), torch.random.get_rng_state()
    before = copy.deepcopy(model.state_dict())
    ALL[name](model, (4,))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("observer", [min_max, mse])
def test_a_trial_is_the_quantized_model_to_the_last_bit(observer):
    model, images = net(), split().images
    trials = Trials(model, (8, 3, 2), observer=observer)
    for bits in ({"0": 2, "4": 8, "6": 3}, {"4": 2}, {}):
        expected = model
        if bits:
            expected = quantize_weights(model, bits, lambda name, module, bits=bits: name in bits, observer)
        with torch.no_grad():
            assert torch.equal(trials.logits(bits, images), expected(images))


def test_a_trial_uses_the_formats_that_are_given():
    found = Trials(net(), (4,), fmt=lambda bits: rung(bits + 1))
    assert torch.equal(found.weights["6"][4], Trials(net(), (5,)).weights["6"][5])


def test_kl_against_the_definition():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(7, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    p, q = a.exp() / a.exp().sum(1, keepdim=True), b.exp() / b.exp().sum(1, keepdim=True)
    # sums of 5 and 7 terms below 1 in float64
    assert kl_divergence(a, b) == pytest.approx((p * (p / q).log()).sum(1).mean().item(), abs=1e-14)
    assert kl_divergence(a, a) == 0
    # 10,000 nats apart: no probability of q is 0 in logarithms
    assert kl_divergence(torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1e4]])) == 1e4


def test_loss_and_kl_are_those_of_one_quantized_layer():
    model, data = net(), split()
    loss, kl = sensitivity_by_loss(model, (2,), data), sensitivity_by_kl(model, (2,), data.images)
    with torch.no_grad():
        whole = model(data.images)
        for name in LAYERS:
            logits = quantize_weights(model, rung(2), where=lambda at, module, name=name: at == name)(data.images)
            rise = (F.cross_entropy(logits, data.labels) - F.cross_entropy(whole, data.labels)).item()
            # a loss near 1 is rounded to 2^-24 a few times in float32
            assert loss[name][2] == pytest.approx(max(0.0, rise), abs=2**-20)
            assert kl[name][2] == kl_divergence(whole, logits)


def test_a_loss_that_falls_is_no_negative_error():
    # The weight 0.4 of class 1 is rounded to 0, which is luck: class 0 is right.
    model = nn.Sequential(nn.Linear(1, 2, bias=False)).eval()
    model[0].weight.data = torch.tensor([[7.0], [0.4]])

    def fmt(bits: int):
        return rung(bits, PerTensor())

    lucky = Split(torch.ones(1, 1), torch.tensor([0]))
    assert sensitivity_by_loss(model, (4,), lucky, fmt=fmt) == {"0": {4: 0.0}}
    unlucky = Split(torch.ones(1, 1), torch.tensor([1]))
    # log(1 + e^7) - log(1 + e^6.6)
    assert sensitivity_by_loss(model, (4,), unlucky, fmt=fmt)["0"][4] == pytest.approx(
        math.log1p(math.exp(7)) - math.log1p(math.exp(6.6)), abs=1e-5
    )


def test_output_error_is_that_of_the_layers_output():
    model, images = net(), split(200).images
    found = sensitivity_by_output(model, (2,), images)
    small = quantize_weights(model, rung(2))
    seen = {}
    for name in LAYERS:
        model.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: seen.update({name: i[0]}))
    with torch.no_grad():
        model(images)
        for name in LAYERS:
            layer, rounded = model.get_submodule(name), small.get_submodule(name)
            bias = layer.bias.view(-1, 1, 1) if name == "0" else layer.bias
            whole, change = layer(seen[name]) - bias, rounded(seen[name]) - layer(seen[name])
            # float32 outputs: 1e-6 of the whole, and the change is a tenth of it or more
            assert found[name][2] == pytest.approx((change.square().sum() / whole.square().sum()).item(), rel=1e-4)


def test_bytes_and_weight_errors_by_hand():
    model = nn.Sequential(nn.Linear(8, 2, bias=False)).eval()
    model[0].weight.data = torch.tensor([[7.0, 0.25, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 7.0, -1.5]])
    # 16 weights: 64 bytes; at 4 bits 8, and two scales of 4. The grid has step 1; 1.5 goes to the even 2.
    assert sensitivity_by_bytes(model, (4,)) == {"0": {4: 48.0}}
    assert sensitivity_by_weight(model, (4,)) == {"0": {4: 0.0625 + 0.25}}


# --- the Hessian ---------------------------------------------------------------------------------------------------


def exact_hessian(model: nn.Module, name: str, data: Split) -> torch.Tensor:
    """The second derivatives of the loss by one weight, all of them: torch's forward-over-reverse, not ours."""
    weight = model.get_submodule(name).weight.detach()

    def loss(flat: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(
            functional_call(model, {f"{name}.weight": flat.view(weight.shape)}, (data.images,)), data.labels
        )

    return hessian(loss)(weight.flatten())


def test_hutchinson_finds_the_trace_of_the_exact_hessian():
    model, data, probes = net(), split(), 400
    traces = hessian_traces(model, data, probes=probes, seed=1)
    for name in LAYERS:
        h = exact_hessian(model, name, data)
        off_diagonal = h - torch.diag(h.diagonal())
        # v^T H v has the variance 2 * sum of h_ij^2, i != j, for random signs v; five of its standard errors
        sigma = math.sqrt(2 * off_diagonal.square().sum().item() / probes)
        assert abs(traces[name].mean - h.trace().item()) < 5 * sigma
        # and the standard error says about that: a sample of 400 knows its deviation within a quarter
        assert traces[name].standard_error == pytest.approx(sigma, rel=0.25)


def test_two_weights_by_hand():
    model = nn.Sequential(nn.Linear(1, 2, bias=False)).eval()
    model[0].weight.data = torch.tensor([[0.0], [0.0]])
    data = Split(torch.tensor([[2.0]]), torch.tensor([0]))
    # p = (1/2, 1/2): H = x^2 * [[1/4, -1/4], [-1/4, 1/4]] = [[1, -1], [-1, 1]]; v^T H v is 0 or 4, on average 2
    samples = hessian_traces(model, data, probes=64)["0"].samples
    assert {round(sample, 5) for sample in samples} == {0.0, 4.0}


def test_the_same_seed_gives_the_same_trace_and_another_one_another():
    one, same, other = (hessian_traces(net(), split(), probes=2, seed=seed) for seed in (0, 0, 1))
    assert one == same and one != other


def test_the_hessian_sensitivity_is_the_mean_curvature_times_the_squared_error():
    model = net()
    where = lambda name, module: name == "6"  # noqa: E731
    [trace] = hessian_traces(model, split(), probes=16, seed=0, where=where).values()
    errors = sensitivity_by_weight(model, (4, 2), where=where)["6"]
    found = sensitivity_by_hessian(model, (4, 2), split(), where=where)["6"]
    for bits in (4, 2):
        assert found[bits] == pytest.approx(trace.mean / 12 * errors[bits], rel=1e-12)


def test_for_a_small_step_it_is_twice_the_rise_of_the_loss_on_average():
    # A random step of length r in all directions: E[rise] = tr(H) / n * r^2 / 2, once the gradient averages out.
    model, data = net(), split()
    h = exact_hessian(model, "6", data)
    weight = model[6].weight.detach().double()
    exact = model.double()
    data64 = data.images.double()
    steps = torch.randn(300, *weight.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    steps *= 1e-3 / steps.flatten(1).norm(dim=1).view(-1, 1, 1)

    def loss(w):
        return F.cross_entropy(functional_call(exact, {"6.weight": w}, (data64,)), data.labels).item()

    rises = torch.tensor([(loss(weight + d) + loss(weight - d)) / 2 - loss(weight) for d in steps])
    expected = h.trace().item() / 12 * 1e-6 / 2
    # 300 samples, whose spread is below their mean for a semidefinite H of rank above 4: 5 / sqrt(300) = 0.29
    assert rises.mean().item() == pytest.approx(expected, rel=0.29)


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "widths, error, message",
    [
        ((), ValueError, "widths must be one or more bits, each given once, got []"),
        ((4, 4), ValueError, "widths must be one or more bits, each given once"),
        ((4, 2.0), TypeError, "a width must be a whole number from 1 to 32, got 2.0"),
        ((0,), ValueError, "a width must be a whole number from 1 to 32, got 0"),
        ((True,), TypeError, "a width must be a whole number"),
    ],
)
def test_widths_that_are_none(widths, error, message):
    with pytest.raises(error) as raised:
        need_widths(widths)
    assert message in str(raised.value)


def test_a_width_without_a_rung_names_the_layer():
    with pytest.raises(ValueError, match="layer '0': the ladder has no rung of 20 bits"):
        sensitivity_by_weight(net(), (20,))


@pytest.mark.parametrize("name", ALL)
def test_a_weight_that_is_not_finite_names_the_layer(name):
    model = net()
    model[6].weight.data[0, 0] = math.nan
    with pytest.raises(ValueError, match="layer '6': weight holds 1 NaN"):
        ALL[name](model, (4,))


def test_what_makes_nan_elsewhere_is_refused():
    model, data = net(), split()
    model[1].running_var.fill_(math.nan)
    with pytest.raises(ValueError, match="the loss of the float model must be a finite number, got nan"):
        sensitivity_by_loss(model, (4,), data)
    with pytest.raises(ValueError, match="the KL divergence must be a finite number, got nan"):
        sensitivity_by_kl(model, (4,), data.images)
    with pytest.raises(ValueError, match="the loss is nan; check the weights and the images"):
        sensitivity_by_hessian(model, (4,), data)
    data.images[3, 0, 0, 0] = math.nan
    for name in ("kl", "output"):
        call = {"kl": sensitivity_by_kl, "output": sensitivity_by_output}[name]
        with pytest.raises(ValueError, match="calibration batch 0 holds NaN"):
            call(net(), (4,), data.images)


def test_labels_are_needed_where_the_loss_is():
    for call in (sensitivity_by_loss, sensitivity_by_hessian):
        with pytest.raises(TypeError, match="split must be a data.Split, got Tensor"):
            call(net(), (4,), split().images)


def test_a_layer_at_no_minimum_is_refused():
    # A tanh that is far beyond its bend curves downwards: minus its output is what class 0 wants.
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Tanh(), nn.Linear(1, 2, bias=False)).eval()
    model[0].weight.data, model[2].weight.data = torch.tensor([[1.0]]), torch.tensor([[-1.0], [1.0]])
    data = Split(torch.ones(1, 1), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"layer '0' has an estimated Hessian trace of -.*at a minimum it is above 0"):
        sensitivity_by_hessian(model, (4,), data)


def test_layers_that_cannot_have_a_width_of_their_own():
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    with pytest.raises(ValueError, match="layer '0' shares its weight with '1', and one weight cannot have two widths"):
        sensitivity_by_weight(tied, (4,))
    masked = nn.Sequential(nn.Linear(4, 4))
    prune.random_unstructured(masked[0], "weight", amount=2)
    with pytest.raises(ValueError, match="layer '0': its weight is masked"):
        sensitivity_by_weight(masked, (4,))
    with pytest.raises(ValueError, match="the model has no nn.Conv2d or nn.Linear"):
        sensitivity_by_weight(nn.Sequential(nn.ReLU()), (4,))
    with pytest.raises(ValueError, match="where chooses none of the layers with a float weight"):
        sensitivity_by_weight(net(), (4,), where=lambda name, module: False)


def test_a_trial_that_was_not_prepared_is_refused():
    trials = Trials(net(), (4, 2))
    with pytest.raises(ValueError, match=r"layer '6' at 3 bits is not among the trials; they have 0, 4, 6 at 4, 2"):
        trials.logits({"6": 3}, split().images)
    with pytest.raises(ValueError, match="layer 'fc' at 4 bits is not among the trials"):
        trials.logits({"fc": 4}, split().images)


def test_second_moments_take_training_mode_for_an_error_and_trials_run_in_eval_mode():
    model = net()
    expected = sensitivity_by_kl(model, (2,), split().images)
    model.train()
    assert sensitivity_by_kl(model, (2,), split().images) == expected and model.training
    with pytest.raises(ValueError, match="is in training mode"):
        sensitivity_by_output(model, (2,), split().images)


# --- what a hostile user tries --------------------------------------------------------------------------------------


def test_a_layer_that_makes_the_loss_nan_is_not_harmless():
    class Fragile(nn.Module):
        """Gives NaN once its weight is not the one that it was made with."""

        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(36, 3, bias=False)
            self.register_buffer("own", self.fc.weight.detach().clone())

        def forward(self, x):
            return self.fc(x.flatten(1)) + (0.0 if torch.equal(self.fc.weight, self.own) else math.nan)

    with pytest.raises(ValueError, match="the error of layer 'fc' at 4 bits must be a finite number, got nan"):
        sensitivity_by_loss(Fragile().eval(), [4], split())


def test_divergence_is_of_a_matrix_of_logits():
    for shape in ((3,), (2, 3, 4)):  # torch would divide by the first of them, whatever it counts
        with pytest.raises(ValueError, match=r"must have one shape \[N, classes\], got .*; take the same images"):
            kl_divergence(torch.zeros(shape), torch.ones(shape))


def test_traces_need_no_gradients_switched_on_and_refuse_a_layer_that_does_not_run():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(36, 3), nn.Linear(36, 3)

        def forward(self, x):
            return self.used(x.flatten(1))

    model, pictures, used = Idle().eval(), split(), lambda name, module: name == "used"
    expected = hessian_traces(model, pictures, where=used)
    for off in (torch.no_grad(), torch.inference_mode()):
        with off:
            assert hessian_traces(model, pictures, where=used) == expected
    with pytest.raises(ValueError, match="layer 'idle' does not run on the pictures; leave it out in where"):
        hessian_traces(model, split())
