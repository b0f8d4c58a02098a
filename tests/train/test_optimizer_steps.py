"""What a step does with the gradient: accumulation, clipping, warm-up, the schedule that follows a figure."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import nn, optim
from pynet.autograd import Tensor
from pynet.train import Callback, LambdaCallback, Trainer, load_checkpoint


def linear(seed: int = 0) -> nn.Module:
    """A network without dropout and batch norm: its gradient is a mean over samples."""
    pynet.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))


def batches(*sizes: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [
        (rng.normal(size=(size, 5)).astype(np.float32), rng.integers(0, 3, size).astype(np.int64))
        for size in sizes
    ]


def joined(parts):
    return [tuple(np.concatenate(column) for column in zip(*parts, strict=True))]


class Gradients(Callback):
    """Remembers the gradients before each optimizer step."""

    def __init__(self):
        self.seen, self.steps, self.norms = [], [], []

    def on_before_optimizer_step(self, step, logs):
        self.steps.append(step)
        self.seen.append([p.grad.numpy().copy() for p in self.trainer.model.parameters()])

    def on_after_optimizer_step(self, step, logs):
        self.norms.append(logs.get("gradient_norm"))


def train(data, epochs: int = 1, lr: float = 0.1, **options):
    model = linear()
    optimizer = optim.SGD(model.parameters(), lr=lr)
    gradients = Gradients()
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=(), **options)
    trainer.fit(data, epochs=epochs, callbacks=[gradients], progress=False)
    return trainer, [p.array.copy() for p in model.parameters()], gradients


@pytest.mark.parametrize("sizes", [(8, 8), (4, 4, 4, 4), (6, 6, 6), (7, 3, 5)])
def test_accumulated_batches_are_the_big_batch(sizes):
    parts = batches(*sizes)
    _, expected, _ = train(joined(parts))
    trainer, weights, gradients = train(parts, accumulate_grad_batches=len(sizes))
    assert gradients.steps == [len(sizes) - 1]
    assert trainer.update.count == 1 and trainer.global_step == len(sizes)
    for mine, big in zip(weights, expected, strict=True):
        assert np.allclose(mine, big, rtol=0, atol=1e-7)
    # Something that is not the mean over all samples would be far off.
    _, separate, _ = train(parts)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(separate, expected, strict=True))


def test_the_batches_left_at_the_end_of_an_epoch_are_a_step_of_their_own():
    parts = batches(4, 4, 4)
    trainer, weights, gradients = train(parts, accumulate_grad_batches=2)
    assert gradients.steps == [1, 2]
    assert trainer.update.count == 2
    _, expected, _ = train([joined(parts[:2])[0], parts[2]])
    for mine, big in zip(weights, expected, strict=True):
        assert np.allclose(mine, big, rtol=0, atol=1e-7)


def test_without_accumulation_the_bits_are_those_of_a_plain_loop():
    parts = batches(4, 6, 4)
    model, loss = linear(), nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for x, y in parts:
        optimizer.zero_grad()
        loss(model(Tensor(x)), Tensor(y)).backward()
        optimizer.step()
    _, weights, _ = train(parts)
    for mine, parameter in zip(weights, model.parameters(), strict=True):
        assert np.array_equal(mine, parameter.array)


def test_clipping_by_norm_bounds_the_whole_gradient():
    parts = batches(8)
    _, plain, free = train(parts)
    norm = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in free.seen[0]))
    _, clipped, bound = train(parts, gradient_clip_val=norm / 4)
    before = [p.array for p in linear().parameters()]
    for start, far, near in zip(before, plain, clipped, strict=True):
        assert np.allclose(near - start, (far - start) / 4, rtol=1e-4, atol=1e-7)
    assert bound.norms[0] == pytest.approx(norm, rel=1e-5)
    assert free.norms == [None]
    _, same, _ = train(parts, gradient_clip_val=norm * 2)
    assert all(np.array_equal(a, b) for a, b in zip(same, plain, strict=True))


def test_clipping_by_value_bounds_each_element():
    parts = batches(8)
    _, weights, free = train(parts, gradient_clip_val=0.01, gradient_clip_algorithm="value")
    before = [p.array for p in linear().parameters()]
    for start, new, gradient in zip(before, weights, free.seen[0], strict=True):
        assert np.allclose(new, start - 0.1 * np.clip(gradient, -0.01, 0.01), rtol=0, atol=1e-7)
    assert max(np.abs(g).max() for g in free.seen[0]) > 0.01


def test_the_accumulated_gradient_is_clipped_and_not_the_batches():
    parts = batches(8, 8)
    _, expected, _ = train(joined(parts), gradient_clip_val=0.05)
    _, weights, _ = train(parts, gradient_clip_val=0.05, accumulate_grad_batches=2)
    for mine, big in zip(weights, expected, strict=True):
        assert np.allclose(mine, big, rtol=0, atol=1e-7)


def test_warm_up_is_a_factor_of_the_schedule():
    rates = []

    class Rates(Callback):
        def on_before_optimizer_step(self, step, logs):
            rates.append(self.trainer.update.learning_rate)

    model = linear()
    optimizer = optim.SGD(model.parameters(), lr=0.8)
    applied = []
    optimizer.register_step_pre_hook(lambda own, *_: applied.append(own.param_groups[0]["lr"]))
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        scheduler=scheduler,
        scheduler_interval="step",
        warmup_steps=4,
        callbacks=[Rates()],
    )
    history = trainer.fit(batches(4, 4, 4, 4, 4, 4), progress=False)
    expected = [0.8 * 0.5**k * min(1, (k + 1) / 4) for k in range(6)]
    assert applied == pytest.approx(expected)
    assert rates == pytest.approx(expected)
    assert history["lr"] == pytest.approx([0.2])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.8 * 0.5**6)


def test_a_plateau_schedule_follows_its_figure(setup):
    one = setup(scheduler=None)
    one.trainer.scheduler = optim.lr_scheduler.ReduceLROnPlateau(one.optimizer, patience=0, factor=0.5)
    worse = LambdaCallback(on_test_end=lambda logs: logs.update(loss=one.trainer.epoch + 1.0))
    history = one.fit(4, callbacks=[worse])
    assert history["lr"] == pytest.approx([0.01, 0.01, 0.005, 0.0025])
    with pytest.raises(ValueError, match="ReduceLROnPlateau follows 'val_loss', which is not among loss"):
        one.trainer.fit(one.train, epochs=1, progress=False)


@pytest.mark.parametrize("stop", [1, 2, 3, 7, 8, 11])
def test_a_resume_inside_an_accumulation_gives_the_same_bits(setup, tmp_path, stop):
    options = {
        "accumulate_grad_batches": 3,
        "gradient_clip_val": 0.5,
        "warmup_steps": 4,
        "scheduler_interval": "step",
    }
    whole = setup(**options)
    whole.fit(2)
    assert whole.trainer.update.count == 6  # 8 batches an epoch: 3, 3 and 2
    first = setup(**options)

    def halt(step, logs):
        first.trainer.stop_training = first.trainer.global_step == stop

    first.fit(2, callbacks=[LambdaCallback(on_batch_end=halt)], checkpoint=tmp_path)
    pending = load_checkpoint(tmp_path)["gradient"]
    assert (pending["batches"] if pending else 0) == {1: 1, 2: 2, 3: 0, 7: 1, 8: 0, 11: 0}[stop]
    second = setup(seed=9, **options)
    second.fit(2, resume=tmp_path)
    assert second.bits() == whole.bits()
    assert second.trainer.update.count == 6
    if pending:
        with pytest.raises(
            ValueError, match=r"the gradient of \d batches, and here accumulate_grad_batches is 1"
        ):
            setup().fit(2, resume=tmp_path)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"accumulate_grad_batches": 0}, "accumulate_grad_batches must be an integer of at least 1, not 0"),
        ({"warmup_steps": 1.5}, "warmup_steps must be an integer of at least 0, not 1.5"),
        ({"gradient_clip_val": 0}, "gradient_clip_val must be greater than 0 or None, not 0"),
        ({"gradient_clip_algorithm": "both"}, "must be 'norm' or 'value', not 'both'"),
    ],
)
def test_numbers_out_of_range_are_refused(setup, options, match):
    with pytest.raises(ValueError, match=match):
        setup(**options)
