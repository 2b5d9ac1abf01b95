"""``python -m tests.sim SEED`` plays one seed again; with ``--trace`` every step; ``python -m tests.sim FIRST LAST`` a range, LAST not
included.

A seed that fails is printed with its plan, its problem, and the smallest cast that fails still.
"""

from __future__ import annotations

import logging
import sys
import time

from tests.sim.mix import failure, plan_of, play, shrink


def main(words: list[str]) -> int:
    logging.getLogger("swampstore").setLevel(logging.CRITICAL)  # what the processes complain of is what they are given
    tracing = "--trace" in words
    numbers = [int(word) for word in words if word != "--trace"]
    if len(numbers) not in (1, 2) or numbers != sorted(set(numbers)):
        print(__doc__, file=sys.stderr)
        return 2
    if len(numbers) == 1:
        return _one(numbers[0], tracing=tracing)
    failed, began = 0, time.process_time()
    for seed in range(numbers[0], numbers[1]):
        if problem := failure(plan_of(seed)):
            failed += 1
            print(f"{plan_of(seed)}\n  => {problem}", flush=True)
    count = numbers[1] - numbers[0]
    print(f"{count} seeds, {failed} failed, {(time.process_time() - began) * 1000 / max(count, 1):.1f} ms each")
    return int(failed > 0)


def _one(seed: int, *, tracing: bool) -> int:
    plan, lines = plan_of(seed), list[str]()
    print(plan)
    try:
        played = play(plan, trace=lines if tracing else None)
    except Exception as error:  # noqa: BLE001 (code that falls over has failed too)
        print("\n".join(lines))
        print(f"  => {type(error).__name__}: {error}")
        smallest = shrink(plan)
        print(f"smallest: {smallest}\n  => {failure(smallest)}")
        return 1
    print("\n".join(lines))
    print(f"  ok: {played}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
