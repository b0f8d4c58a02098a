"""The faults that a diagnosis knows, in plain words: one entry a code, and the only place of these sentences.

`sentence` has places {like this}, filled in by the step that finds the fault.
"""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """What is said of a fault. severity: "error" (the training cannot go well), "warning" (it may suffer) or
    "note".
    """

    severity: str
    sentence: str
    advice: str


FAULTS = {
    # --- data
    "model_fails": Fault(
        "error",
        "model, loss and data do not fit together",
        "mend what the sentence names; nothing else can be said before",
    ),
    "not_finite": Fault(
        "error",
        "inputs or targets hold NaN or infinity",
        "remove these samples, or fill in the values",
    ),
    "labels_out_of_range": Fault(
        "error",
        "labels run from {low} to {high}, but the network has outputs for 0 to {last}",
        "encode the classes as 0, 1, 2, ... (np.unique(labels, return_inverse=True)[1]), or give the last "
        "layer as many outputs as there are classes",
    ),
    "binary_out_of_range": Fault(
        "error",
        "binary cross-entropy takes targets from 0 to 1",
        "encode the two classes as 0 and 1: (y == positive).astype(np.float32)",
    ),
    "labels_not_integers": Fault(
        "error",
        "this loss takes one integer label a sample",
        "labels: .astype(np.int64); one-hot rows: y.argmax(axis=1); real numbers to predict: a loss such "
        "as MSELoss",
    ),
    "targets_no_probabilities": Fault(
        "error",
        "the rows of the targets are no probabilities",
        "for several labels at once use BCEWithLogitsLoss; else divide each row by its sum",
    ),
    "one_class": Fault(
        "error",
        "every sample has the label {label}",
        "the other classes are missing: look at how the data is read, split and ordered",
    ),
    "outputs_without_samples": Fault(
        "note",
        "{missing} of {classes} outputs have no sample",
        "nothing to do if these classes are meant to be rare",
    ),
    "targets_not_standardised": Fault(
        "warning",
        "the targets are far from 0 or far apart",
        "standardise them, (y - mean) / deviation of the training part, and turn predictions back",
    ),
    "constant_input": Fault(
        "error",
        "all samples are the same",
        "look at one batch as pictures or a table: the reading or a transform loses the data",
    ),
    "unscaled_input": Fault(
        "warning",
        "{what}: the inputs are not standardised",
        "data.preprocess.Standardize or ChannelStandardize, fitted on the training part and applied to "
        "every part; for images x / 255 is the least",
    ),
    "tiny_data": Fault(
        "warning",
        "so few samples can be learnt by heart, and a validation on them says little",
        "collect more, augment, start from a trained network, and validate by cross-validation",
    ),
    "train_test_leak": Fault(
        "error",
        "the validation data holds samples of the training data",
        "split once, before augmentation and oversampling; by person or series where samples belong together",
    ),
    "shuffled_labels": Fault(
        "warning",
        "the inputs say nothing about the targets: perhaps one of them was shuffled",
        "look at twenty samples beside their labels; shuffle inputs and labels by one permutation; if "
        "they do belong together, these inputs do not hold the answer, or many more samples are needed",
    ),
    # --- loss
    "initial_loss": Fault(
        "warning",
        "the loss begins at {factor} times that of a model that knows nothing",
        "too large: standardise the inputs, start the last layer smaller; too small: check what the loss "
        "expects (logits, log-probabilities, probabilities), and whether the inputs hold the answer",
    ),
    "wrong_sign": Fault(
        "error",
        "training makes this model worse: the sign is wrong",
        "training minimises: return the loss itself, not its negative, and leave the optimizer's maximize "
        "False",
    ),
    "no_softmax": Fault(
        "error",
        "the loss takes {wanted}, and the network gives something else",
        "use the loss that takes logits: CrossEntropyLoss for NLLLoss, BCEWithLogitsLoss for BCELoss",
    ),
    "double_softmax": Fault(
        "error",
        "the network ends in a {last}, and the loss applies another",
        "drop the last layer: CrossEntropyLoss and BCEWithLogitsLoss take logits",
    ),
    # --- signals
    "zero_init": Fault(
        "error",
        "units begin with equal weights and stay equal: a layer of them is worth one unit",
        "start from random weights (those that a layer is made with, or init.kaiming_normal_); zeros are "
        "for biases",
    ),
    "frozen_layer": Fault(
        "warning",
        "{what}",
        "hand all of model.parameters() to the optimizer, at a rate above 0; set requires_grad = False "
        "only on trained weights that are to stay",
    ),
    "frozen": Fault(
        "note",
        "{count} weights are frozen (requires_grad is False)",
        "nothing to do if a trained network is being adapted",
    ),
    "dead_relu": Fault(
        "warning",
        "{share} of the units of {layer} are dead: zero for every sample",
        "look for large negative biases, a rate that was too high, unscaled inputs; init.kaiming_normal_ "
        "and biases of 0; LeakyReLU revives dead units",
    ),
    "saturated": Fault(
        "warning",
        "{layer} is saturated: hardly any gradient passes",
        "smaller weights (init.xavier_normal_), standardised inputs, a batch norm before it, or ReLU",
    ),
    "missing_activation": Fault(
        "warning",
        "no activation between {before} and {after}: together they are one linear layer",
        "put an activation between them, or leave one of them out",
    ),
    "activations_collapse": Fault(
        "warning",
        "the activations shrink from layer to layer until all samples look alike",
        "larger weights: init.xavier_normal_ for tanh, init.kaiming_normal_ for ReLU; or batch norm",
    ),
    "vanishing_gradients": Fault(
        "warning",
        "the gradient vanishes on its way back to the first layer",
        "larger weights (init.xavier_normal_ for tanh, init.kaiming_normal_ for ReLU), ReLU instead of "
        "sigmoid, batch norm, residual connections, fewer layers",
    ),
    "exploding_gradients": Fault(
        "warning",
        "the gradient explodes on its way back to the first layer",
        "smaller weights (init.xavier_normal_, init.kaiming_normal_), batch norm, clip_grad_norm_",
    ),
    # --- learning
    "cannot_overfit": Fault(
        "error",
        "the model cannot learn {samples} samples by heart",
        "mend what was found above first; else look for equal samples with different labels, a layer too "
        "narrow, an activation at the output, a gradient that does not arrive: more training cannot help",
    ),
    "too_simple": Fault(
        "note",
        "one linear layer cannot learn {samples} samples by heart",
        "it learns only what a plane separates; put a hidden layer before it for more",
    ),
    "lr_too_high": Fault(
        "warning",
        "the learning rate {rate:.1e} is too high",
        "lower it by 10, or take the range test's suggestion; warm-up and clip_grad_norm_ help with large "
        "rates",
    ),
    "lr_too_low": Fault(
        "warning",
        "the learning rate {rate:.1e} is too low: the loss hardly moves",
        "raise it by 100, or take the range test's suggestion",
    ),
    # --- curves
    "overfitting": Fault(
        "warning",
        "training rises and validation falls",
        "stop at the best pass (EarlyStopping), then regularise, augment, or collect more data",
    ),
    "diverged": Fault(
        "error",
        "the loss is not a number any more",
        "lower the rate, clip the gradient, look for log(0) and 1/0",
    ),
}
