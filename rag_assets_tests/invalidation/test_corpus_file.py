"""What a corpus file may say about invalidation, and how mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_assets.corpus import load_corpus
from rag_assets.corpus.invalidation import Cdn, Invalidation, Plugin, Redis, Webhook
from rag_assets.errors import CorpusFileError

START = "sources: [{type: folder, path: docs}]\ninvalidation:\n"
ALL = f"""{START}\
  targets:
    - {{name: answers, type: redis, url_variable: CACHE_URL, cluster: true}}
    - {{name: assistant, type: webhook, url: "https://assistant.example.org/rag", secret_variable: HOOK_SECRET}}
    - name: edge
      type: cdn
      url: https://api.cloudflare.com/client/v4/zones/${{CLOUDFLARE_ZONE}}/purge_cache
      headers: {{Authorization: "Bearer ${{CLOUDFLARE_TOKEN}}"}}
      body: '{{"tags": {{keys}}}}'
    - {{name: mine, type: python, entry_point: search-cache, options: {{shards: 3}}}}
  ttl: {{min_seconds: 10, max_seconds: 100, share: 0.5}}
  max_attempts: 3
"""
CDN = "{name: a, type: cdn, url: 'https://h/x', "


def load(folder: Path, text: str) -> Invalidation:
    path = folder / "handbook.yaml"
    path.write_text(text)
    found = load_corpus(path, {}).invalidation
    assert found is not None
    return found


def test_every_kind_of_target_can_be_named(tmp_path: Path) -> None:
    found = load(tmp_path, ALL)
    assert [type(target) for target in found.targets] == [Redis, Webhook, Cdn, Plugin]
    assert (found.ttl.max_seconds, found.max_attempts) == (100, 3)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("[]", "invalidation.targets: found []; allowed: at least 1 item"),
        (
            "[{name: a, type: memcached}]",
            "targets.0.type: found 'memcached'; allowed: redis, webhook, cdn, python",
        ),
        ("[{name: a, type: redis}]", "targets.0.url_variable: missing; this field is required"),
        (
            "[{name: a, type: redis, url_variable: 'redis://:hunter2@h'}]",
            "targets.0.url_variable: found what cannot be the name of a variable",
        ),
        ("[{name: ../a, type: redis, url_variable: U}]", "'../a' is no name of a target; allowed: up to 63"),
        ("[{name: A, type: redis, url_variable: U}]", "'A' is no name of a target"),
        (
            "[{name: a, type: redis, url_variable: U}, {name: a, type: redis, url_variable: V}]",
            "targets must have different names",
        ),
        (
            "[{name: a, type: webhook, url: 'https://u:hunter2@h/x', secret_variable: S}]",
            "targets.0.url: found 'https://…@h/x'; allowed: http://host/v1 or https://host/v1, without user name",
        ),
        (
            "[{name: a, type: webhook, url: 'https://h/x?token=hunter2', secret_variable: S}]",
            "targets.0.url: found 'https://h/x?…'; allowed",
        ),
        (
            "[{name: a, type: webhook, url: 'https://h', secret_variable: S, timeout_seconds: 60}]",
            "targets.0.timeout_seconds: found 60; allowed: less than or equal to 20",
        ),
        (f"[{CDN}}}]", "the body or a header must hold {keys}"),
        (
            f"[{CDN} headers: {{Authorization: Bearer hunter2}}, body: '{{keys}}'}}]",
            "Authorization looks like a secret; allowed: ${VARIABLE}",
        ),
        (f"[{CDN} headers: {{'A b': '{{keys}}'}}}}]", "'A b' is no name of a header"),
        (f'[{CDN} headers: {{A: "x\\ny {{keys}}"}}}}]', "the value of A holds a character that no header"),
        (f'[{CDN} headers: {{A: "x\\r\\ny {{keys}}"}}}}]', r"found the character '\r'"),
        (f"[{CDN} body: '{{keys}}', key: doc}}]", "needs {document}"),
        (f"[{CDN} body: '{{keys}}', key: 'a {{document}}'}}]", "'a {document}' holds white space"),
        (f"[{CDN} body: '{{keys}}', method: GET}}]", "targets.0.method: found 'GET'; allowed: 'POST', 'PUT'"),
        (
            f"[{CDN} body: '{{keys}}', batch: 0}}]",
            "targets.0.batch: found 0; allowed: greater than or equal to 1",
        ),
        ("[{name: a, type: python, entry_point: ''}]", "targets.0.entry_point: found ''; allowed"),
    ],
)
def test_mistakes_are_named_and_show_no_secret(tmp_path: Path, target: str, message: str) -> None:
    with pytest.raises(CorpusFileError) as error:
        load(tmp_path, f"{START}  targets: {target}\n")
    assert message in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("ttl", "message"),
    [
        ("{min_seconds: 10, max_seconds: 9}", "min_seconds must not be above max_seconds"),
        ("{share: 0}", "invalidation.ttl.share: found 0; allowed: greater than 0"),
        ("{share: 1}", "invalidation.ttl.share: found 1; allowed: less than 1"),
    ],
)
def test_bounds_of_the_ttl_are_checked(tmp_path: Path, ttl: str, message: str) -> None:
    targets = "[{name: a, type: redis, url_variable: U}]"
    with pytest.raises(CorpusFileError) as error:
        load(tmp_path, f"{START}  targets: {targets}\n  ttl: {ttl}\n")
    assert message in str(error.value)
