"""No decoder is forgotten: every function of the product that calls a parser is reached by a target, or named here."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from swampstore.errors import SwampError
from tests.fuzz import decoders
from tests.fuzz.targets import targets

ROOT = Path(__file__).resolve().parents[2]
LARGE = "tests/fuzz/test_bombs.py::test_every_bomb_is_refused_in_little_memory"
ELSEWHERE = {
    "swampstore.values.entry._check_large": LARGE,
    "swampstore.values.root.too_many": LARGE,
    "swampstore.workers.sync.state.State.notes": "tests/security/test_hostile_state.py::test_any_value_in_any_column",
    "swampstore_cli.commands.data_get._content": "tests/security/test_hostile_documents.py::test_json_that_no_reader_takes_is_shown_as_text",
    "swampstore.protocols.data.DataView.by_id": "tests/data/test_bad_input.py::test_what_names_no_version",
}
"""Those that only very large objects reach, or that are part of something larger, with the test that attacks them."""
NOT_HOSTILE = {
    "swampstore.workers.doctor.deep_contents.Contents._chosen",  # a hash of its own
    "swampstore_cli.bench.crew.Told.__init__",  # what the processes of its own run say
}


def test_every_function_that_parses_is_fuzzed() -> None:
    found = decoders.sites()
    assert len(found) > 60
    held = targets()

    def seeds() -> None:
        for target in held.values():
            for data in target.seeds:
                with suppress(SwampError):
                    target.run(data)

    met = decoders.reached(seeds)
    assert {name for site, name in found.items() if site not in met} == ELSEWHERE.keys() | NOT_HOSTILE


def test_what_is_attacked_elsewhere_is_there() -> None:
    for found in ELSEWHERE.values():
        file, _, test = found.partition("::")
        assert f"def {test}(" in (ROOT / file).read_text("utf-8"), found
