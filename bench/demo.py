"""The main job, shown: a big index is imported, four processes sync at once, a compactor folds behind them.

    python bench/demo.py            everything in .demo/, removed at the end
    python bench/demo.py --keep     leaves .demo/ to look at

Everything runs on the embedded local store through the ``swamp`` command, as a user would call it. The figures are of
this run; the exit code is 0 only if every sync succeeded and everything pushed was found in the store.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swampstore.testing.legacy_tree import Shape, make_index

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"
NAMESPACE = "pipeline"
STARTER = """
import sys
from swampstore_cli.main import run  # the interpreter and the command line are loaded; the sync itself is not
print("ready", flush=True)
sys.stdin.readline()
run()
"""


class Demo:
    """One run. ``env`` keeps the user's own settings, stores and caches out of it."""

    def __init__(self, folder: Path, entries: int, syncs: int, files: int) -> None:
        self.folder = folder
        self.entries, self.syncs, self.files = entries, syncs, files
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("SWAMP_", "AWS_"))}
        self.env = {
            **kept,
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self.failures: list[str] = []

    def swamp(self, *arguments: str | Path) -> Any:
        """The JSON result of one ``swamp`` command; a failure ends the demo with the command's own words."""
        line = [sys.executable, "-m", "swampstore_cli", *map(str, arguments), "--json"]
        done = subprocess.run(line, env=self.env, text=True, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f"\nswamp {' '.join(map(str, arguments))} failed ({done.returncode}):\n{done.stderr}")
        return json.loads(done.stdout)

    def show(self, *arguments: str) -> None:
        """Run a ``swamp`` command and show what it prints for people."""
        print(f"  $ swamp {' '.join(arguments)}", flush=True)
        line = [sys.executable, "-m", "swampstore_cli", *arguments]
        done = subprocess.run(line, env=self.env, text=True, capture_output=True, check=False)
        for text in (done.stdout + done.stderr).splitlines():
            print(f"    {text}")

    def repo(self, name: str, like: Path | None = None) -> Path:
        """A repo with new, small files; with ``like`` a copy of that one, so one that has synced before."""
        repo = self.folder / name
        if like is not None:
            shutil.copytree(like, repo)
        tree = repo / ".swamp" / "data" / "demo" / name
        tree.mkdir(parents=True)
        for number in range(self.files):
            body = json.dumps({"from": name, "number": number, "pad": "x" * (number * 97 % 1500)})
            (tree / f"result-{number:03d}.json").write_text(body)
        return repo

    def release(self, repos: Sequence[Path]) -> list[dict[str, Any]]:
        """Sync all ``repos`` at once, one process each: started, then released together. One report per repo."""
        common = ("--push", "--json", "--namespace", NAMESPACE)
        running = [
            subprocess.Popen(
                [sys.executable, "-c", STARTER, "datastore", "sync", *common, "--repo-dir", str(repo)],
                env=self.env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for repo in repos
        ]  # fmt: skip
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        began = time.perf_counter()
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return self._await_all(dict(zip(repos, running, strict=True)), began)

    def _await_all(self, running: dict[Path, subprocess.Popen[str]], began: float) -> list[dict[str, Any]]:
        ended: dict[Path, float] = {}
        while len(ended) < len(running):
            for repo, process in running.items():
                if repo not in ended and process.poll() is not None:
                    ended[repo] = time.perf_counter() - began
            time.sleep(0.001)
        reports = []
        for repo, process in running.items():
            out, errors = process.communicate()
            report = json.loads(out) if process.returncode == 0 else {"pushed": 0}
            if process.returncode or report["pushed"] != self.files:
                self.failures.append(f"{repo.name}: exit {process.returncode}, pushed {report['pushed']}: {errors}")
            reports.append({"name": repo.name, "wall_s": ended[repo], "code": process.returncode, **report})
        return reports


def say(text: str = "") -> None:
    print(text, flush=True)


def title(number: int, text: str) -> None:
    say(f"\n{number}. {text}")


def play(demo: Demo) -> None:
    """The whole story, told on standard output."""
    title(1, f"A legacy datastore: one index of {demo.entries:,} entries, rewritten by every write")
    began = time.perf_counter()
    legacy = demo.folder / "legacy"
    base = make_index(legacy, demo.entries, Shape(namespace=NAMESPACE))
    mark = {"namespace": NAMESPACE, "repoId": "demo", "registeredAt": "2026-06-01T00:00:00.000Z"}
    (base / ".namespace.json").write_text(json.dumps(mark))
    size = (base / ".datastore-index.json").stat().st_size
    say(f"  generated {size / 1e6:.0f} MB of index in {time.perf_counter() - began:.1f} s")

    title(2, "Import it into the embedded store (the index is trusted, contents are not looked for)")
    say(f"  $ swamp datastore import {demo.folder.name}/legacy --index-only --namespace {NAMESPACE}")
    began = time.perf_counter()
    report = demo.swamp("datastore", "import", legacy, "--index-only", "--namespace", NAMESPACE)
    seconds, manifest = time.perf_counter() - began, report["manifest_bytes"]
    say(f"  {report['imported']:,} entries in {seconds:.1f} s; the manifest takes {manifest / 1e6:.1f} MB,")
    say(f"  {size / manifest:.0f} times less than the JSON, in shards that change one by one")

    title(3, f"A compactor in the background, and one repo alone, to compare with ({demo.files} new files a sync)")
    say("  $ swamp datastore compact --watch &")
    log = (demo.folder / "compactor.log").open("w+")
    watcher = subprocess.Popen(
        [sys.executable, "-m", "swampstore_cli", "datastore", "compact", "--watch", "--interval", "0.3"],
        env=demo.env, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        say("  $ swamp datastore sync --push")
        first = demo.repo("first")
        (lone,) = demo.release([first])
        say(f"  first sync:  {lone['wall_s']:.2f} s (a new repo; with its interpreter started for it, as all of these)")
        (lone,) = demo.release([demo.repo("alone", first)])
        say(
            f"  from then on {lone['wall_s']:.2f} s, pushed {lone['pushed']} files in {lone.get('appends', 0)} append(s)"
        )
        demo.show("datastore", "status")

        title(4, f"{demo.syncs} syncs at once, each with {demo.files} new files, released together; no lock anywhere")
        reports = demo.release([demo.repo(f"repo-{number}", first) for number in range(1, demo.syncs + 1)])
        for each in reports:
            state = "ok" if each["code"] == 0 else f"FAILED ({each['code']})"
            say(f"  {each['name']}:   {each['wall_s']:.2f} s, pushed {each['pushed']} files  {state}")
        slowest = max(each["wall_s"] for each in reports)
        good = sum(each["code"] == 0 for each in reports)
        say(f"  {good} of {len(reports)} succeeded; the slowest took {slowest / lone['wall_s']:.1f} times the lone one")
        say(f"  ({os.cpu_count()} processors for {len(reports)} processes and the compactor)")
        _wait_until_folded(demo)
    finally:
        watcher.send_signal(signal.SIGTERM)
        watcher.wait()
    title(5, "Meanwhile the compactor")
    log.seek(0)
    for text in log.read().splitlines():
        say(f"    {text}")
    log.close()
    demo.show("datastore", "status")
    _check(demo)


def _wait_until_folded(demo: Demo, seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        (state,) = demo.swamp("datastore", "status")["namespaces"]
        if not state["log_depth"]:
            return
        time.sleep(0.3)
    demo.failures.append(f"the log was not folded within {seconds:.0f} s")


def _check(demo: Demo) -> None:
    """Everything pushed must be there."""
    wanted = (demo.syncs + 2) * demo.files
    listed = demo.swamp("object", "list", "data/demo/", "--namespace", NAMESPACE)
    found = len(listed["entries"])
    say(f"\n  {found:,} of {wanted:,} pushed files are in the namespace")
    if found != wanted:
        demo.failures.append(f"{wanted - found} pushed files are missing")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of the demo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=262_000, help="size of the imported index")
    parser.add_argument("--syncs", type=int, default=4, help="how many sync at once")
    parser.add_argument("--files", type=int, default=25, help="new files of each")
    parser.add_argument("--keep", action="store_true", help="leave .demo/ behind")
    parser.add_argument("--folder", type=Path, default=DEMO, help="a new folder to work in instead of .demo/")
    chosen = parser.parse_args(argv)
    folder: Path = chosen.folder.resolve()
    if folder == DEMO:
        shutil.rmtree(DEMO, ignore_errors=True)  # what an earlier run with --keep has left
    folder.mkdir()
    demo = Demo(folder, chosen.entries, chosen.syncs, chosen.files)
    began = time.perf_counter()
    try:
        play(demo)
    except KeyboardInterrupt:
        say("\ninterrupted")
        return 130
    finally:
        if chosen.keep:
            say(f"\nleft in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for failure in demo.failures:
        say(f"FAILED: {failure}")
    say(f"\n{'failed' if demo.failures else 'done'} in {time.perf_counter() - began:.0f} s")
    return 1 if demo.failures else 0


if __name__ == "__main__":
    sys.exit(main())
