"""What all optimizers share: groups, arguments, gradients, state."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import optim
from pynet.autograd import Tensor


def parameter(*shape, value=1.0):
    return Tensor(np.full(shape, value), requires_grad=True)


def with_grad(tensor, value=1.0):
    tensor.grad = Tensor(np.full(tensor.shape, value))
    return tensor


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SGD", {"lr": -1}, "SGD: lr must be at least 0 and finite, got -1"),
        ("SGD", {"lr": float("nan")}, "SGD: lr must be at least 0 and finite, got nan"),
        ("SGD", {"momentum": -0.5}, "momentum must be at least 0"),
        ("SGD", {"weight_decay": -1e-4}, "weight_decay must be at least 0"),
        ("SGD", {"nesterov": True}, "nesterov needs momentum > 0 and dampening 0, got momentum 0"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "and dampening 0.1"),
        ("Adam", {"betas": (1.0, 0.9)}, r"Adam: betas\[0\] must be in \[0, 1\), got 1.0"),
        ("Adam", {"betas": (0.9, -0.1)}, r"betas\[1\] must be in"),
        ("Adam", {"betas": (0.9,)}, "betas must be a pair"),
        ("AdamW", {"eps": -1e-8}, "AdamW: eps must be at least 0 and finite, got -1e-08"),
        ("Adagrad", {"lr_decay": -1}, "Adagrad: lr_decay must be at least 0"),
        ("Adagrad", {"initial_accumulator_value": -1}, "initial_accumulator_value must be"),
        ("RMSprop", {"alpha": -1}, "RMSprop: alpha must be at least 0"),
        ("RMSprop", {"momentum": float("inf")}, "momentum must be at least 0 and finite"),
    ],
)
def test_options_outside_their_range(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(optim, name)([parameter(2)], **options)
    good = getattr(optim, name)([parameter(2)])
    with pytest.raises(ValueError, match=message):
        good.add_param_group({"params": [parameter(2)], **options})
    assert len(good.param_groups) == 1


def test_a_rate_that_is_no_number():
    with pytest.raises(TypeError, match=r"lr must be a number, got '0.1'"):
        optim.SGD([parameter(1)], lr="0.1")


def test_no_parameters():
    with pytest.raises(ValueError, match="params is empty"):
        optim.SGD([], lr=0.1)
    with pytest.raises(ValueError, match="params is empty"):
        optim.Adam(p for p in ())


def test_a_parameter_twice():
    p = parameter(2, 3)
    with pytest.raises(ValueError, match=r"position 1, of shape \(2, 3\), is given twice"):
        optim.SGD([p, p])
    with pytest.raises(ValueError, match="is given twice"):
        optim.SGD([{"params": [p]}, {"params": [p]}])


def test_arguments_that_are_no_lists_of_tensors():
    with pytest.raises(TypeError, match=r"got a Tensor; write \[tensor\]"):
        optim.SGD(parameter(2))
    with pytest.raises(TypeError, match="got ndarray at position 1"):
        optim.SGD([parameter(2), np.ones(2)])
    with pytest.raises(ValueError, match="needs 'params', got only"):
        optim.SGD([{"lr": 0.1}])
    with pytest.raises(TypeError, match="give a list, not a set"):
        optim.SGD([{"params": {parameter(2)}}])


def test_only_leaves_can_be_optimized():
    from pynet.nn.functional import relu

    with pytest.raises(ValueError, match="only leaves can be optimized"):
        optim.SGD([relu(parameter(2))])


def test_generators_and_group_options():
    first, second = with_grad(parameter(2)), with_grad(parameter(3))
    optimizer = optim.SGD((p for p in (first,)), lr=0.5)
    optimizer.add_param_group({"params": second, "lr": 0.25})
    optimizer.step()
    assert first.array.tolist() == [0.5, 0.5]
    assert second.array.tolist() == [0.75] * 3
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert first.array.tolist() == [0.5, 0.5]
    assert second.array.tolist() == [0.5] * 3


def test_zero_grad():
    p = with_grad(parameter(2))
    optimizer = optim.SGD([p], lr=0.1)
    kept = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is kept
    assert kept.array.tolist() == [0, 0]
    optimizer.zero_grad()
    assert p.grad is None


def test_closure_is_evaluated_with_gradients_and_its_value_returned():
    from pynet.autograd import is_grad_enabled, no_grad

    p = parameter(2)
    optimizer = optim.SGD([p], lr=1.0)

    def closure():
        assert is_grad_enabled()
        with_grad(p, 0.5)
        return 7

    with no_grad():
        assert optimizer.step(closure) == 7
    assert p.array.tolist() == [0.5, 0.5]
    assert optimizer.step() is None


def test_a_step_between_forward_and_backward_is_noticed():
    from pynet.nn.functional import linear

    x, w = parameter(2, 3), Tensor(np.ones((3, 4)).T, requires_grad=True)
    out = linear(x, w)
    with_grad(w)
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        out.backward(Tensor(np.ones((2, 4))))


def test_every_step_is_noticed_for_every_parameter():
    from pynet.nn.functional import linear

    weights = [Tensor(np.ones((3, 3)).T, requires_grad=True) for _ in range(3)]
    optimizer = optim.SGD([with_grad(w) for w in weights], lr=0.1)
    for _ in range(3):
        outs = [linear(parameter(2, 3), w) for w in weights]
        optimizer.step()
        for out in outs:
            with pytest.raises(RuntimeError, match="changed in place"):
                out.backward(Tensor(np.ones((2, 3))))
        linear(parameter(2, 3), weights[2]).backward(Tensor(np.ones((2, 3))))


# State.


def trained(name="Adam", steps=3, **options):
    rng = np.random.default_rng(0)
    parameters = [Tensor(np.asfortranarray(rng.normal(size=(3, 2))), requires_grad=True), parameter(4)]
    optimizer = getattr(optim, name)(
        [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.5}], **options
    )
    step(optimizer, steps)
    return optimizer, parameters


def step(optimizer, steps):
    for i in range(steps):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = Tensor(np.full_like(p.array, i + 1.0))
        optimizer.step()


OPTIMIZERS = [
    ("SGD", {"momentum": 0.9}),
    ("Adagrad", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("Adadelta", {}),
    ("Adamax", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("Lion", {}),
    ("LARS", {"weight_decay": 0.1}),
]


def test_state_dict_has_pytorchs_form():
    optimizer, _ = trained()
    state = optimizer.state_dict()
    assert sorted(state) == ["param_groups", "state"]
    assert [group["params"] for group in state["param_groups"]] == [[0], [1]]
    assert [group["lr"] for group in state["param_groups"]] == [1e-3, 0.5]
    assert sorted(state["state"]) == [0, 1]
    assert sorted(state["state"][0]) == ["exp_avg", "exp_avg_sq", "step"]
    assert state["state"][0]["step"] == 3
    assert state["state"][0]["exp_avg"].shape == (3, 2)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_a_loaded_optimizer_goes_on_as_the_saved_one(name, options):
    saved, parameters = trained(name, **options)
    copies = [Tensor(p.array.copy(order="K"), requires_grad=True) for p in parameters]
    loaded = getattr(optim, name)([{"params": copies[:1]}, {"params": copies[1:]}], **options)
    loaded.load_state_dict(saved.state_dict())
    step(saved, 4)
    step(loaded, 4)
    for ours, theirs in zip(copies, parameters, strict=True):
        np.testing.assert_array_equal(ours.array, theirs.array)
    for p in copies:
        for value in loaded.state[p].values():
            assert isinstance(value, (int, float)) or value.array.strides == p.array.strides


def test_loading_copies():
    saved, parameters = trained()
    loaded, copies = trained(steps=0)
    loaded.load_state_dict(saved.state_dict())
    saved.state[parameters[0]]["exp_avg"].array[...] = 99
    assert not (loaded.state[copies[0]]["exp_avg"].array == 99).any()


def test_state_of_arrays_loads_too():
    saved, _ = trained()
    state = saved.state_dict()
    for entry in state["state"].values():
        for key, value in entry.items():
            entry[key] = value.array.astype(np.float32) if isinstance(value, Tensor) else np.float32(value)
    loaded, copies = trained(steps=0)
    loaded.load_state_dict(state)
    assert loaded.state[copies[0]]["step"] == 3
    assert loaded.state[copies[0]]["exp_avg"].dtype == np.float64


def test_loading_the_state_of_another_model_lists_everything_and_loads_nothing():
    saved, _ = trained()
    state = saved.state_dict()
    state["state"][0]["exp_avg"] = Tensor(np.zeros((5, 2)))
    state["state"][1]["sum"] = Tensor(np.zeros(4))
    state["state"][7] = {"step": 1}
    loaded, parameters = trained(steps=1)
    before = loaded.state[parameters[0]]["exp_avg"].array.copy()
    with pytest.raises(ValueError, match="is of another model or optimizer") as caught:
        loaded.load_state_dict(state)
    message = str(caught.value)
    assert "'exp_avg' of parameter 0 has shape (5, 2), the parameter has (3, 2)" in message
    assert "parameter 1 has the entry 'sum', which Adam does not keep" in message
    assert "a state for parameter 7, of which there is none" in message
    np.testing.assert_array_equal(loaded.state[parameters[0]]["exp_avg"].array, before)
    assert loaded.state[parameters[0]]["step"] == 1


def test_loading_other_groups():
    saved, _ = trained()
    other = optim.Adam([parameter(3, 2), parameter(4)])
    with pytest.raises(ValueError, match="it has 2 parameter groups, the optimizer has 1"):
        other.load_state_dict(saved.state_dict())
    other = optim.Adam([{"params": [parameter(3, 2), parameter(1)]}, {"params": [parameter(4)]}])
    with pytest.raises(ValueError, match="group 0 has 1 parameters, the optimizer's has 2"):
        other.load_state_dict(saved.state_dict())
    other = optim.SGD([{"params": [parameter(3, 2)]}, {"params": [parameter(4)]}])
    with pytest.raises(ValueError, match="group 0 lacks the options momentum, dampening"):
        other.load_state_dict(saved.state_dict())
    with pytest.raises(ValueError, match="no optimizer's state"):
        other.load_state_dict({"weight": 1})


def test_loading_bad_options_changes_nothing():
    saved, _ = trained()
    state = saved.state_dict()
    state["param_groups"][0]["lr"] = 0.7
    state["param_groups"][1]["lr"] = -1.0
    loaded, _ = trained(steps=0)
    with pytest.raises(ValueError, match="group 1: Adam: lr must be at least 0"):
        loaded.load_state_dict(state)
    assert loaded.param_groups[0]["lr"] == 1e-3


def test_repr_lists_the_options():
    assert repr(optim.SGD([parameter(1)], lr=0.5)).splitlines()[:4] == [
        "SGD (",
        "Parameter Group 0",
        "    dampening: 0",
        "    lr: 0.5",
    ]


@pytest.mark.parametrize(
    ("name", "options"), [case for case in OPTIMIZERS if case[0] not in ("Lion", "LARS")]
)
def test_state_goes_to_pytorch_and_back(name, options):
    torch = pytest.importorskip("torch")
    ours, parameters = trained(name, **options)
    theirs_parameters = [torch.nn.Parameter(torch.tensor(p.array.copy())) for p in parameters]
    theirs = getattr(torch.optim, name)(
        [{"params": theirs_parameters[:1]}, {"params": theirs_parameters[1:]}], **options
    )
    state = ours.state_dict()
    for entry in state["state"].values():
        for key, value in entry.items():
            entry[key] = torch.tensor(value.array.copy()) if isinstance(value, Tensor) else value
    theirs.load_state_dict(state)
    copies = [Tensor(p.array.copy(order="K"), requires_grad=True) for p in parameters]
    back = getattr(optim, name)([{"params": copies[:1]}, {"params": copies[1:]}], **options)
    back.load_state_dict(theirs.state_dict())
    for _ in range(3):
        for p in theirs_parameters:
            p.grad = torch.full_like(p, 0.7)
        theirs.step()
        for each in (ours, back):
            for p in [q for group in each.param_groups for q in group["params"]]:
                with_grad(p, 0.7)
            each.step()
    for mine, copied, other in zip(parameters, copies, theirs_parameters, strict=True):
        np.testing.assert_allclose(mine.array, other.detach().numpy(), rtol=1e-6)
        np.testing.assert_allclose(copied.array, mine.array, rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "Adadelta", "Adamax", "NAdam", "RAdam"]
)
def test_pytorchs_choices_of_an_implementation(name):
    assert getattr(optim, name)([parameter(1)], foreach=None, differentiable=False)
    with pytest.raises(NotImplementedError, match=f"{name}: foreach=True chooses .* leave foreach at None"):
        getattr(optim, name)([parameter(1)], foreach=True)


def test_penalties():
    p = Tensor(np.array([2.0, -2.0, 0.04, -0.04]), requires_grad=True)
    p.grad = Tensor(np.zeros(4))
    optim.SGD([{"params": p, "l1": 0.5}], lr=0.1).step()
    np.testing.assert_allclose(p.array, [1.95, -1.95, 0, 0])  # exactly zero
    elastic = Tensor(np.array([2.0, -2.0]), requires_grad=True)
    optimizer = optim.SGD([{"params": elastic, "l1": 0.5, "weight_decay": 0.1}], lr=0.1)
    elastic.grad = Tensor(np.zeros(2))
    optimizer.step()
    np.testing.assert_allclose(elastic.array, [2 - 0.02 - 0.05, -2 + 0.02 + 0.05])
    with pytest.raises(ValueError, match="SGD: l1 must be at least 0 and finite, got -1"):
        optim.SGD([{"params": parameter(2), "l1": -1}])


def test_l1_finds_the_lasso():
    # min (p - b)^2 / 2 + l |p| is the soft threshold of b
    b = np.array([3.0, -0.2, 0.5, -2.0])
    p = Tensor(np.zeros(4), requires_grad=True)
    optimizer = optim.SGD([{"params": p, "l1": 0.4}], lr=0.5)
    for _ in range(200):
        p.grad = Tensor(p.array - b)
        optimizer.step()
    np.testing.assert_allclose(p.array, [2.6, 0, 0.1, -1.6], atol=1e-12)


def test_step_hooks():
    p, calls = with_grad(parameter(1)), []
    optimizer = optim.SGD([p], lr=1.0)
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append(float(p.array[0])))
    optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append(float(p.array[0])))
    optimizer.step()
    before.remove()
    optimizer.step()
    assert calls == [1.0, 0.0, -1.0]


def test_gradients_add_over_backward_calls():
    from pynet import nn

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    whole, parts = nn.Linear(3, 2).double(), nn.Linear(3, 2).double()
    parts.load_state_dict(whole.state_dict())
    loss = nn.MSELoss()
    loss(whole(Tensor(x)), Tensor(y)).backward()
    for i in range(4):
        (loss(parts(Tensor(x[2 * i : 2 * i + 2])), Tensor(y[2 * i : 2 * i + 2])) / 4).backward()
    for model in (whole, parts):
        optim.Adam(model.parameters(), lr=0.1).step()
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        np.testing.assert_allclose(a.array, b.array, rtol=1e-9)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
@pytest.mark.parametrize("schedule", ["CyclicLR", "OneCycleLR", "StepLR"])
def test_schedules_continue_with_every_optimizer(name, options, schedule):
    cycles = any(
        option in getattr(optim, name)([parameter(1)], **options).defaults for option in ("momentum", "betas")
    )
    arguments = {
        "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3, "cycle_momentum": cycles},
        "OneCycleLR": {"max_lr": 0.1, "total_steps": 20, "cycle_momentum": cycles},
        "StepLR": {"step_size": 2},
    }[schedule]

    def made():
        p = parameter(3)
        optimizer = getattr(optim, name)([p], **options)
        return p, optimizer, getattr(optim.lr_scheduler, schedule)(optimizer, **arguments)

    def go(p, optimizer, scheduler, steps):
        for _ in range(steps):
            with_grad(p, 0.3)
            optimizer.step()
            scheduler.step()

    first, second = made(), made()
    go(*first, 5)
    second[0].array[...] = first[0].array
    second[1].load_state_dict(first[1].state_dict())
    second[2].load_state_dict(first[2].state_dict())
    go(*first, 5)
    second[1].step_count = 5
    go(*second, 5)
    np.testing.assert_array_equal(first[0].array, second[0].array)
    assert first[1].param_groups[0]["lr"] == second[1].param_groups[0]["lr"]
