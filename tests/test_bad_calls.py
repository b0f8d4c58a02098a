"""Bad calls are refused with the right exception, in one sentence that says what was wrong, at once."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from tests.bad_calls import BAD_CALLS, STRICTER, names

CALLS = {text: (error, words) for text, error, words in [*BAD_CALLS, *STRICTER]}


@pytest.mark.parametrize("text", CALLS)
@pytest.mark.timeout(10)
@np.errstate(all="ignore")
def test_is_refused(text):
    error, words = CALLS[text]
    with pytest.raises(error) as caught:
        exec(text, names(pynet))
    assert words in str(caught.value)


def test_there_are_enough():
    assert len(CALLS) == len(BAD_CALLS) + len(STRICTER) >= 300
