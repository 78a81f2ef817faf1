"""reStructuredText → Markdown, by way of docutils' HTML.

The document cannot read files, the network or the clock, and cannot insert raw HTML. Directives and roles
that docutils does not know (Sphinx has hundreds) are given a meaning before parsing, namely
their text, so that nothing is lost and nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rag_assets.ingest.parsing.decode import decode
from rag_assets.ingest.parsing.document import JSON, ParsedDocument
from rag_assets.ingest.parsing.to_markdown import to_markdown

if TYPE_CHECKING:
    from docutils import nodes

DIRECTIVE = re.compile(r"\.\.[ \t]+(?:\|[^|\n]+\|[ \t]+)?([A-Za-z0-9][\w.:+-]*?)[ \t]?::(?:\s|$)")
CLOCK = "date"
"""The one directive of docutils that does not depend on the document alone."""
ROLE = re.compile(r":([A-Za-z0-9][\w.:+-]*):`|`:([A-Za-z0-9][\w.:+-]*):")
ROLE_TARGET = re.compile(r"\s*<[^<>]*>$")
CODE_BLOCK = re.compile(r'<pre class="code ([\w+#.-]+) literal-block"><code>')
SETTINGS = {
    "_disable_config": True,
    "embed_stylesheet": False,
    "file_insertion_enabled": False,
    "halt_level": 5,
    "line_length_limit": 1_000_000,
    "math_output": "LaTeX",
    "raw_enabled": False,
    "report_level": 5,
    "section_self_link": False,
    "stylesheet_path": None,
    "syntax_highlight": "none",
    "warning_stream": False,
}


def parse(data: bytes) -> ParsedDocument:
    """The document as Markdown; its docinfo fields as metadata. Raises Unparseable."""
    from docutils import core, nodes

    source = decode(data)
    with _registries_of_its_own():
        _give_unknown_names_a_meaning(source)
        tree = core.publish_doctree(source, settings_overrides=SETTINGS)
    metadata = _docinfo(tree)
    for info in list(tree.findall(nodes.docinfo)):
        info.parent.remove(info)
    for literal in tree.findall(nodes.literal):
        literal["classes"] = ["code"]  # written as <code>, not as <span>
    heading = tree.next_node(nodes.title)
    title = " ".join(heading.astext().split()) if heading is not None else ""
    html = core.publish_from_doctree(tree, writer="html5", settings_overrides=SETTINGS).decode()
    body = html[html.index("<body") : html.rindex("</body>")]
    body = CODE_BLOCK.sub(r'<pre><code class="language-\1">', body)
    return ParsedDocument(to_markdown(body, tree.astext()), title, metadata)


def _docinfo(tree: nodes.document) -> dict[str, JSON]:
    from docutils import nodes

    found: dict[str, JSON] = {}
    for info in tree.findall(nodes.docinfo):
        for field in info.children:
            if isinstance(field, nodes.field):
                found[field[0].astext().lower()] = field[1].astext()
            elif isinstance(field, nodes.Element):
                found[field.tagname] = field.astext()
    return found


@contextmanager
def _registries_of_its_own() -> Iterator[None]:
    """Take back at the end what a document has changed in docutils' module-wide tables.

    Among it are roles and a default role that the document defines, and nested state machines, which docutils
    keeps for the next document together with their section levels.
    """
    from docutils.parsers.rst import directives, roles, states

    names = {roles: ("_roles", "_role_registry"), directives: ("_directives", "_directive_registry")}
    registries: list[dict[str, Any]] = [vars(module)[name] for module in names for name in names[module]]
    before = [registry.copy() for registry in registries]
    states.RSTState.nested_sm_cache.clear()
    try:
        yield
    finally:
        states.RSTState.nested_sm_cache.clear()
        for registry, entries in zip(registries, before, strict=True):
            registry.clear()
            registry.update(entries)


class _AnyOptions(dict[str, Any]):
    """Accepts every option of an unknown directive, and keeps none."""

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, name: str) -> Any:
        return lambda value: value


def _give_unknown_names_a_meaning(source: str) -> None:
    """Register the directives and roles of this document that docutils lacks, and the one that reads the clock."""
    from docutils.parsers.rst import directives, roles
    from docutils.parsers.rst.languages import en

    text_directive = _text_directive()
    unknown = {name.lower() for name in DIRECTIVE.findall(source)} - en.directives.keys()
    for name in {*unknown, CLOCK}:
        directives.register_directive(name, text_directive)
    for name in {(before or after).lower() for before, after in ROLE.findall(source)} - en.roles.keys():
        roles.register_local_role(name, _text_role)


def _text_directive() -> type:
    from docutils import nodes
    from docutils.parsers.rst import Directive

    class TextOfUnknownDirective(Directive):
        optional_arguments = 1
        final_argument_whitespace = True
        option_spec = _AnyOptions()
        has_content = True

        def run(self) -> list[nodes.Node]:
            container = nodes.container()
            if self.arguments:
                container += nodes.paragraph(self.arguments[0], self.arguments[0])
            self.state.nested_parse(self.content, self.content_offset, container)
            if isinstance(self.state_machine.node, nodes.substitution_definition):
                return [nodes.Text(container.astext())]
            return [container]

    return TextOfUnknownDirective


def _text_role(
    role: str, rawtext: str, text: str, lineno: int, inliner: Any, options: Any = None, content: Any = None
) -> tuple[list[Any], list[Any]]:
    from docutils import nodes, utils

    shown = ROLE_TARGET.sub("", utils.unescape(text)) or utils.unescape(text)
    return [nodes.literal(rawtext, shown)], []
