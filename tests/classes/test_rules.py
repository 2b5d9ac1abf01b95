"""Prefixes that are given a class: whoever reads the log applies them, whatever the writer knew."""

from __future__ import annotations

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.protocols.settings import change_settings
from swampstore.values.classes import SETTING, ClassRules, as_ephemeral, check_rules, expired_as, rules_of
from swampstore.values.entry import EPHEMERAL, Inline, Meta, put_record
from swampstore.values.version import make_version
from tests.classes.support import DAY_S, Process, World


def settle(process: Process, rules: dict[str, str]) -> None:
    run(change_settings(process.place, process.register, lambda old: {**old, SETTING: check_rules(rules)}))


def test_a_rule_holds_for_writers_that_do_not_know_it(world: World) -> None:
    process, other = world.process(), world.process()
    process.put("k", b"1")
    process.fold()
    settle(process, {"run/": "ephemeral", "run/kept": "indexed"})
    version = other.put("run/1", b"1")
    other.put("run/kept/1", b"1")
    other.put("runner/1", b"1")
    for _ in range(2):
        entry = process.get("run/1")
        assert entry is not None
        assert entry.record_class == "ephemeral"
        assert entry.version == version
        assert 0 < entry.expires - world.env.wall <= DAY_S * 1000
        for key in ("run/kept/1", "runner/1"):
            kept = process.get(key)
            assert kept is not None
            assert kept.record_class == "indexed"
        process.fold()
    assert process.root.entries == 3
    other.delete("run/1")
    process.fold()
    assert process.root.entries == 3
    assert process.get("run/1") is None


@pytest.mark.parametrize(
    "key",
    ["run/../data/1", "run//1", "/run/1", "run/./1", "run\\1", "run/\0x", "run/", "runner", "data/run/1", "Run/1"],
)
def test_a_key_that_is_not_what_it_seems_is_under_no_rule(key: str) -> None:
    rules = ClassRules({"run": "ephemeral"})
    assert rules.class_of(key) == "indexed"
    assert rules.class_of("run/1") == rules.class_of("run") == "ephemeral"


@pytest.mark.parametrize("settings", [{}, {SETTING: 3}, {SETTING: {"run": "soft"}}, {SETTING: {"run": ["x"]}}])
def test_what_an_unknown_program_set_counts_for_nothing(settings: dict[str, object]) -> None:
    assert not rules_of(settings)


def test_classifying_twice_changes_nothing() -> None:
    version = make_version(5 << 16, b"w" * 12, 1)
    record = put_record("run/1", version, Meta(size=1, at=Inline(b"x"), base=version))
    once = as_ephemeral(record)
    assert once.flags == EPHEMERAL
    assert as_ephemeral(once) == once
    shadow = expired_as(once)
    assert shadow.gone
    assert shadow.version > once.version
    assert shadow.version < make_version(5 << 16, b"w" * 12, 2)


def test_settings_of_others_are_kept_and_a_lost_race_is_tried_again(world: World) -> None:
    process, other = world.process(), world.process()
    process.put("k", b"1")
    process.fold()
    run(change_settings(other.place, other.register, lambda old: {**old, "theirs": 1}))
    calls = []

    def before(verb: str, name: str) -> None:
        if verb == "put" and not calls:
            calls.append(1)
            world.store.before = lambda verb, name: None
            run(change_settings(other.place, other.register, lambda old: {**old, "more": 2}))

    world.store.before = before
    settle(process, {"run": "ephemeral"})
    assert process.root.settings == {"theirs": 1, "more": 2, SETTING: {"run": "ephemeral"}}
    assert msgspec.structs.replace(process.root).version == 4
