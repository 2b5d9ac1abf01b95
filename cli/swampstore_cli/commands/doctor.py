"""``swamp datastore doctor``: what is wrong with a namespace, and the repairs that can be proved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from swampstore.errors import Misuse, NotFound, SwampError
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.progress import Progress
from swampstore_cli.session import Opened, Session
from swampstore_cli.spool_shown import end_away, is_away, show_spools, spools_of

if TYPE_CHECKING:
    from swampstore.workers.doctor.finding import Finding, Report
    from swampstore.workers.doctor.mending import RepairReport, Step

app = new_app()

_KEYS_SHOWN = 5


@command(
    app,
    "doctor",
    examples="""
    swamp datastore doctor
    swamp datastore doctor --namespace ops --deep
    swamp datastore doctor --namespace ops --deep --sample 1000
    swamp datastore doctor --namespace ops --repair
    swamp datastore doctor --namespace ops --repair --yes
    """,
)
def doctor(
    session: Session,
    deep: Annotated[bool, typer.Option("--deep", help="Read everything and check every hash.")] = False,
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", help="With --deep: read about N contents, not all of them.")
    ] = 0,
    guards: Annotated[
        bool, typer.Option("--guards/--no-guards", help="Try forbidden writes on throw-away names.")
    ] = True,
    repair: Annotated[bool, typer.Option("--repair", help="Show what can be mended; with --yes mend it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --repair: do it.")] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="With --repair --yes: do what cannot bring everything back, too.")
    ] = False,
    alone: Annotated[
        bool, typer.Option("--alone", help="With --repair: no other process uses the namespace, do not wait for any.")
    ] = False,
) -> None:
    """Examine every namespace of the store, or the one named with --namespace. Exits with 1 if there is an error.

    The root and its runs, the log and its watermarks, what was set aside, what nobody names, leftovers of the replaced
    system, queues, this machine's clock, and the guards: writes that must be refused are tried on throw-away names.
    Nothing of the namespace is changed. --deep also reads every run and every content. Of a store that is away (it does
    not answer, or is gone) it says what waits for it on this machine, and exits with 75.

    --repair names what can be mended with proof, and what that cannot bring back. It changes nothing without --yes.
    """
    if (yes or accept_loss or alone) and not repair:
        raise Misuse("--yes, --accept-loss and --alone belong to --repair")
    _check_sample(sample, deep=deep)
    with session.opened() as opened:
        reports: list[Report] = []
        repairs: list[RepairReport] = []
        failed: list[tuple[str, SwampError]] = []
        names: list[str] = []
        try:
            names = opened.names(session.named)
        except SwampError as error:
            failed.append(("", error))
        for name in names:
            try:
                if repair:
                    repairs.append(_repair(opened, name, deep=deep, yes=yes, accept_loss=accept_loss, alone=alone))
                if not repair or yes:
                    reports.append(_examine(opened, name, deep=deep, sample=sample, guards=guards))
            except SwampError as error:
                failed.append((name, error))
        empty = not names and not failed
        found, steps = _beside(opened, repair=repair, yes=yes) if empty else ([], [])  # else each report says it
        url = opened.face.url
        away = [is_away(opened, error) for _, error in failed]
        spools = spools_of(opened) if any(away) else []  # else they are among the findings
    if session.named is not None and [one.codes() for one in reports] == [["empty"]]:
        raise NotFound(f"no namespace {session.named!r} in {url}", hint="see: swamp datastore namespace list")
    if session.json:
        from msgspec import to_builtins

        output.document(
            {
                "store": url,
                "namespaces": [one.describe() for one in reports],
                "repairs": [one.describe() for one in repairs],
                "beside": {"findings": list(map(to_builtins, found)), "steps": list(map(to_builtins, steps))},
                "failed": [{"namespace": name, **error.describe()} for name, error in failed],
                "spools": spools,
            }
        )
    else:
        _show(url, repairs, reports, empty=empty)
        _show_beside(steps, found, done=yes)
        show_spools(spools)
    if failed:
        _fail(failed, away=away[-1], json=session.json)
    if any(not one.healthy for one in reports):
        raise typer.Exit(1)


def _fail(failed: list[tuple[str, SwampError]], *, away: bool, json: bool) -> NoReturn:
    """End with the last error; ``away`` says whether it is that the store is."""
    *others, (_, last) = failed
    for name, error in others:
        output.problem(f"{name}: {error}", error.code, error.hint, json=json)
    if away:
        end_away(last, json=json)
    raise last


def _check_sample(sample: int, *, deep: bool) -> None:
    if sample and not deep:
        raise Misuse("--sample belongs to --deep")
    if sample < 0:
        raise Misuse(f"--sample {sample} makes no sense", hint="how many contents to read; 0 is all of them")


def _examine(opened: Opened, name: str, *, deep: bool, sample: int, guards: bool) -> Report:
    from swampstore.client.blocking import finish
    from swampstore.client.care import doctor as examine

    with Progress() as progress:
        core = opened.core.namespace(name)
        return finish(examine(core, deep=deep, sample=sample, guards=guards, progress=progress))


def _repair(opened: Opened, name: str, *, deep: bool, yes: bool, accept_loss: bool, alone: bool) -> RepairReport:
    from swampstore.client.blocking import finish
    from swampstore.client.care import mend

    with Progress() as progress:
        core = opened.core.namespace(name)
        return finish(mend(core, dry_run=not yes, accept_loss=accept_loss, deep=deep, alone=alone, progress=progress))


def _beside(opened: Opened, *, repair: bool, yes: bool) -> tuple[list[Finding], list[Step]]:
    """What is to be said of the store where there is no namespace."""
    from swampstore.client.blocking import finish
    from swampstore.client.care import doctor_beside, repair_beside

    steps = finish(repair_beside(opened.core, dry_run=not yes)) if repair else []
    return finish(doctor_beside(opened.core)) if not repair or yes else [], steps


# --- for people ------------------------------------------------------------------------------------------------------


def _show(url: str, repairs: list[RepairReport], reports: list[Report], *, empty: bool) -> None:
    output.line(f"store {url}")
    if empty:
        output.line("it holds no namespace yet")
    for plan in repairs:
        _show_repair(plan)
    for report in reports:
        _show_report(report)


def _show_beside(steps: list[Step], found: list[Finding], *, done: bool) -> None:
    for step in steps:
        _show_step(step)
    if steps and not done:
        output.line("nothing was changed; to do it: swamp datastore doctor --repair --yes")
    for one in found:
        _show_finding(one)


def _show_report(report: Report) -> None:
    from swampstore.workers.doctor.finding import in_order

    counts = report.counts
    looked = f"{output.count(counts['runs'], 'run')}, {output.count(counts['segments'], 'segment')}"
    if "checked_bytes" in counts:
        looked += f", {counts['checked_contents']:,} contents ({output.size(counts['checked_bytes'])})"
    found = in_order(report.findings)
    said = ", ".join(
        output.count(len(report.of(severity)), severity)
        for severity in ("error", "warning", "note")
        if report.of(severity)
    )
    output.line(f"\n{report.namespace}: {said or 'healthy'}; looked at {looked} in {report.seconds:.1f} s")
    for one in found:
        _show_finding(one)


def _show_finding(one: Finding) -> None:
    where = f" {output.printable(one.name)}" if one.name else ""
    output.line(f"  {one.severity:8}{one.code}{where}")
    output.line(f"          {output.printable(one.text)}")
    if one.hint:
        output.line(f"          -> {output.printable(one.hint)}")


def _show_step(step: Step) -> None:
    output.line(f"  {step.code}  {output.printable(step.name)}")
    output.line(f"          {output.printable(step.text)}")


def _show_repair(plan: RepairReport) -> None:
    if not plan.steps:
        output.line(f"\n{plan.namespace}: nothing to repair")
        return
    output.line(f"\n{plan.namespace}: {'to do' if plan.dry_run else 'done'}")
    for step in plan.steps:
        _show_step(step)
        for loss in step.losses:
            output.line(f"          not brought back: {output.printable(loss)}")
        for key in step.keys[:_KEYS_SHOWN]:
            output.line(f"          {output.printable(key)}")
        if len(step.keys) > _KEYS_SHOWN:
            output.line(f"          ... and {output.count(len(step.keys) - _KEYS_SHOWN, 'more', 'more')} (see --json)")
    if plan.dry_run:
        flags = "--repair --yes --accept-loss" if plan.losses else "--repair --yes"
        output.line(f"nothing was changed; to do it: swamp datastore doctor --namespace {plan.namespace} {flags}")
