"""``rag-assets gold``: import, check, split and propose gold questions."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rag_assets.cli.common import (
    FAILED,
    AsJson,
    CorpusName,
    load,
    open_store,
    print_json,
    readable,
    reported,
    writing,
)
from rag_assets.errors import ConfigurationError

app = typer.Typer(help="Gold questions: import, check, split, propose.", no_args_is_help=True)


class Format(StrEnum):
    """Formats of ``gold import``."""

    beir = "beir"
    squad = "squad"
    csv = "csv"


@app.command("import")
def import_(
    format: Annotated[Format, typer.Argument(help="Format of the source.")],
    source: Annotated[Path, typer.Argument(help="A BEIR folder, a SQuAD file or a CSV file.")],
    into: Annotated[Path, typer.Option(help="Gold set to append to; made if there is none.")],
    documents: Annotated[
        Path | None, typer.Option(help="Folder to write the documents to that came with the questions.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="BEIR: which judgements, qrels/<split>.tsv.", callback=readable)
    ] = "test",
    column: Annotated[
        list[str] | None, typer.Option(help="CSV: FIELD=HEADER where a header is not the field's name.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a question set of another format into a gold set."""
    from rag_assets.cli.terminal import say
    from rag_assets.evaluation.gold.file import append_lines
    from rag_assets.evaluation.gold.formats import read_beir, read_csv, read_squad, write_documents

    with reported():
        match format:
            case Format.beir:
                found = read_beir(source, split)
            case Format.squad:
                found = read_squad(source)
            case Format.csv:
                found = read_csv(source, _columns(column or []))
        with writing(into):
            added = append_lines(into, found.questions)
        written = 0
        if documents:
            with writing(documents):
                written = write_documents(documents, found.documents)
        left_out = found.left_out + len(found.questions) - added
        facts = {"questions": added, "left_out": left_out, "documents": written}
        if as_json:
            print_json({"into": str(into), **facts})
        else:
            say(
                f"{into}: {facts['questions']} questions appended, {left_out} left out "
                f"(there already, or without a target), {written} documents written"
            )


@app.command()
def check(corpus: CorpusName, as_json: AsJson = False) -> None:
    """Hold the gold set against what the store holds of the corpus: what is gone, found nowhere or double."""
    from rag_assets.cli.terminal import say, show_findings
    from rag_assets.evaluation.gold import load_gold
    from rag_assets.evaluation.gold.check import STALE, UNMEETABLE
    from rag_assets.evaluation.gold.stored import check_corpus
    from rag_assets.store.snapshots import SnapshotStore

    with reported():
        settings, found = load(corpus)
        gold = load_gold(_gold_of(found.name, found.gold_path))
        objects = open_store(settings)
        findings = check_corpus(objects, found, gold)
        if as_json:
            print_json([asdict(finding) for finding in findings])
        else:
            if findings:
                show_findings(findings)
            stale = {finding.question_id for finding in findings if finding.kind in STALE}
            unmeetable = {finding.question_id for finding in findings if finding.kind in UNMEETABLE}
            say(
                f"{found.name}: {len(gold.questions)} questions, {len(stale)} stale, "
                f"{len(unmeetable - stale)} with a passage that stands nowhere, {len(findings)} findings, "
                f"{len(gold.proposals)} proposals wait for a yes, {len(gold.retired)} retired"
            )
            number = SnapshotStore(objects, found.name).latest().number
            say(f"As of snapshot {number}, made by the last run; the sources may have changed since.")
        if any(finding.kind in UNMEETABLE for finding in findings):
            raise typer.Exit(FAILED)


@app.command()
def split(
    corpus: CorpusName,
    into: Annotated[Path, typer.Option(help="Folder for one gold set per tag.")],
    as_json: AsJson = False,
) -> None:
    """Write one gold set per tag; questions without a tag go to untagged.jsonl."""
    from rag_assets.cli.terminal import say
    from rag_assets.evaluation.gold import load_gold
    from rag_assets.evaluation.gold.file import split_by_tag

    with reported():
        _, found = load(corpus)
        gold = load_gold(_gold_of(found.name, found.gold_path))
        with writing(into):
            counts = split_by_tag(gold, into)
        if as_json:
            print_json(counts)
        else:
            for name, count in counts.items():
                say(f"{into / name}: {count} questions")


@app.command()
def propose(
    corpus: CorpusName,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Documents to ask about, at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Propose questions on documents that no question covers; each waits for a person's yes in the file."""
    from rag_assets.cli.terminal import say
    from rag_assets.evaluation.answers.drafts import propose_for
    from rag_assets.evaluation.gold.file import append_lines, as_line

    with reported():
        settings, found = load(corpus)
        path = _gold_of(found.name, found.gold_path)
        proposed = propose_for(open_store(settings), found, path, count)
        with writing(path):
            append_lines(path, proposed.questions, accepted=False)
        if as_json:
            print_json(asdict(proposed))
            return
        for question in proposed.questions:
            say(as_line(question, accepted=False))
        for document, reason in proposed.failures:
            say(f"{document}: no question: {reason}")
        say(
            f"{path}: {len(proposed.questions)} proposals appended ({proposed.uncovered} documents were not "
            'covered). They are not asked until you remove "accepted": false'
        )


def _gold_of(name: str, path: Path | None) -> Path:
    if path is None:
        raise ConfigurationError(f"{name} has no gold set: name one in evaluation.gold of its corpus file")
    return path


def _columns(pairs: list[str]) -> dict[str, str]:
    from rag_assets.evaluation.gold.formats import CSV_FIELDS

    columns = {}
    for pair in pairs:
        field, equals, header = pair.partition("=")
        if not equals or field not in CSV_FIELDS or not header.strip():
            raise ConfigurationError(
                f"--column {pair!r}: allowed is FIELD=HEADER with a field of {', '.join(CSV_FIELDS)}"
            )
        columns[field] = header.strip()
    return columns
