"""A process of ``swamp bench``: told what to do on standard input, line by line, and answering on standard output.

    > prepare      make the namespace ready        < prepared
    > warm         open the store                  < ready
    > go           work                            < done N (now and then), result [...]
    > (the end)    the command is gone: end at once, whatever is in flight

The janitor (``janitor`` in place of a number) waits for the end of its input, which every process of the run holds open,
so it comes when the last of them is gone, however it went: then it removes the namespace and the folder, and answers ``removed N``.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from queue import SimpleQueue

import msgspec

from swampstore.client.blocking import Datastore
from swampstore.client.blocking import open as open_store
from swampstore.errors import SwampError
from swampstore_cli.bench.job import Job, decode_job, encode_samples
from swampstore_cli.bench.measure import Runner

TOLD_S = 0.5


def main(number: str) -> int:
    """Run as process ``number``, or as the janitor; the job is the first line of the input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's business; it tells by closing the input
    job = decode_job(sys.stdin.buffer.readline() or b"null")
    if number == "janitor":
        return tidy(job)
    return work(job, int(number))


def opened(job: Job) -> Datastore:
    """The store of the job."""
    return open_store(job.store, timeout=job.timeout)


def work(job: Job, number: int) -> int:
    """Follow the orders. An error that ends the run is told as ``failed {...}``."""
    runner = Runner(job, number, lambda: opened(job))
    orders: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    steps = {"prepare": ("prepared", runner.prepare), "warm": ("ready", runner.warm)}
    try:
        while (order := orders.get()) != "go":
            answer, act = steps[order]
            act()
            say(answer)
        threading.Thread(target=_tell, args=(runner,), daemon=True).start()
        samples = runner.run()
        runner.close()
    except SwampError as error:
        say(f"failed {_told(error)}")
        return 1
    say(f"result {encode_samples(samples).decode()}")
    return 0


def _listen(orders: SimpleQueue[str]) -> None:
    for line in iter(sys.stdin.readline, ""):
        orders.put(line.strip())
    os._exit(1)  # the command is gone


def _told(error: SwampError) -> str:
    return msgspec.json.encode({**error.describe(), "exit": error.exit_code}).decode()


def _tell(runner: Runner) -> None:
    while True:
        time.sleep(TOLD_S)
        say(f"done {runner.done}")


_saying = threading.Lock()


def say(line: str) -> None:
    """One line to the command; nobody listens when it is gone."""
    with _saying:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def tidy(job: Job) -> int:
    """When everybody is gone: remove what the run has made. Answers ``removed N``, or ``failed {...}``."""
    sys.stdin.read()
    shutil.rmtree(job.folder, ignore_errors=True)
    try:
        with opened(job) as store:
            removal = store.delete_namespace(job.namespace, dry_run=False)
    except SwampError as error:
        answer = f"failed {_told(error)}"
    else:
        answer = f"removed {removal.objects}"
    try:
        say(answer)
    except BrokenPipeError:
        os._exit(0)  # the command is gone
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
