"""Tickets and the register: the finished set against a set, decoders against noise, absurd arguments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swampstore.errors import BadName, Damaged, Misuse
from swampstore.limits import QUEUE_CAPACITY, QUEUE_NAME_BYTES
from swampstore.values.tickets import (
    QueueRegister,
    Sign,
    Ticket,
    check_capacity,
    check_purpose,
    check_queue,
    check_seconds,
    decode_register,
    decode_sign,
    decode_ticket,
    encode_register,
    encode_sign,
    encode_ticket,
)

numbers = st.integers(1, 30)


def finished(order: list[int], capacity: int = 1) -> QueueRegister:
    register = QueueRegister("q", b"n" * 12, capacity)
    for number in order:
        register = register.finish(number)
    return register


@given(st.lists(numbers, max_size=40), st.integers(1, 5), numbers)
def test_the_finished_set_is_a_set(order: list[int], capacity: int, number: int) -> None:
    register, model = finished(order, capacity), set(order)
    below = [k for k in range(1, number) if k not in model]
    assert register.is_finished(number) == (number in model)
    assert register.unfinished_below(number) == len(below)
    assert list(register.unfinished(number)) == below
    assert register.granted(number) == (number not in model and len(below) < capacity)
    assert decode_register(encode_register(register), "r") == register
    assert register.finish(number).finish(number) == register.finish(number)


@given(st.lists(numbers, unique=True, max_size=30), st.integers(1, 4))
def test_never_more_granted_than_the_capacity(order: list[int], capacity: int) -> None:
    register = finished(order, capacity)
    assert sum(register.granted(number) for number in range(1, 60)) == capacity


@given(st.permutations(range(1, 9)))
def test_the_order_of_ending_does_not_matter_and_leaves_no_ranges(order: list[int]) -> None:
    assert finished(order) == finished(sorted(order))
    assert (finished(order).floor, finished(order).ranges) == (8, ())


TICKET = Ticket("q", 7, b"i" * 12, "host", 1, 5, "why", 3.0)
GOOD = [
    (decode_ticket, encode_ticket(TICKET)),
    (decode_sign, encode_sign(Sign(b"t" * 8, 1, 2))),
    (decode_register, encode_register(QueueRegister("q", b"n" * 12, 4, 3, ((5, 6), (9, 9))))),
]


@pytest.mark.parametrize(("decode", "data"), GOOD, ids=["ticket", "sign", "register"])
def test_any_broken_byte_is_a_typed_error_that_names_the_object(decode: Any, data: bytes) -> None:
    decode(data, "ok")
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 0x55
        with pytest.raises(Damaged, match="the-name"):
            decode(bytes(broken), "the-name")
        with pytest.raises(Damaged, match="the-name"):
            decode(data[:at], "the-name")


@given(st.binary(max_size=200), st.integers(0, 2), st.booleans())
def test_noise_is_a_typed_error(noise: bytes, which: int, framed: bool) -> None:
    from swampstore.values.frame import Kind, pack

    decode, _ = GOOD[which]
    data = pack([Kind.TICKET, Kind.SIGN, Kind.REGISTER][which], 1, noise) if framed else noise
    with pytest.raises(Damaged):
        decode(data, "x")


@pytest.mark.parametrize(
    "register",
    [
        QueueRegister("q", b"", 0),
        QueueRegister("q", b"", QUEUE_CAPACITY + 1),
        QueueRegister("q", b"", 1, -1),
        QueueRegister("q", b"", 1, 5, ((6, 7),)),
        QueueRegister("q", b"", 1, 0, ((3, 2),)),
        QueueRegister("q", b"", 1, 0, ((5, 9), (7, 12))),
        QueueRegister("q", b"", 1, 0, ((5, 9), (3, 3))),
    ],
)
def test_a_register_that_cannot_be_is_damage(register: QueueRegister) -> None:
    with pytest.raises(Damaged):
        decode_register(encode_register(register), "r")


@pytest.mark.parametrize("name", ["", "x" * (QUEUE_NAME_BYTES + 1), "\ud800", None, 5, b"x"])
def test_bad_names_are_refused(name: Any) -> None:
    with pytest.raises(BadName):
        check_queue(name)


@pytest.mark.parametrize("name", ["x", "../../etc/passwd", "a\0b", "\n\x1b[2J", "é" * 512, " ", "'; rm -rf"])
def test_any_other_text_is_a_name(name: str) -> None:
    assert check_queue(name) == name


@pytest.mark.parametrize("capacity", [0, -1, True, 1.5, "4", None, QUEUE_CAPACITY + 1, 10**30])
def test_absurd_capacities_are_refused(capacity: Any) -> None:
    with pytest.raises(Misuse):
        check_capacity(capacity)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), True, "5", 1e30])
def test_absurd_spans_are_refused(seconds: Any) -> None:
    with pytest.raises(Misuse):
        check_seconds("deadline", seconds)
    check_seconds("deadline", None)
    check_seconds("deadline", 0)


@pytest.mark.parametrize("purpose", ["x" * 2000, "\ud800", 5, None])
def test_absurd_purposes_are_refused(purpose: Any) -> None:
    with pytest.raises(Misuse):
        check_purpose(purpose)
