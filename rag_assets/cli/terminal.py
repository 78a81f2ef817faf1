"""What people see in a terminal: progress bars, tables, errors. Rich does the drawing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from rag_assets.cli.console import SafeConsole, styled
from rag_assets.corpus import Corpus
from rag_assets.evaluation.diagnosis.diagnosis import advice, summarize_diagnoses
from rag_assets.evaluation.gold.check import UNMEETABLE, Finding
from rag_assets.evaluation.report.refusal import gate_in_words
from rag_assets.evaluation.report.regression import compared_in_words, regressions_of, unchecked
from rag_assets.evaluation.search.metrics import title_of
from rag_assets.progress import Progress as Listener
from rag_assets.progress import silent

if TYPE_CHECKING:
    from rag_assets.evaluation.report.report import Report
    from rag_assets.events.inbox import Entry
    from rag_assets.index.hit import Hit
    from rag_assets.ingest.embedding.parity import Agreement
    from rag_assets.invalidation.notice import Span
    from rag_assets.invalidation.status import TargetStatus
    from rag_assets.invalidation.telling import Outcome
    from rag_assets.orchestration.run import RunOutcome
    from rag_assets.pipeline.plan import Plan
    from rag_assets.publication.verification import Verification
    from rag_assets.store.objects import ObjectStore

out = SafeConsole()
err = SafeConsole(stderr=True)
NAMED_DOCUMENTS = 10  # quarantined ones that run, plan and evaluate name
SHOWN = ("recall@5 hybrid", "ndcg@10 hybrid")
HELD = "A rollback took back what the present documents and corpus file give; it is not published again by itself"
HEADLINE = ("recall@5 hybrid", "ndcg@10 hybrid", "mrr hybrid")


def say(text: str) -> None:
    """One plain line; never broken, so that a path can be copied."""
    out.print(text, soft_wrap=True)


def note(text: str) -> None:
    """What a person who waits should know, on standard error; also beside progress bars."""
    err.print(text, soft_wrap=True)


def restore_cursor() -> None:
    """Show the cursor, which progress bars hide."""
    err.show_cursor()


def complain(text: str) -> None:
    """An error, on standard error; of several lines where it has several reasons."""
    err.print(Text.assemble(styled("error", "bold red"), f" {text}"), soft_wrap=True)


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[Listener]:
    """A listener that draws one bar per stage on standard error, or none when quiet or not a terminal."""
    if quiet or not err.is_terminal:
        yield silent
        return
    columns = (
        TextColumn("[bold]{task.description:<11}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done, total=total)

        yield tell


def show_refusal(outcome: RunOutcome, *, quiet: bool) -> None:
    """Why the gate refused what a run made, ahead of all else. ``quiet``: nothing on standard output."""
    if not quiet:
        version = "" if outcome.report is None else f" version {outcome.report.subject.lance_version}"
        say(f"REFUSED{version}: {_kept(outcome.summary['publication'])}")
    complain(str(outcome.error))


def show_run(objects: ObjectStore, corpus: Corpus, outcome: RunOutcome) -> None:
    """What a run did, what is published now and how to go on."""
    from rag_assets.pipeline.status import status

    found = outcome.summary
    show_quarantined(corpus.name, found)
    if outcome.report is not None:
        show_findings_of(outcome.report)
    if "documents_changed" in found and (outcome.error is None or found["seconds"]):
        say(
            f"{corpus.name}: {found['documents_changed']:,} documents changed, {found['embedded_texts']:,} texts "
            f"embedded, {found['reused_texts']:,} reused, {found['seconds']:.1f} s"
        )
    if found["report"] is not None:
        say(f"Report      {objects.uri(found['report'])}/report.html")
    if outcome.error is not None:
        return
    state = status(objects, corpus)
    out.print(Panel(_state_table(state), title=Text(_outcome(found)), title_align="left", expand=False))
    if state["not_measured"] is not None:
        say(state["not_measured"])
    if found["candidate"] == "held":
        say(f"{HELD}: change them, or roll forward with rag-assets rollback {corpus.name} --to N")
    called = Path(sys.argv[0])
    # What a person can copy: the path of an environment that is not activated.
    command = (
        os.path.relpath(called)
        if called.name == "rag-assets" and not shutil.which("rag-assets")
        else "rag-assets"
    )
    say(f'Ask it      {command} query {corpus.name} "your question"')
    if state["publication"] > 1:
        say(f"Look back   {command} history {corpus.name}   ·   {command} rollback {corpus.name}")
    make = "make ui   ·   " if Path("Makefile").is_file() else ""
    say(f"See it      {make}dagster dev -m rag_assets.definitions")


def _outcome(summary: Mapping[str, Any]) -> str:
    if summary["published"]:
        return "published, not measured" if summary["not_measured"] else "published"
    if summary["candidate"] == "held":
        return "held back by a rollback"
    return "nothing new to publish"


def show_status(objects: ObjectStore, state: Mapping[str, Any]) -> None:
    """The ``status`` object as a table, below what was refused."""
    if state["refused"]:
        show_refused(objects, state["refused"])
    out.print(Panel(_state_table(state), title=Text(state["corpus"]), title_align="left", expand=False))
    if state["not_measured"] is not None:
        say(state["not_measured"])
    for problem in (state["tag_problem"], state["damage"]):
        if problem:
            say(f"WARNING     {problem}")
    if state["report"]:
        say(f"Report      {objects.uri(state['report'])}")
    show_quarantined(state["corpus"], state, len(state["quarantined_documents"]))


def show_refused(objects: ObjectStore, refused: Mapping[str, Any]) -> None:
    """The field ``refused`` of ``status``: what, when, why, and what readers see instead."""
    say(f"REFUSED     version {refused['lance_version']}, evaluated {refused['time']}")
    for reason in refused["reasons"]:
        say(f"  {reason}")
    say(f"  report: {objects.uri(refused['report'])}")
    say(f"  {_kept(refused['publication'])}")


def show_quarantined(corpus: str, found: Mapping[str, Any], shown: int = NAMED_DOCUMENTS) -> None:
    """Documents that are left out, by name and reason. ``found``: an object with the fields of ``status``."""
    for document in found["quarantined_documents"][:shown]:
        say(f"quarantined {document['document_id']}: {document['reason']}: {document['detail']}")
    more = found["quarantined"] - min(shown, len(found["quarantined_documents"]))
    if more > 0:
        say(f"quarantined and {more:,} more documents; rag-assets status {corpus} --json lists up to 100")


def show_findings_of(report: Report) -> None:
    """What is worse than published, and the report's warnings."""
    worse = regressions_of(report)
    if worse:
        say(f"WORSE than publication {report.compared_with}:")
        for sentence in worse:
            say(f"  {sentence}")
    if report.lost:
        say('  To retire a question, set "retired": true in its line of the gold set.')
    for warning in report.warnings:
        say(f"warning: {warning}")


def _kept(publication: int | None) -> str:
    return "nothing is published yet" if publication is None else f"readers keep publication {publication}"


def show_verification(corpus: str, found: Verification) -> None:
    """What a full verification found."""
    from rag_assets.publication.verification import damage_in_words

    say(
        f"{corpus}: publication {found.publication}: {found.rows:,} rows of {found.documents:,} documents compared in "
        f"{found.seconds:.1f} s"
    )
    if found.uncompared:
        say(
            f"{found.uncompared:,} documents could not be compared: the stores do not hold all of their chunks any more"
        )
    problem = damage_in_words(corpus, found)
    if problem is None:
        say("every row is what the stores hold")
    else:
        complain(problem)


def show_plan(plan: Plan) -> None:
    """What a run would do."""
    table = Table(box=None, show_header=False)
    table.add_row(
        "documents",
        f"{plan.new:,} new, {plan.changed:,} changed, {plan.moved:,} moved, {plan.deleted:,} deleted",
    )
    table.add_row("quarantined", f"{plan.quarantined:,}")
    table.add_row("to parse", f"{plan.parse:,} documents")
    table.add_row("to chunk", f"{plan.chunk:,} texts")
    table.add_row("to embed", f"{plan.embed:,} texts, {plan.embed_tokens:,} tokens ({plan.reuse:,} reused)")
    seconds = plan.embed_seconds
    table.add_row(
        "time",
        "unknown: this embedder has not run yet; see --tokens-per-second"
        if seconds is None
        else f"about {seconds:,.0f} s to embed",
    )
    if plan.unpriced is not None:
        table.add_row("cost", f"unknown: evaluation.prices.models has no {plan.unpriced!r}")
    if plan.embed_cost is not None:
        table.add_row("cost", f"{plan.embed_cost:,.4f} {plan.currency} to embed")
    if plan.vector_bytes:
        table.add_row("vectors", f"{plan.vector_bytes / 1e6:,.1f} MB of new vectors")
    table.add_row("publication", _planned(plan))
    out.print(Panel(table, title=Text(f"{plan.corpus}: plan"), title_align="left", expand=False))
    if plan.held:
        say(f"{HELD}: change them, or roll forward with rag-assets rollback {plan.corpus} --to N")
    if plan.problem is not None:
        say(f"The run would stop: {plan.problem}")
    show_quarantined(plan.corpus, plan.__dict__)


def _planned(plan: Plan) -> str:
    if plan.problem is not None:
        return "none: the run would stop"
    if plan.held:
        return "none: held back by a rollback"
    return "a new one, if the gate passes" if plan.publish else "none: nothing would change"


def show_parity(corpus: str, other: str, agreement: Agreement) -> None:
    """How alike two embedders are, and what follows."""
    table = Table(box=None, show_header=False)
    table.add_row("texts", f"{agreement.texts:,}")
    table.add_row("cosine", f"{agreement.min_cosine:.6f} at least, {agreement.mean_cosine:.6f} on average")
    table.add_row("length", f"differs by {agreement.stretch:.3%} at most")
    own, target = (precision or "unknown" for precision in agreement.precisions)
    unknown = " (not compared: an endpoint does not say)" if None in agreement.precisions else ""
    table.add_row("precision", f"{own} and {target}{unknown}")
    out.print(
        Panel(table, title=Text(f"{corpus}: its embedder and {other}"), title_align="left", expand=False)
    )
    if agreement.problem is None:
        say("They agree: from now on vectors of one count as vectors of the other.")
    else:
        say(f"They do not count as one: {agreement.problem}")


def show_hits(hits: Sequence[Hit]) -> None:
    """Search results, best first."""
    if not hits:
        say("nothing found")
    for rank, hit in enumerate(hits, start=1):
        path = " › ".join(hit.heading_path)
        head = Text.assemble(
            styled(f"{rank}. {hit.document_id}", "bold"), "  ", styled(f"{hit.score:.4f}", "dim")
        )
        out.print(head.append("  ").append_text(styled(path, "cyan")) if path else head)
        out.print(Text(hit.text.strip()))
        out.print()


def show_evaluation(report: Report, page: str) -> None:
    """What became worse, headline metrics of a candidate against what is published, what to fix, and the verdict."""
    show_findings_of(report)
    table = Table("metric", "candidate", "published", "difference (95 %)", "questions", box=None)
    for row in report.metrics:
        if row.tag is None and row.mode == "hybrid":
            found = report.difference(row.metric)
            table.add_row(
                title_of(row.metric),
                f"{row.value:.3f}",
                "–" if found is None else f"{found.published:.3f}",
                "–" if found is None else f"{found.difference:+.3f} ({found.low:+.3f} … {found.high:+.3f})",
                str(row.n),
            )
    out.print(table)
    say(f"compared with: {compared_in_words(report)}")
    _show_first_fault(report)
    nothing = unchecked(report)
    if nothing is not None:
        say(f"NOTICE: {nothing}")
    say(f"gate: {gate_in_words(report)}")
    say(f"report: {page}")


def _show_first_fault(report: Report) -> None:
    faults = summarize_diagnoses(report.diagnoses)
    if not faults:
        return
    first, new = faults[0], sum(fault.new for fault in faults)
    share = (
        f"{first.new} of {new} questions that went right before"
        if new
        else f"{first.questions} of {len(report.diagnoses)} failing questions"
    )
    extractive = report.judged is not None and report.judged.extractive
    say(f"fix first: {first.stage} ({share}): {advice(first.stage, extractive=extractive)}")


def show_findings(findings: Sequence[Finding]) -> None:
    """What is wrong with a gold set, question by question."""
    table = Table("question", "finding", "detail", box=None)
    for finding in findings:
        colour = "red" if finding.kind in UNMEETABLE else "yellow"
        table.add_row(finding.question_id, styled(finding.kind, colour), finding.detail)
    out.print(table)


def show_entries(entries: Sequence[Entry]) -> None:
    """Changes in the inbox, one a line."""
    if not entries:
        say("no events")
        return
    table = Table(box=None)
    for name in ("received", "corpus", "event", "kind", "document", "state", "runs", "reason"):
        table.add_column(name, overflow="fold")  # ids are for copying: no part of one is left out
    for entry in entries:
        table.add_row(
            entry.received.isoformat(" ", "seconds")[:19],
            entry.corpus,
            entry.event,
            entry.kind,
            entry.document,
            styled(entry.state, "red" if entry.state == "dead" else ""),
            str(entry.attempts),
            entry.reason or "",
        )
    out.print(table)


def show_event(entries: Sequence[Entry]) -> None:
    """All that is known of one event's changes."""
    for entry in entries:
        table = Table(box=None, show_header=False)
        for name, value in asdict(entry).items():
            if value is not None:
                table.add_row(name, str(value))
        out.print(table)


def show_history(
    objects: ObjectStore, entries: Sequence[Mapping[str, Any]], retained: Collection[int]
) -> None:
    """The publication log, newest last, with what was refused in between."""
    if not entries:
        say("nothing is published yet")
        return
    table = Table(
        "no.", "version", "time", "kind", "documents", *(name.split()[0] for name in SHOWN), "why", box=None
    )
    for entry in entries:
        if entry["publication"] is not None:
            changes = entry["changes"]
            table.add_row(
                str(entry["publication"]),
                str(entry["lance_version"]),
                entry["time"][:16].replace("T", " "),
                entry["kind"],
                f"+{changes.get('added', 0)} ~{changes.get('changed', 0)} -{changes.get('removed', 0)}",
                *_shown_metrics(entry),
                f"{entry['reason']} ({entry['by']})",
                style=None if entry["publication"] in retained else "dim",
            )
        for refused in entry["refused"]:
            table.add_row(
                "-",
                str(refused["lance_version"]),
                refused["time"][:16].replace("T", " "),
                styled("REFUSED", "red"),
                "-",
                *_shown_metrics(refused),
                refused["reasons"][0].split(" (")[0],
            )
    out.print(table)
    for refused in (one for entry in entries for one in entry["refused"]):
        number = refused["publication"]
        kept = "nothing was published yet" if number is None else f"readers kept publication {number}"
        say(f"REFUSED version {refused['lance_version']}: {kept}; report: {objects.uri(refused['report'])}")


def _shown_metrics(entry: Mapping[str, Any]) -> list[str]:
    return [f"{entry['metrics'][name]:.3f}" if name in entry["metrics"] else "-" for name in SHOWN]


def show_targets(corpus: str, targets: Sequence[TargetStatus]) -> None:
    """What invalidation targets were told, and what was given up."""
    table = Table(box=None)
    for name in ("target", "type", "state", "told", "behind", "erasures", "next attempt", "error"):
        table.add_column(name, overflow="fold")
    for target in targets:
        table.add_row(
            target.target,
            target.type,
            target.state,
            f"{target.publication} of {target.head}",
            str(target.behind),
            str(target.erasures_behind),
            (target.next_attempt or "-")[:19].replace("T", " "),
            target.error or "-",
        )
    out.print(table)
    for target in targets:
        for letter in target.dead:
            say(
                f"given up    {target.target}: {_spanned(letter.span)} at {letter.time[:19]}: {letter.reason}"
            )
    if any(target.dead for target in targets):
        say(f"Tell them again: rag-assets invalidation retry {corpus}")


def _spanned(span: Span) -> str:
    if span.everything:
        return f"everything up to publication {span.publication}"
    parts = []
    if span.publication > span.after:
        parts.append(f"publications {span.after + 1} to {span.publication}")
    if span.erasure > span.erased_after:
        parts.append(f"erasures {span.erased_after + 1} to {span.erasure}")
    return " and ".join(parts)


def show_outcomes(outcomes: Sequence[Outcome]) -> None:
    """What became of each target of a delivery."""
    for outcome in outcomes:
        more = [f"publication {outcome.publication}"]
        more += [f"{outcome.pages} notices"] if outcome.pages else []
        more += [outcome.error] if outcome.error else []
        more += [f"next attempt at {outcome.next_attempt[:19]}"] if outcome.next_attempt else []
        say(f"{outcome.target}: {outcome.state} ({'; '.join(more)})")


def _state_table(state: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False)
    if state["publication"] is None:
        table.add_row("publication", "none yet")
    else:
        table.add_row("publication", f"{state['publication']} ({state['kind']}, {state['published_at']})")
        table.add_row("version", f"{state['lance_version']} of index/{state['corpus']}.lance")
        table.add_row("documents", f"{state['documents']:,}")
        table.add_row("chunks", f"{state['chunks']:,}")
        if state["gate"] is not None:
            grey = state["not_measured"] is not None
            table.add_row("gate", styled(state["gate"], "dim" if grey else ""))
    table.add_row("quarantined", f"{state['quarantined']:,}")
    if state["embedder"]:
        table.add_row("embedder", str(state["embedder"]))
    for name in HEADLINE:
        if name in state["metrics"]:
            table.add_row(name, f"{state['metrics'][name]:.3f}")
    last = state["last_run"]
    if last:
        table.add_row(
            "last run",
            f"{last['documents_changed']:,} documents changed, {last['embedded_texts']:,} texts embedded, "
            f"{last['reused_texts']:,} reused, {last['seconds']:.1f} s",
        )
    return table
