"""A corpus file loads, or says where it is wrong and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from rag_assets.corpus import Corpus, FolderSource, S3Source, load_corpora, load_corpus
from rag_assets.errors import CorpusFileError, redacted

MINIMAL = "sources:\n  - type: folder\n    path: docs\n"

ANSWERS = f"{MINIMAL}evaluation:\n  gold: g\n  answers:\n"

FULL = """\
name: handbook
description: The staff handbook
owners: [docs@example.org, team:search]
sources:
  - type: folder
    path: ../docs
    include: ["*.md", "*.pdf"]
    exclude: [drafts/]
  - type: s3
    url: s3://bucket/policies
    prefix: policies/
parsing: {timeout_seconds: 30, max_quarantined_share: 0.1}
chunking: {max_tokens: 200, overlap_tokens: 20}
embedder: {type: static, precision: float32}
index:
  distance: dot
  vector: {type: none}
  text: {language: German}
  filters: {tenant: string}
evaluation: {gold: handbook.jsonl}
gate:
  rules:
    - {metric: recall@5, min: 0.8}
    - {metric: mrr, mode: vector, tag: hr, max_drop: 0.02}
publication: {keep: 5}
engine: ray
ray: {gpu_workers: {max: 8}, gpus_per_worker: 0.5}
"""


def write(folder: Path, text: str, name: str = "handbook.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """The lines of the message, each without the path of the file."""
    path = write(folder, text)
    with pytest.raises(CorpusFileError) as caught:
        load_corpus(path, environ or {})
    return [line.removeprefix(str(path)) for line in str(caught.value).splitlines()]


def test_a_source_is_all_a_corpus_needs(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path, MINIMAL), {})
    assert corpus.name == "handbook"
    (source,) = corpus.sources
    assert isinstance(source, FolderSource)
    assert corpus.resolve(source.path) == tmp_path / "docs"
    assert corpus.gold_path is None


def test_every_group_can_be_set(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path, FULL), {})
    assert isinstance(corpus.sources[1], S3Source)
    assert corpus.gold_path == tmp_path / "handbook.jsonl"
    assert corpus.gate.rules[1].max_drop == 0.02
    assert corpus.index.text.language == "German"
    assert corpus.ray is not None
    assert (corpus.ray.gpu_workers.min, corpus.ray.gpu_workers.max) == (1, 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ":1: found nothing; allowed: a mapping of fields, such as 'sources:'"),
        ("- a\n", ":1: found a list; allowed: a mapping of fields, such as 'sources:'"),
        ("description: x\n", ":1: sources: missing; this field is required"),
        ("sources: []\n", ":1: sources: found []; allowed: at least 1 item"),
        ("sources: docs\n", ":1: sources: found 'docs'; allowed: a list"),
        ("sources:\n  - path: docs\n", ":2: sources.0.type: missing; allowed: folder, s3, push"),
        ("sources:\n  - type: git\n", ":2: sources.0.type: found 'git'; allowed: folder, s3, push"),
        (
            f"{ANSWERS}    judge: {{type: gpt}}\n",
            ":7: evaluation.answers.judge.type: found 'gpt'; allowed: local, openai, vllm",
        ),
        (
            f"{ANSWERS}    generator: {{type: openai, url: 'http://h', model: m, urls: x}}\n",
            ":7: evaluation.answers.generator.urls: unknown field; did you mean 'url'? allowed: concurrency, "
            "key_variable, max_tokens, model, retries, temperature, timeout_seconds, type, url",
        ),
        (
            f"{ANSWERS}    judge: {{type: openai, model: m, url: 'http://h/v1?key=x'}}\n",
            ":7: evaluation.answers.judge.url: found 'http://h/v1?…'; allowed: http://host/v1 or https://host/v1, "
            "without user name, password and '?'",
        ),
        (
            f"{ANSWERS}    judge: {{type: openai, model: m, url: 'http://h/v1', "
            "key_variable: sk-live-abc}\n",
            ":7: evaluation.answers.judge.key_variable: found what cannot be the name of a variable; allowed: the "
            "name of an environment variable, letters, digits and underscores. Never write the key itself into a file",
        ),
        (
            f"{ANSWERS}    judge: locale\n",
            ":7: evaluation.answers.judge: found 'locale'; did you mean {type: local}? "
            "allowed: {type: local, …} or {type: openai, …} or {type: vllm, …}",
        ),
        (
            MINIMAL + "quality:\n",
            ":4: quality: found nothing; write quality: {} to turn it on, or leave the line out",
        ),
        (
            MINIMAL + "evaluation:\n  gold: g.jsonl\n  answers:\n",
            ":6: evaluation.answers: found nothing; write answers: {} to turn it on, or leave the line out",
        ),
        (
            MINIMAL + "embedder:\n  type: openai\n",
            ":4: embedder: type openai needs endpoint (whom to ask) and model (hub name or folder of the same model, for "
            "its tokenizer)",
        ),
        (
            MINIMAL + "embedder:\n  vllm: {}\n",
            ":4: embedder: vllm belongs to type vllm; the type is sentence-transformers",
        ),
        (
            MINIMAL
            + "embedder: {type: vllm, precision: bfloat16, vllm: {tensor_parallel_size: 4}}\ngpu: {count: 2}\n",
            ":1: (file): gpu.count is 2, but an engine wants tensor_parallel_size times data_parallel_size = 4 GPUs",
        ),
        (
            MINIMAL + "events:\n  watch:\n",
            ":5: events.watch: found nothing; write watch: {} to turn it on, or leave the line out",
        ),
        (
            MINIMAL + "ray: {address: 'ray-head:6379'}\n",
            ":4: ray: needs engine: ray; without it, nothing runs on a cluster",
        ),
        (
            MINIMAL + "engine: ray\nray:\n  address: ray://head\n",
            ":6: ray.address: 'ray://head' is no address; allowed: auto, local, or host:port of a Ray head",
        ),
        (
            MINIMAL + "engine: ray\nray:\n  cpu_workers: {min: 3, max: 2}\n",
            ":6: ray.cpu_workers: min (3) must not be above max (2)",
        ),
        (
            MINIMAL + "engine: ray\nray:\n  gpus_per_worker: 1.5\n",
            ":6: ray.gpus_per_worker: 1.5 cannot be had: above one GPU, Ray gives whole ones",
        ),
        (
            MINIMAL + "engine: ray\nembedder: {precision: float32}\ngpu: {}\n",
            ":1: (file): gpu asks for GPUs, but ray.gpus_per_worker is 0: the actors that embed would compute on CPUs. "
            "Say how much of a GPU each of them has",
        ),
        (
            MINIMAL + "engine: stream\nembedder: {precision: float32}\ngpu: {}\n",
            ":6: gpu: with engine: stream, the step that parses also embeds, and gpu cannot send the one without the "
            "other to a GPU; take engine: local, or an endpoint (embedder.type: openai), or leave gpu out where all runs "
            "on the machine with the GPU",
        ),
        (
            MINIMAL + "gpu: {node_selector: {my pool: large}}\n",
            ":4: gpu.node_selector.my pool: found 'my pool'; allowed: a label's key, such as pool or "
            "example.org/pool",
        ),
        (
            MINIMAL + "gpu: {node_selector: {a..b/pool: large}}\n",
            ":4: gpu.node_selector.a..b/pool: found 'a..b/pool'; allowed: a label's key, such as pool or "
            "example.org/pool",
        ),
        (
            MINIMAL + "gpu: {node_selector: {pool: large gpus}}\n",
            ":4: gpu.node_selector.pool: found 'large gpus'; allowed: a label's value: up to 63 letters, digits, '-', "
            "'_' and '.'",
        ),
        ("sources:\n  - type: folder\n", ":2: sources.0.path: missing; this field is required"),
        (
            "sources:\n  - type: s3\n    url: https://x\n",
            ":3: sources.0.url: found 'https://x'; "
            "allowed: s3://bucket or s3://bucket/prefix, without '?' and '#'",
        ),
        (
            "sources:\n  - type: folder\n    paht: docs\n    path: docs\n",
            ":3: sources.0.paht: unknown field; did you mean 'path'? "
            "allowed: exclude, include, path, prefix, type",
        ),
        (
            MINIMAL + "chunking:\n  max_token: 3\n",
            ":5: chunking.max_token: unknown field; did you mean 'max_tokens'? "
            "allowed: include_headings, max_tokens, overlap_tokens",
        ),
        (
            MINIMAL + "chunking:\n  max_tokens: 3\n",
            ":5: chunking.max_tokens: found 3; allowed: greater than or equal to 16",
        ),
        (
            MINIMAL + "chunking:\n  max_tokens: many\n",
            ":5: chunking.max_tokens: found 'many'; allowed: a whole number",
        ),
        (MINIMAL + "chunking: 512\n", ":4: chunking: found 512; allowed: a group of fields"),
        (
            MINIMAL + "embedder: {normalize: maybe}\n",
            ":4: embedder.normalize: found 'maybe'; allowed: true or false",
        ),
        (
            MINIMAL + "embedder:\n  precision: fp16\n",
            ":5: embedder.precision: found 'fp16'; allowed: 'auto', 'float32' or 'bfloat16'",
        ),
        (
            MINIMAL + "parsing: {timeout_seconds: .inf}\n",
            ":4: parsing.timeout_seconds: found inf; allowed: a finite number",
        ),
        (
            MINIMAL + "embedder:\n  revision: 123\n",
            ":5: embedder.revision: found 123; "
            "allowed: text; put it into quotes if it looks like a number or a date",
        ),
        (
            MINIMAL + "evaluation: {gold: g.jsonl}\ngate:\n  rules:\n    - metric: recal@5\n      min: 0.5\n",
            ":7: gate.rules.0.metric: found 'recal@5'; "
            "allowed: recall@k, ndcg@k or success@k with k from 1 to 99, mrr, or of answers: contextual_relevancy, "
            "faithfulness, answer_relevancy, contextual_precision, contextual_recall, answer_correctness, answered, "
            "abstention",
        ),
        (
            MINIMAL + "evaluation: {gold: g.jsonl}\ngate:\n  rules:\n    - metric: mrr\n",
            ":7: gate.rules.0: a rule needs 'min', 'max_drop' or both",
        ),
        (
            MINIMAL + "gate:\n  rules:\n    - {metric: mrr, min: 0.5}\n",
            ":4: gate: rules need evaluation.gold: without questions no rule can be checked",
        ),
        (
            MINIMAL + "index:\n  filters:\n    Tenant: string\n",
            ":6: index.filters.Tenant: found 'Tenant'; "
            "allowed: up to 63 lower-case letters, digits and underscores, a letter first",
        ),
        (
            MINIMAL + "  - type: folder\n    path: more\n",
            ":1: sources: sources must have different prefixes, or their document ids would collide",
        ),
        (
            MINIMAL + "    include: ['!']\n",
            ":4: sources.0.include.0: '!' is not a gitignore pattern",
        ),
        (
            MINIMAL + "    exclude:\n      - '# x'\n",
            ":5: sources.0.exclude.0: '# x' matches nothing in gitignore syntax",
        ),
        (MINIMAL + "    include: []\n", ":4: sources.0.include: found []; allowed: at least 1 item"),
        (
            MINIMAL
            + "events:\n  webhooks: {secret_variable: S, accept: [github], repository: 'https://github.com/a/b'}\n",
            ":5: events.webhooks.repository: found 'https://github.com/a/b'; allowed: owner/name, as in "
            "https://github.com/owner/name",
        ),
        (
            MINIMAL + "events:\n  webhooks: {secret_variable: S, repository: a/b}\n",
            ":5: events.webhooks: repository is set, but accept has no github: no push can come",
        ),
        (
            MINIMAL + "events:\n  webhooks: {secret_variable: S, accept: [github], branch: main}\n",
            ":5: events.webhooks: branch needs repository: owner/name",
        ),
        (
            MINIMAL + "events:\n  webhooks: {secret_variable: S, bucket: 's3://docs'}\n",
            ":5: events.webhooks.bucket: found 's3://docs'; allowed: the name of a bucket, without s3:// and '/'",
        ),
        (
            "sources:\n  - {type: s3, url: 's3://docs/x'}\nevents:\n  webhooks: {secret_variable: S, bucket: docs}\n",
            ":3: events: webhooks.bucket is 'docs', but the sources of type s3 say which bucket it is (docs): leave it "
            "out",
        ),
        (MINIMAL + "owners: [bob]\n", ":4: owners: 'bob' is neither an e-mail address nor team:<name>"),
        (MINIMAL + "description: a\ndescription: b\n", ':5: field "description" stands twice; allowed: once'),
        (
            "name: other\n" + MINIMAL,
            ":1: name: found 'other'; allowed: the file's name, 'handbook'",
        ),
        ("sources: [\n", ":2: not valid YAML: expected the node content, but found '<stream end>'"),
        ("description: a: b\n", ":1: not valid YAML: mapping values are not allowed here"),
        ("description: !!python/object:os.system x\n", ":1: not valid YAML"),
        ("a: &a [*a]\n", ":1: nested too deeply, or an alias contains itself"),
        ("description: 2024-13-45\n", ":1: not valid YAML"),
    ],
)
def test_a_mistake_is_reported_with_line_field_what_was_found_and_what_is_allowed(
    tmp_path: Path, text: str, expected: str
) -> None:
    (found,) = mistakes(tmp_path, text)
    assert found.startswith(expected) if expected.endswith("YAML") else found == expected


def test_all_mistakes_are_reported_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "colour: red\nsources:\n  - type: folder\nchunking: {max_tokens: 1}\n")
    assert [line.split(": ")[:2] for line in found] == [
        [":1", "colour"],
        [":3", "sources.0.path"],
        [":4", "chunking.max_tokens"],
    ]


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(CorpusFileError, match=r"none\.yaml: cannot be read: No such file"):
        load_corpus(tmp_path / "none.yaml", {})
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff")
    with pytest.raises(CorpusFileError, match="byte 3 is not UTF-8"):
        load_corpus(tmp_path / "bytes.yaml", {})


@pytest.mark.parametrize("stem", ["Handbook", "my-book", "a__b", "_a", "a_", "1a", "a" * 64])
def test_a_file_name_that_cannot_be_a_corpus_name_is_refused(tmp_path: Path, stem: str) -> None:
    with pytest.raises(CorpusFileError, match=r":1: name: found '.*; allowed: (lower-case|at most 63)"):
        load_corpus(write(tmp_path, MINIMAL, f"{stem}.yaml"), {})


def test_a_folder_gives_its_corpora_by_name_and_the_mistakes_of_all_files(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL, "b.yaml")
    write(tmp_path, MINIMAL, "a.yaml")
    assert [*load_corpora(tmp_path, {})] == ["a", "b"]
    write(tmp_path, "x: 1\n", "c.yaml")
    write(tmp_path, "", "d.yaml")
    write(tmp_path, "", "e.yml")
    with pytest.raises(CorpusFileError) as caught:
        load_corpora(tmp_path, {})
    assert all(f"{name}:1: " in str(caught.value) for name in ("c.yaml", "d.yaml", "e.yml"))
    with pytest.raises(CorpusFileError, match="RAG_CORPORA"):
        load_corpora(tmp_path / "none", {})


def test_a_corpus_cannot_be_changed_after_loading(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path, MINIMAL), {})
    with pytest.raises(ValueError, match="frozen"):
        corpus.description = "x"


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
field_names = st.sampled_from([*Corpus.model_fields, "typo"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(values=st.dictionaries(field_names, yaml_values, max_size=4))
def test_any_mapping_loads_or_is_reported(tmp_path: Path, values: dict[str, Any]) -> None:
    path = tmp_path / "handbook.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(values, file)
    try:
        assert isinstance(load_corpus(path, {}), Corpus)
    except CorpusFileError as error:
        assert str(error).startswith(f"{path}:")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(source=st.dictionaries(st.sampled_from(["type", "path", "url", "include", "x"]), yaml_values))
def test_any_source_loads_or_is_reported(tmp_path: Path, source: dict[str, Any]) -> None:
    path = write(tmp_path, json.dumps({"sources": [source]}, default=str))
    try:
        assert isinstance(load_corpus(path, {}), Corpus)
    except CorpusFileError as error:
        assert "at least 1 item" not in str(error).replace("include: found []; allowed: at least 1 item", "")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(text=st.text(st.sampled_from("ab:-[]{}&*!|>'\"#, \n\t%@`?1.\0"), max_size=40))
def test_any_text_loads_or_is_reported(tmp_path: Path, text: str) -> None:
    with pytest.raises(CorpusFileError):
        load_corpus(write(tmp_path, text), {})


def test_every_language_of_full_text_search_is_one_that_lancedb_knows(tmp_path: Path) -> None:
    from lancedb.index import lang_mapping

    allowed = Corpus.model_json_schema()["$defs"]["TextIndex"]["properties"]["language"]["enum"]
    assert sorted(allowed) == sorted(lang_mapping.values())


def test_a_password_in_a_source_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "notes.yaml"
    path.write_text("sources:\n  - type: s3\n    url: s3://user:SECRETPW@bucket\n")
    with pytest.raises(CorpusFileError) as caught:
        load_corpus(path, {})
    assert "SECRETPW" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "cannot open mysql://db/docs?ssl=1&password=hunter22",
        "host=db password=hunter22 dbname=docs",
        "PASSWORD = 'hunter22 hunter22' is wrong",
        "passwd=hunter22;pwd=hunter22",
        "token=hunter22, access_token=hunter22",
        "client_secret=hunter22&api_key=hunter22&apikey=hunter22&api-key=hunter22",
        "AWS_SECRET_ACCESS_KEY=hunter22 secret_key=hunter22",
        """{"password": "hunter22", "token":"x\\"hunter22"}""",
        repr('{"password": "hunter22", \'token\': "hunter22"}'),
        "password='hunter22 that was cut off",
        "the secret whsec_hunter22+/abc= is wrong, whsec_hunter22",
    ],
)
def test_what_others_write_is_shown_without_passwords_and_tokens(text: str) -> None:
    shown = redacted(text)
    assert "hunter22" not in shown and "…" in shown
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    "text",
    ["max_tokens=5000 is above 4096", "unexpected token: '}'", "secret_variable: X", "no password given"],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text
