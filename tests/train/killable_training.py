"""A training with everything that a checkpoint has to hold, as a program to be killed and started again.

python killable_training.py FOLDER EPOCHS: trains, or continues from the checkpoints in FOLDER, prints a line
before each step, and at the end writes FOLDER/result.safetensors.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
from small_training import network, two_classes

import pynet
from pynet import nn, optim
from pynet.data import ArrayDataset, DataLoader
from pynet.data.augment import MixUp, RandomCrop, RandomHorizontalFlip
from pynet.data.transforms import Compose, ToFloat
from pynet.train import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint, Trainer, save_checkpoint


class Steps(Callback):
    def on_batch_begin(self, step, logs):
        print("step", self.trainer.global_step, flush=True)


class Noise:
    """Random numbers of pynet's, NumPy's and Python's generators."""

    def __init__(self):
        self.mix = MixUp(num_classes=2)

    def __call__(self, images, labels):
        noise = np.float32(0.1 * np.random.randn() + 0.1 * random.random())
        images, labels = self.mix(images, labels)
        return pynet.Tensor(images.array + noise), labels


def images() -> ArrayDataset:
    """As bytes, each randomly shifted and mirrored when it is read, by whatever worker."""
    values, labels = two_classes()
    pixels = np.clip(40 * values + 100, 0, 255).astype(np.uint8)
    changes = [RandomCrop(4, padding=1), RandomHorizontalFlip(), ToFloat()]
    return ArrayDataset(pixels, labels, transform=Compose(changes))


def train(folder: Path | None, epochs: int) -> dict:
    """Train and return all that is left in the end; `folder` None: without checkpoints."""
    for seed in (pynet.manual_seed, np.random.seed, random.seed):
        seed(1)
    model = network()
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    data = images()
    ema = EMAWeightAveraging(0.95)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40),
        scheduler_interval="step",
        augment=Noise(),
        warmup_steps=10,
        accumulate_grad_batches=3,
        gradient_clip_val=1.0,
    )
    callbacks = [ema, EarlyStopping(patience=10**6, restore_best_weights=True)]
    if folder is not None:
        callbacks += [Steps(), ModelCheckpoint(folder, every_steps=2)]
    history = trainer.fit(
        DataLoader(data, 8, shuffle=True, num_workers=2),
        DataLoader(data, 16, shuffle=True, num_workers=1),
        epochs,
        callbacks=callbacks,
        resume=None if folder is None else "auto",
        progress=False,
    )
    return {
        "model": model.state_dict(),
        "average": ema.average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": trainer.scheduler.state_dict(),
        "history": [{key: row[key] for key in row if key != "seconds"} for row in history],
        "next": [pynet.random.get_rng_state(), float(np.random.rand()), random.random()],
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    save_checkpoint(train(folder, int(sys.argv[2])), folder / "result.safetensors")
