"""Surgery against models taken apart by hand, and random module trees."""

import re
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib.surgery import find, replace, swap


def is_linear(name: str, module: nn.Module) -> bool:
    return isinstance(module, nn.Linear)


def is_relu(name: str, module: nn.Module) -> bool:
    return isinstance(module, nn.ReLU)


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def nested() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 2)))


def test_find_gives_names_and_modules_in_order() -> None:
    model = nested()
    assert find(model, is_linear) == [("0", model[0]), ("1.1", model[1][1])]
    assert find(model, lambda name, module: name == "") == [("", model)]
    assert find(model, lambda name, module: False) == []


def test_find_gives_a_shared_module_once_under_the_first_name_that_holds() -> None:
    relu = nn.ReLU()
    model = nn.Sequential(relu, nn.Linear(4, 3), relu)
    assert find(model, is_relu) == [("0", relu)]
    assert find(model, lambda name, module: name == "2") == [("2", relu)]


def test_replace_rebuilds_the_chosen_and_copies_the_rest() -> None:
    model = nested()
    result = replace(model, is_relu, lambda relu: nn.Tanh())
    assert [type(module) for module in result.modules()] == [
        nn.Sequential,
        nn.Linear,
        nn.Sequential,
        nn.Tanh,
        nn.Linear,
    ]
    assert result.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in result.state_dict().items())


def test_the_argument_is_untouched_even_when_build_changes_what_it_gets() -> None:
    model = nested()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def zeroed(linear: nn.Linear) -> nn.Linear:
        nn.init.zeros_(linear.weight)
        return linear

    result = replace(model, is_linear, zeroed)
    assert not result[0].weight.any()
    assert not result[1][1].weight.any()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert isinstance(model[0], nn.Linear)
    # No module and no memory is shared with the copy.
    assert not set(model.modules()) & set(result.modules())
    memory = {value.data_ptr() for value in model.state_dict().values()}
    assert memory.isdisjoint(value.data_ptr() for value in result.state_dict().values())


def test_where_is_asked_about_the_modules_of_the_argument() -> None:
    model = nested()
    result = replace(model, lambda name, module: module is model[1][1], lambda linear: nn.Identity())
    assert isinstance(result[1][1], nn.Identity)


def test_a_shared_module_is_built_once_and_stays_shared() -> None:
    linear = nn.Linear(4, 4)
    model = nn.Sequential(linear, nn.ReLU(), linear)
    built = []

    def build(old: nn.Module) -> nn.Module:
        built.append(old)
        return nn.Linear(4, 4, bias=False)

    result = replace(model, lambda name, module: name == "2", build)
    assert len(built) == 1
    assert result[0] is result[2]
    assert result[0].bias is None


def test_a_module_inside_a_shared_parent_is_built_once() -> None:
    block = nn.Sequential(nn.ReLU())
    result = replace(nn.Sequential(block, block), is_relu, lambda relu: nn.Tanh())
    assert result[0] is result[1]
    assert isinstance(result[0][0], nn.Tanh)


def test_parameters_tied_between_other_modules_stay_tied() -> None:
    model = nn.Sequential(nn.Embedding(10, 4), nn.ReLU(), nn.Linear(4, 10))
    model[2].weight = model[0].weight
    result = replace(model, is_relu, lambda relu: nn.Tanh())
    assert result[2].weight is result[0].weight
    assert result[2].weight is not model[2].weight


def test_what_lies_inside_a_chosen_module_is_left_to_build() -> None:
    given_to_build = []

    def build(old: nn.Module) -> nn.Module:
        given_to_build.append(type(old))
        return nn.Sequential(old, nn.Linear(2, 2))  # a linear layer again: it is not rebuilt in turn

    replace(nested(), lambda name, module: name == "1" or is_linear(name, module), build)
    assert given_to_build == [nn.Linear, nn.Sequential]


def test_a_name_that_starts_like_a_chosen_one_is_not_inside_it() -> None:
    model = nn.ModuleDict({"conv1": nn.ReLU(), "conv10": nn.ReLU()})
    result = replace(model, is_relu, lambda relu: nn.Tanh())
    assert [type(module) for module in result.values()] == [nn.Tanh, nn.Tanh]


def test_the_model_itself_can_be_rebuilt() -> None:
    model = nn.Linear(4, 3)
    result = replace(model, is_linear, lambda linear: nn.Sequential(linear, nn.ReLU()))
    assert isinstance(result[1], nn.ReLU)
    assert torch.equal(result[0].weight, model.weight)
    assert result[0] is not model


@pytest.mark.parametrize("training", [True, False])
def test_a_fresh_module_gets_the_mode_of_the_old_one(training: bool) -> None:
    result = replace(nested().train(training), is_relu, lambda relu: nn.Sequential(nn.Dropout()))
    assert {module.training for module in result.modules()} == {training}


def tree(depth: int) -> st.SearchStrategy[nn.Module]:
    leaf = st.builds(nn.Linear, st.just(2), st.just(2)) | st.builds(nn.ReLU)
    if depth == 0:
        return leaf
    return leaf | st.lists(tree(depth - 1), max_size=3).map(lambda children: nn.Sequential(*children))


def skeleton(module: nn.Module, chosen: set[nn.Module]) -> Iterator[str]:
    """Write down a model as it should be once every chosen module is an Identity: recursively, unlike replace."""
    if module in chosen:
        yield "Identity"
        return
    yield type(module).__name__
    for child in module.children():
        yield from skeleton(child, chosen)


@settings(deadline=None, max_examples=50)
@given(model=tree(3), data=st.data())
def test_replace_on_any_tree_touches_the_outermost_chosen_and_nothing_else(model: nn.Module, data) -> None:
    chosen = {module for module in model.modules() if data.draw(st.booleans())}
    result = replace(model, lambda name, module: module in chosen, lambda module: nn.Identity())
    assert [type(module).__name__ for module in result.modules()] == list(skeleton(model, chosen))
    if not chosen:
        x = torch.ones(1, 2)
        assert torch.equal(result(x), model(x))


def test_bad_input_is_refused() -> None:
    model = nested()
    with pytest.raises(TypeError, match=says("model must be an nn.Module, got type; pass the model itself")):
        find(nn.Linear, is_linear)
    with pytest.raises(
        TypeError,
        match=says(
            "where must be callable, got '0'; "
            "pass a function such as lambda name, module: isinstance(module, nn.Linear)"
        ),
    ):
        replace(model, "0", nn.Identity)
    with pytest.raises(
        TypeError, match=says("build must be callable, got 3; pass a function that takes a module and returns one")
    ):
        replace(model, is_relu, 3)
    with pytest.raises(
        TypeError,
        match=says(
            "build must return an nn.Module for '1.0' (ReLU), got NoneType; return the module to put in its place"
        ),
    ):
        replace(model, is_relu, lambda relu: None)


def hooked(layer: nn.Module) -> nn.Module:
    layer.register_forward_hook(lambda module, inputs, output: 2 * output)
    return layer


@pytest.mark.parametrize("exchange", [replace, lambda model, where, build: swap(model, {"1": build(model[1])})])
def test_what_runs_with_a_module_is_not_dropped_with_it(exchange) -> None:
    def is_second(name: str, module: nn.Module) -> bool:
        return name == "1"

    model = nn.Sequential(nn.ReLU(), hooked(nn.Sequential(nn.Linear(2, 2))))
    with pytest.raises(ValueError, match="^layer '1' has a forward hook, which the Tanh in its place would not run; "):
        exchange(model, is_second, lambda old: nn.Tanh())
    model = nn.Sequential(nn.ReLU(), nn.Sequential(hooked(nn.Linear(2, 2))))
    with pytest.raises(ValueError, match=r"^layer '1\.0' has a forward hook, which the Tanh"):
        exchange(model, is_second, lambda old: nn.Tanh())
    # a layer that goes on inside of the new one keeps its hook, and so does one that is not chosen
    x = torch.ones(1, 2)
    wrapped = exchange(model, is_second, lambda old: nn.Sequential(old[0]))
    assert torch.equal(wrapped(x), model(x))
    assert torch.equal(replace(model, is_relu, lambda old: nn.Identity())(x), model(x))
    model[1][0] = nn.Linear(2, 2)
    model[1].forward = lambda x: 2 * x
    with pytest.raises(ValueError, match="'1' has a forward of its own, which "):
        exchange(model, is_second, lambda old: nn.Tanh())


def test_models_that_cannot_be_looked_into_are_refused() -> None:
    with pytest.raises(TypeError, match="^model is scripted or traced, so its layers are hidden; pass the nn.Module"):
        find(torch.jit.script(nn.Linear(2, 2)), is_linear)
    with pytest.raises(ValueError, match="^'0.weight' of the model has no shape yet; run the model once"):
        find(nn.Sequential(nn.LazyLinear(2)), is_linear)
