"""A process of ``swamp bench``: told what to do on standard input, line by line, and answering on standard output.

    > {...}        the job
    > prepare      make the namespace ready        < prepared
    > warm         open the store                  < ready
    > go           work                            < done N (now and then), result [...]
    > (the end)    the command is gone, or done with it: finish what is in flight, begin no more, and end

The end comes at any time, also in place of the job, and is met in silence. The janitor is in :mod:`.janitor`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from queue import SimpleQueue

from swampstore.client.blocking import open as open_store
from swampstore.errors import SwampError
from swampstore_cli.bench.job import STOP_S, Job, decode_job, encode_samples, told
from swampstore_cli.bench.measure import Runner

TOLD_S = 0.5


def main(number: str) -> int:
    """Run as process ``number``, or as the janitor; the job is the first line of the input."""
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return 0  # the command was gone before it could say what to do
    job = decode_job(line)
    if number == "janitor":
        from swampstore_cli.bench.janitor import tidy

        say(tidy(job, {int(pid) for pid in sys.stdin.read().split()}))
        return 0
    return work(job, int(number))


def work(job: Job, number: int) -> int:
    """Follow the orders. An error that ends the run is told as ``failed {...}``."""
    runner = Runner(job, number, lambda: open_store(job.store, timeout=job.timeout))
    orders: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(orders, runner), daemon=True).start()
    steps = {"prepare": ("prepared", runner.prepare), "warm": ("ready", runner.warm)}
    try:
        while (order := orders.get()) in steps:
            answer, act = steps[order]
            act()
            say(answer)
        samples = []
        if order == "go":
            threading.Thread(target=_tell, args=(runner,), daemon=True).start()
            samples = runner.run()
        runner.close()
    except SwampError as error:
        say(f"failed {told(error)}")
        return 1
    say(f"result {encode_samples(samples).decode()}")
    return 0


def _listen(orders: SimpleQueue[str], runner: Runner) -> None:
    for line in iter(sys.stdin.readline, ""):
        orders.put(line.strip())
    runner.stop()
    orders.put("end")
    time.sleep(STOP_S)
    os._exit(1)  # it does not come to an end by itself: what it leaves behind is the janitor's


def _tell(runner: Runner) -> None:
    while True:
        time.sleep(TOLD_S)
        say(f"done {runner.done}")


_saying = threading.Lock()


def say(line: str) -> None:
    """One line to the command; nobody listens when it is gone."""
    with _saying:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # what is not out yet goes nowhere, now and when the interpreter ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
