"""What the table of bad calls says of PyTorch: it refuses the first list too, and takes the second."""

from __future__ import annotations

import warnings

import pytest

from tests.bad_calls import BAD_CALLS, STRICTER, names
from tests.parity.case import libraries


def call(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(text, names(libraries("torch")["torch"]))


@pytest.mark.parametrize("text", [text for text, _, _ in BAD_CALLS])
def test_pytorch_refuses_too(text):
    with pytest.raises(Exception):  # noqa: B017 - which one is PyTorch's business
        call(text)


@pytest.mark.parametrize("text", [text for text, _, _ in STRICTER])
def test_pytorch_takes(text):
    call(text)
