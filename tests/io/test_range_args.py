"""Lists as people write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ip2p_cli.errors import UsageError
from ip2p_cli.io.range_args import MAX_VALUES, plain, read_numbers, read_range, read_seeds

seeds = st.integers(0, 2**63 - 1)


@given(st.integers(1, MAX_VALUES), st.integers(0, 2**32))
def test_a_number_alone_is_how_many(count: int, first: int) -> None:
    assert read_seeds(str(count), first) == tuple(range(first, first + count))


@given(st.lists(seeds, min_size=1, max_size=20), st.sampled_from([",", ", ", " ,"]))
def test_a_list_is_those_each_once(wanted: list[int], comma: str) -> None:
    assert read_seeds(comma.join(map(str, wanted)) + ",") == tuple(dict.fromkeys(wanted))


@given(seeds, st.integers(0, MAX_VALUES - 1), st.integers(0, 5))
def test_a_range_holds_both_ends(first: int, more: int, other: int) -> None:
    last = min(first + more, 2**63 - 1)
    assert read_seeds(f"{first}..{last}") == tuple(range(first, last + 1))
    assert other in read_seeds(f"{other},{first}..{last - 1 if last > first else last}")


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (read_seeds, lambda t: read_numbers(t, "--steps", whole=True), lambda t: read_range(t, "--cfg-text")):
        with contextlib.suppress(UsageError):  # any other error fails
            assert 1 <= len(read(text)) <= MAX_VALUES


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30))
def test_numbers_come_back(wanted: list[float]) -> None:
    assert read_numbers(",".join(map(repr, wanted)), "--cfg-text") == tuple(dict.fromkeys(wanted))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_plain_is_the_number(number: float) -> None:
    assert float(plain(number)) == number


@given(st.floats(0, 100), st.floats(0, 100))
def test_ranges(low: float, high: float) -> None:
    if low <= high:
        assert read_range(f"{low!r}..{high!r}", "--cfg-text") == (low, high)
    else:
        with pytest.raises(UsageError, match="smaller to the larger"):
            read_range(f"{low!r}..{high!r}", "--cfg-text")


@pytest.mark.parametrize(
    "wrong", ["0", "-1", "1001", "99999999999999999999", "1..2000", "9..3", "1,,2", "", ",", "x", "1.5,2", f"{2**63},"]
)
def test_impossible_seeds(wrong: str) -> None:
    with pytest.raises(UsageError, match="--seeds"):
        read_seeds(wrong)


@pytest.mark.parametrize("wrong", ["nan,1", "inf", "a", "1,,2", ",".join(map(str, range(1001)))])
def test_impossible_numbers(wrong: str) -> None:
    with pytest.raises(UsageError, match="--cfg-text"):
        read_numbers(wrong, "--cfg-text")
