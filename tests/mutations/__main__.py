"""``python -m tests.mutations`` prints the gallery: fault, caught by, seeds needed. ``--markdown``; or NAME of one fault.

``--most N`` bounds the worlds played per fault (400).
"""

from __future__ import annotations

import logging
import sys
import time

from tests.mutations.gallery import FAULTS
from tests.mutations.hunt import hunt

HEAD = ("fault", "what it breaks", "caught by", "seeds needed")


def main(words: list[str]) -> int:
    logging.getLogger("swampstore").setLevel(logging.CRITICAL)  # what the processes complain of is what they are given
    most = int(words[words.index("--most") + 1]) if "--most" in words else 400
    named = [word for word in words if word in FAULTS]
    missed = 0
    markdown = "--markdown" in words
    line = "| {} | {} | {} | {} |" if markdown else "{:42} {:8} {:>6}  {}"
    if markdown:
        print(line.format(*HEAD) + "\n|---|---|---|--:|")
    for fault in [FAULTS[name] for name in named] or FAULTS.values():
        began = time.process_time()
        caught = hunt(fault, most=most)
        missed += caught.seed is None
        by = "nobody" if caught.seed is None else "simulation"
        if caught.seed is not None and fault.model:
            by += f", model `{fault.model}`" if markdown else ", model"
        spent = time.process_time() - began
        if markdown:
            print(line.format(fault.name, fault.breaks, by, caught.played))
        else:
            print(
                f"{fault.name:42} {by:18} {caught.played:5}  {spent:6.1f} s  seed {caught.seed}: {caught.problem[:150]}",
                flush=True,
            )
    print(f"\n{len(named or FAULTS) - missed} of {len(named or FAULTS)} caught")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
