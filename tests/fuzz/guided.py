"""Coverage-guided fuzzing with atheris, in an environment of its own: ``make fuzz SECONDS=600``.

The first byte of an input chooses the target, the rest is for it. Half of the mutations are those of
:mod:`tests.fuzz.mutate`, which keep checksums and lengths right; half are the fuzzer's own. What comes out as anything but
``SwampError`` ends the run, and the input is kept in a file that the message names.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["swampstore", "swampstore_cli"]):
    from swampstore.errors import SwampError
    from tests.fuzz.targets import Target, targets

TARGETS: list[Target] = list(targets().values())
RSS_MB = 512
INPUT_S = 5
LENGTH = 1 << 16
FOUND = Path("build") / "fuzz"


def chosen(data: bytes) -> Target:
    return TARGETS[data[0] % len(TARGETS)]


def test_one(data: bytes) -> None:
    """One input."""
    if data:
        try:
            chosen(data).run(data[1:])
        except SwampError:
            return


def mutate(data: bytes, size: int, seed: int) -> bytes:
    """One mutation of ``data``."""
    dice = random.Random(seed)
    if not data or dice.random() < 0.5:
        return bytes(atheris.Mutate(data, size))
    target = chosen(data)
    body = data[1:] if dice.random() < 0.7 else dice.choice(target.seeds)
    try:
        return (data[:1] + target.mutate(body, dice))[:size]
    except Exception:  # noqa: BLE001 - the mutator met what is no frame any more: begin with one that is
        return (data[:1] + target.mutate(dice.choice(target.seeds), dice))[:size]


def main(seconds: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpus"
        corpus.mkdir()
        for number, target in enumerate(TARGETS):
            for at, seed in enumerate(target.seeds):
                (corpus / f"{number}-{at}").write_bytes(bytes([number]) + seed)
        FOUND.mkdir(parents=True, exist_ok=True)
        limits = [
            f"-artifact_prefix={FOUND}/",
            f"-rss_limit_mb={RSS_MB}",
            f"-timeout={INPUT_S}",
            f"-max_len={LENGTH}",
            f"-max_total_time={seconds}",
        ]
        atheris.Setup(
            [sys.argv[0], *limits, "-verbosity=0", "-print_final_stats=1", str(corpus)], test_one, custom_mutator=mutate
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1])
