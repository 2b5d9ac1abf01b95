"""Hostile bytes: every decoder, whole stores, and what was found before. ``make fuzz`` goes on from here."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swampstore.errors import CorruptObject, SwampError, TooLarge
from swampstore.limits import COMMIT_KEYS_BYTES
from swampstore.stores.memory import MemoryStore
from swampstore.values.root import RunRef
from swampstore.values.run import index_span
from tests.fuzz.engine import Result, feed
from tests.fuzz.targets import Target, targets
from tests.fuzz.worlds import visit
from tests.golden.store import GoldenEnv, opened

INPUTS = 150
FOUND = {
    "block": (96, 173, 306),  # versions too short to be taken apart
    "url": (259,),  # brackets that are no address
    ".swamp.yaml": (315, 865, 3496),  # a home of nobody; deep nesting, and slow
    "export mark": (3000,),  # deep nesting
}
"""Seeds that once broke something. The dice may fall otherwise by now; what they found is tested elsewhere too."""
WORLDS = (7, 69, 939)


@pytest.mark.parametrize("name", targets())
def test_every_decoder(name: str) -> None:
    result = Result()
    for seed in (*range(INPUTS), *FOUND.get(name, ())):
        feed(targets()[name], seed, result)
    assert not result.faults
    assert result.inputs >= INPUTS


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(list(targets().values())), st.binary(max_size=300))
def test_any_bytes(target: Target, data: bytes) -> None:
    try:
        target.run(data)
    except SwampError:
        return


def test_the_engine_finds_what_is_there() -> None:
    """The canary: a decoder that lets an error of its own out."""

    def weak(data: bytes) -> None:
        if len(data) > 5:
            raise KeyError("mine")

    result = Result()
    feed(Target("weak", [b"longer"], lambda data, dice: data, weak), 1, result)
    assert list(result.faults.values()) == [1]


@pytest.mark.parametrize("seed", [*range(20), *WORLDS])
def test_a_store_with_one_hostile_object(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL, "swampstore"):
        visit(seed)


@pytest.mark.parametrize("body", [b'{"version": 1, "entries": {"a\xed": 1}}', b"\xff", b'{"version": "\xed\xb3"}'])
def test_a_legacy_index_that_is_no_text(body: bytes) -> None:
    """Found by coverage: the parser's own error for bytes that are not UTF-8."""
    with pytest.raises(CorruptObject):
        targets()["legacy index"].run(body)


def test_an_update_whose_keys_no_reader_could_decode_is_refused() -> None:
    """It was acknowledged, and its segment refused by every reader: the header held more than a decoder takes."""
    env = GoldenEnv(1)
    ns = opened(MemoryStore(env), env)
    keys = [f"{number:05d}/" + "k" * 900 for number in range(COMMIT_KEYS_BYTES // 900)]
    with pytest.raises(TooLarge):
        ns.update(keys, lambda held: {keys[0]: b"x"})
    ns.update(keys[:1000], lambda held: {keys[0]: b"x"})
    with ns.lock("deploy") as held, pytest.raises(TooLarge):
        held.put_many(dict.fromkeys(keys, b"y"))
    assert ns.read(keys[0]) == b"x"


@pytest.mark.parametrize(("size", "at"), [(100, -1), (100, 90), (-5, 0), (0, 0)])
def test_a_reference_to_a_run_that_cannot_be_is_corrupt(size: int, at: int) -> None:
    """It was taken for a fault of the caller: the span that was asked for was none."""
    ref = RunRef("a", "b", "shard/x", size, at, 1, 0, b"", 0, 0)
    with pytest.raises(CorruptObject, match="shard/x"):
        index_span(ref)


@pytest.mark.prove
def test_many_seeds() -> None:
    """In a process of its own: its memory is limited."""
    code = "import sys; from tests.fuzz.engine import *; sys.exit(0 if show(fuzz(60, [], first_seed=10**6)) else 1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prove
def test_guided_by_coverage() -> None:
    python = Path(".venv-fuzz/bin/python").absolute()
    if not python.exists() and importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: make fuzz installs it")
    program = str(python) if python.exists() else sys.executable
    done = subprocess.run(
        [program, "-m", "tests.fuzz.guided", "30"], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
