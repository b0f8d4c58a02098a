"""Peers other than PyTorch: Keras 3 on TensorFlow and on JAX, onnxruntime and OpenVINO.

Keras: the training step is one compiled function, as Keras' guides on writing one's own loop have it:
`tf.function` (with XLA in mode tensorflow_xla), `jax.jit` over the stateless calls. onnxruntime and OpenVINO
run the file that PyTorch exports, in float32, with its batch size fixed.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench import nets
from bench.framework import Framework, labels, numbers


class Keras(Framework):
    """Keras 3 in the modes tensorflow, tensorflow_xla and jax."""

    name = "keras"

    def __init__(self, mode: str, threads: int) -> None:
        super().__init__(mode, threads)
        # Neither backend has one switch for all its pools: the cores that the process may use are the limit.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        self.backend = mode.split("_")[0]
        os.environ["KERAS_BACKEND"] = self.backend
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras

        self.lib = keras
        if self.backend == "tensorflow":
            import tensorflow as tf

            tf.config.threading.set_intra_op_parallelism_threads(threads)
            self.core = tf
        else:
            import jax

            self.core = jax

    def versions(self) -> dict[str, str]:
        return {"keras": self.lib.__version__, self.backend: self.core.__version__, **super().versions()}

    def array(self, tensor: Any) -> np.ndarray:
        return np.asarray(tensor)

    def training_step(self, net: str) -> Callable[[], Any]:
        """One compiled step; returns the loss."""
        from bench import nets_keras

        spec = nets.NETS[net]
        model, optimizer = nets_keras.build(self.lib, net), nets_keras.optimizer(self.lib, spec)
        optimizer.build(model.trainable_variables)
        loss_of = self.lib.losses.SparseCategoricalCrossentropy(from_logits=True)
        x = numbers(*spec.x, seed=1)
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x
        y = labels(spec.x[0], 10)
        make = self._tensorflow if self.backend == "tensorflow" else self._jax
        return make(model, optimizer, loss_of, x, y)

    def _tensorflow(self, model: Any, optimizer: Any, loss_of: Any, x: Any, y: Any) -> Callable[[], Any]:
        tf = self.core
        x, y = tf.constant(x), tf.constant(y)

        @tf.function(jit_compile=self.mode == "tensorflow_xla")
        def step(images: Any, classes: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = loss_of(classes, model(images, training=True))
            gradients = tape.gradient(loss, model.trainable_weights)
            optimizer.apply(gradients, model.trainable_weights)
            return loss

        return lambda: step(x, y).numpy()

    def _jax(self, model: Any, optimizer: Any, loss_of: Any, x: Any, y: Any) -> Callable[[], Any]:
        jax = self.core
        x, y = jax.device_put(x), jax.device_put(y)

        def compute(trainable: Any, rest: Any, images: Any, classes: Any) -> Any:
            logits, rest = model.stateless_call(trainable, rest, images, training=True)
            return loss_of(classes, logits), rest

        gradient_of = jax.value_and_grad(compute, has_aux=True)

        def update(state: Any, images: Any, classes: Any) -> Any:
            trainable, rest, slots = state
            (loss, rest), gradients = gradient_of(trainable, rest, images, classes)
            trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
            return loss, (trainable, rest, slots)

        jitted = jax.jit(update, donate_argnums=0)
        variables = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
        state = jax.tree.map(lambda v: v.value, tuple(map(list, variables)))

        def step() -> Any:
            nonlocal state
            loss, state = jitted(state, x, y)
            return jax.block_until_ready(loss)

        return step


class Onnx(Framework):
    """Inference from an ONNX file in the modes onnxruntime and openvino."""

    name = "onnx"

    def __init__(self, mode: str, threads: int) -> None:
        super().__init__(mode, threads)
        if mode == "onnxruntime":
            import onnxruntime as lib
        else:
            import openvino as lib
        self.lib = lib

    def versions(self) -> dict[str, str]:
        return {self.mode: self.lib.__version__.split("-")[0], **super().versions()}

    def array(self, tensor: Any) -> np.ndarray:
        return np.asarray(tensor)

    def prediction(self, net: str, batch: int) -> Callable[[], Any]:
        """The exported net on one batch."""
        x = numbers(batch, *nets.NETS[net].x[1:], seed=1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.onnx"
            python = os.environ.get("PYNET_TORCH_PYTHON")
            if not python:
                raise RuntimeError("PYNET_TORCH_PYTHON must name a Python with PyTorch and onnx to export")
            command = [python, "-m", "bench.export", net, str(batch), str(path)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            run = self._onnxruntime(path, x) if self.mode == "onnxruntime" else self._openvino(path, x)
        return run

    def _onnxruntime(self, path: Path, x: np.ndarray) -> Callable[[], Any]:
        options = self.lib.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        session = self.lib.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: x}
        return lambda: session.run(None, feed)[0]

    def _openvino(self, path: Path, x: np.ndarray) -> Callable[[], Any]:
        core = self.lib.Core()
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self.threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        request = core.compile_model(core.read_model(path), "CPU", options).create_infer_request()
        request.set_input_tensor(self.lib.Tensor(x))  # no copy of the input, no new request a call

        def run() -> Any:
            request.infer()
            return request.get_output_tensor().data

        return run
