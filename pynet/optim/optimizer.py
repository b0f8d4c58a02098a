"""What all optimizers share: parameter groups, state, and the gathering of arrays for one native call a step.

A step sorts the parameters that have a gradient into bundles, which agree in dtype and in how many steps they
have made, and hands each bundle to the optimizer's update rule as lists of arrays. Usually there is one
bundle for each parameter group.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor, before_write, enable_grad, wrote
from ..nn.hooks import Hooks, RemovableHandle
from ..ops._backend import backend


class Bundle:
    """Parameters of one group that one native call updates.

    Attributes:
        parameters: the Tensors.
        arrays: their arrays.
        grads: the arrays of their gradients.
        states: for each name of the optimizer's state arrays, the list of these, with the parameters'
            strides.
        step: the number of the step that is being made, from 1.
        fresh: whether `states` was created in this step.
    """

    __slots__ = ("arrays", "fresh", "grads", "kernels", "parameters", "states", "step")

    def __init__(self, array: np.ndarray, step: int, fresh: bool, names: tuple[str, ...]) -> None:
        self.parameters: list[Tensor] = []
        self.arrays: list[np.ndarray] = []
        self.grads: list[np.ndarray] = []
        self.states: dict[str, list[np.ndarray]] = {name: [] for name in names}
        self.step = step
        self.fresh = fresh
        self.kernels = backend(array)


class Optimizer:
    """Base class: a subclass gives the options' defaults, ``_check``, ``_state_names`` and ``_update``.

    Every group takes, besides the optimizer's options, ``"l1"`` (default 0): the penalty ``l1 * sum(|p|)``.
    Its step is proximal: after the optimizer's own, ``p = sign(p) * max(|p| - lr * l1, 0)``, so that weights
    become exactly 0, as no subgradient achieves. ``weight_decay`` is the penalty ``weight_decay / 2 * sum(p *
    p)`` (decoupled in AdamW, Lion, and where ``decoupled_weight_decay`` says so); both together are the
    elastic net.

    Args:
        params: an iterable of Tensors, or of dicts ``{"params": Tensors, option: value, ...}``, one a group.
        defaults: options for groups that do not give them.

    Attributes:
        param_groups: list of dicts, options by name and ``"params"``; may be changed between steps.
        state: per parameter a dict of state arrays (Tensors) and ``"step"``.

    Raises:
        ValueError: no parameters, one parameter given twice, a Tensor that is no leaf, or an option outside
            its range.
        TypeError: `params` is a single Tensor, or holds something else than Tensors.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, (Tensor, np.ndarray, str)):
            raise TypeError(
                f"{type(self).__name__}: params must be an iterable of Tensors or of dicts, got a "
                f"{type(params).__name__}; "
                "write [tensor] for a single one"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self.step_count = 0
        self._pre_hooks, self._post_hooks = Hooks(), Hooks()
        entries = [params] if isinstance(params, Mapping) else list(params)
        if not entries:
            raise ValueError(f"{type(self).__name__}: params is empty, there is nothing to optimize")
        groups = entries if isinstance(entries[0], Mapping) else [{"params": entries}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a group; options that it does not give are the optimizer's defaults.

        Args:
            param_group: ``{"params": a Tensor or an iterable of Tensors, option: value, ...}``.

        Raises:
            ValueError, TypeError: as in the constructor; the optimizer is unchanged.
        """
        name = type(self).__name__
        if not isinstance(param_group, Mapping):
            raise TypeError(f"{name}: a parameter group must be a dict, got {type(param_group).__name__}")
        if "params" not in param_group:
            raise ValueError(f"{name}: a parameter group needs 'params', got only {sorted(param_group)}")
        given = param_group["params"]
        if isinstance(given, (set, frozenset)):
            raise TypeError(
                f"{name}: params must have an order that is the same in every run; give a list, not a set"
            )
        group = {
            **self.defaults,
            **param_group,
            "params": [given] if isinstance(given, Tensor) else list(given),
        }
        seen = {id(p) for known in self.param_groups for p in known["params"]}
        for index, parameter in enumerate(group["params"]):
            if not isinstance(parameter, Tensor):
                raise TypeError(
                    f"{name}: params must hold Tensors, got {type(parameter).__name__} at position {index}"
                )
            if id(parameter) in seen:
                raise ValueError(
                    f"{name}: the parameter at position {index}, of shape {parameter.shape}, is given "
                    "twice; a parameter "
                    "belongs to one group, once"
                )
            if not parameter.is_leaf:
                raise ValueError(
                    f"{name}: the Tensor at position {index} is a result of operations; only leaves can be "
                    "optimized"
                )
            seen.add(id(parameter))
        check_range(name, "l1", group.get("l1", 0))
        self._check(group)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or fill them with zeros where `set_to_none` is False."""
        parameters = self._parameters()
        if set_to_none:
            for parameter in parameters:
                parameter.grad = None
            return
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        before_write()
        for grad in grads:
            grad.array.fill(0)
        wrote(*grads)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: evaluates the model again, calls ``backward()`` and returns the loss; default None.

        Returns:
            what `closure` returned, or None.
        """
        for hook, _ in tuple(self._pre_hooks.values()):
            hook(self, (closure,), {})
        loss = None
        if closure is not None:
            if not callable(closure):
                raise TypeError(f"{type(self).__name__}.step: closure must be callable, got {closure!r}")
            with enable_grad():
                loss = closure()
        before_write()
        for group in self.param_groups:
            threshold = group["lr"] * group.get("l1", 0)
            for bundle in self._bundles(group):
                self._update(group, bundle)
                if threshold:
                    bundle.kernels.soft_threshold(bundle.arrays, threshold)
                wrote(*bundle.parameters)
        self.step_count += 1
        for hook, _ in tuple(self._post_hooks.values()):
            hook(self, (closure,), {})
        return loss

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Have ``hook(optimizer, args, kwargs)`` called before every step, until ``remove()``."""
        return self._pre_hooks.add(f"{type(self).__name__}.register_step_pre_hook", hook, False, False)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Have ``hook(optimizer, args, kwargs)`` called after every step, until ``remove()``."""
        return self._post_hooks.add(f"{type(self).__name__}.register_step_post_hook", hook, False, False)

    # What a subclass defines.

    def _check(self, group: dict[str, Any]) -> None:
        """Raise ValueError for an option outside its range."""

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The state arrays that this group's options ask for."""
        raise NotImplementedError

    def _update(self, group: dict[str, Any], bundle: Bundle) -> None:
        """Make one step for a bundle: one call of a function of ``bundle.kernels``."""
        raise NotImplementedError

    _counts_steps = True  # whether the state holds "step"
    _scalar_names: tuple[str, ...] = ()  # numbers in the state besides "step"
    _initial_value: str | None = None  # the option with which new state arrays are filled; None: zeros

    # Gathering.

    def _bundles(self, group: dict[str, Any]) -> list[Bundle]:
        names, counts = self._state_names(group), self._counts_steps
        state = self.state
        bundles: dict[Any, Bundle] = {}
        bundle = None  # the one that the parameter before went into
        dtype = None
        for parameter in group["params"]:
            grad = parameter.grad
            if grad is None:
                continue
            array = parameter.array
            entry = state[parameter] if names or counts else {}
            fresh = False
            for name in names:
                if name not in entry:
                    self._create(entry, names, array, group)
                    fresh = True
                    break
            step = entry.get("step", 0) + 1
            if counts:
                entry["step"] = step
            if bundle is None or array.dtype is not dtype or step != bundle.step or fresh is not bundle.fresh:
                dtype = array.dtype
                key = (dtype, step, fresh)
                bundle = bundles.get(key)
                if bundle is None:
                    bundle = bundles[key] = Bundle(array, step, fresh, names)
            bundle.parameters.append(parameter)
            bundle.arrays.append(array)
            bundle.grads.append(grad.array)
            for name in names:
                bundle.states[name].append(entry[name].array)
        return list(bundles.values())

    def _create(
        self, entry: dict[str, Any], names: tuple[str, ...], array: np.ndarray, group: dict[str, Any]
    ) -> None:
        """Add the missing state arrays, with the parameter's strides."""
        value = 0.0 if self._initial_value is None else group[self._initial_value]
        for name in names:
            if name not in entry:
                entry[name] = Tensor(np.full_like(array, value))

    # Saving and loading.

    def state_dict(self) -> dict[str, Any]:
        """State and options, parameters named by their index; the arrays are the optimizer's own, not copies.

        Returns:
            ``{"state": {index: {name: value}}, "param_groups": [{option: value, "params": [index]}]}``.
        """
        numbers = {id(p): i for i, p in enumerate(self._parameters())}
        groups = [
            {**group, "params": [numbers[id(p)] for p in group["params"]]} for group in self.param_groups
        ]
        state = {numbers[id(p)]: dict(entry) for p, entry in self.state.items() if id(p) in numbers}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` returned, for the same parameters in the same order.

        Args:
            state_dict: its arrays are copied, to the parameters' dtype and strides; they may be Tensors or
                ndarrays.

        Raises:
            ValueError: the state belongs to other parameters or another optimizer; all differences are listed
                and the optimizer is unchanged.
        """
        for key in ("state", "param_groups"):
            if key not in state_dict:
                raise ValueError(
                    f"{type(self).__name__}.load_state_dict: the state has no {key!r}; it is no "
                    "optimizer's state"
                )
        groups, problems = self._read_groups(state_dict["param_groups"])
        state = (
            {} if problems else self._read_state(state_dict["state"], state_dict["param_groups"], problems)
        )
        if problems:
            lines = "".join(f"\n    {problem}" for problem in problems)
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: the state is of another model or optimizer:{lines}"
            )
        for own, new in zip(self.param_groups, groups, strict=True):
            own.update(new)
        self.state = defaultdict(dict, state)

    def _read_groups(self, saved: Any) -> tuple[list[dict[str, Any]], list[str]]:
        """The saved options without ``"params"``, and what is wrong with them."""
        if len(saved) != len(self.param_groups):
            return [], [f"it has {len(saved)} parameter groups, the optimizer has {len(self.param_groups)}"]
        groups: list[dict[str, Any]] = []
        problems: list[str] = []
        for index, (own, group) in enumerate(zip(self.param_groups, saved, strict=True)):
            if len(group["params"]) != len(own["params"]):
                problems.append(
                    f"group {index} has {len(group['params'])} parameters, the optimizer's has "
                    f"{len(own['params'])}"
                )
            missing = [option for option in self.defaults if option not in group]
            if missing:
                problems.append(f"group {index} lacks the options {', '.join(missing)}")
                continue
            options = {option: value for option, value in group.items() if option != "params"}
            try:
                check_range(type(self).__name__, "l1", options.get("l1", 0))
                self._check({**own, **options})
            except (TypeError, ValueError) as error:
                problems.append(f"group {index}: {error}")
            groups.append(options)
        return groups, problems

    def _read_state(self, saved: Any, groups: Any, problems: list[str]) -> dict[Tensor, dict[str, Any]]:
        """The saved state with copied arrays, by parameter; what is wrong with it is added to `problems`."""
        numbers = [number for group in groups for number in group["params"]]
        targets = dict(zip(numbers, self._parameters(), strict=True))
        state: dict[Tensor, dict[str, Any]] = {}
        allowed = {name for group in groups for name in self._state_names(group)} | (
            {"step", *self._scalar_names} if self._counts_steps else set()
        )
        for number, entry in saved.items():
            if number not in targets:
                problems.append(f"it has a state for parameter {number}, of which there is none")
                continue
            parameter = targets[number]
            state[parameter] = {}
            for name, value in entry.items():
                if name not in allowed:
                    problems.append(
                        f"parameter {number} has the entry {name!r}, which {type(self).__name__} does not "
                        "keep"
                    )
                elif name == "step":
                    state[parameter][name] = int(_array_of(value))
                elif name in self._scalar_names:
                    state[parameter][name] = float(_array_of(value))
                elif value is None or _array_of(value).shape != parameter.shape:
                    shape = None if value is None else _array_of(value).shape
                    problems.append(
                        f"{name!r} of parameter {number} has shape {shape}, the parameter has "
                        f"{parameter.shape}"
                    )
                else:
                    state[parameter][name] = _copy_like(value, parameter)
        return state

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {option}: {group[option]}" for option in sorted(group) if option != "params"]
        return "\n".join([*lines, ")"])


def check_range(owner: str, name: str, value: Any, low: float = 0.0, below: float = math.inf) -> None:
    """Raise unless `value` is a number with ``low <= value < below``.

    Raises:
        TypeError: no number.
        ValueError: outside the range, or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{owner}: {name} must be a number, got {value!r}")
    if not low <= value < below:
        rule = f"at least {low:g} and finite" if below == math.inf else f"in [{low:g}, {below:g})"
        raise ValueError(f"{owner}: {name} must be {rule}, got {value}")


def check_betas(owner: str, betas: Any) -> None:
    """Raise ValueError unless `betas` are two numbers in [0, 1)."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"{owner}: betas must be a pair (beta1, beta2), got {betas!r}")
    for index, beta in enumerate(betas):
        check_range(owner, f"betas[{index}]", beta, below=1.0)


def check_variant(
    owner: str,
    foreach: bool | None = None,
    capturable: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
) -> None:
    """Raise NotImplementedError where PyTorch's choice of an implementation is not left at its default."""
    for name, value, default in (
        ("foreach", foreach, None),
        ("capturable", capturable, False),
        ("differentiable", differentiable, False),
        ("fused", fused, None),
    ):
        if value is not default:
            raise NotImplementedError(
                f"{owner}: {name}={value!r} chooses among PyTorch's implementations; pynet has one, for "
                f"all parameters of a group at once: leave {name} at {default!r}"
            )


def _array_of(value: Any) -> np.ndarray:
    return value.array if isinstance(value, Tensor) else np.asarray(value)


def _copy_like(value: Any, parameter: Tensor) -> Tensor:
    array = np.empty_like(parameter.array)
    array[...] = _array_of(value)
    return Tensor(array)
