"""A hook of MkDocs: the pages of the site that are not in docs/, and links that are right on the site.

In the repository, links lead from file to file, so that they work where the sources are read. On the site, docs/ is the
root: each link is resolved in the repository first, and then written for the site.
"""

from __future__ import annotations

import os.path
import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
# MkDocs loads this file by its path.
sys.path.insert(0, str(ROOT))

from tools.site import demo, reference  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

_COPIED = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "guest/freestanding/README.md",
    "guest/linux-module/README.md",
)
"""Pages from outside docs/."""
_DIALOG = 'data-md-component="search" role="dialog"'
_LINK = re.compile(r"(\]\(|srcset=\"|src=\")(?!https?:|#|mailto:)([^)\"#]+)(#[^)\"]*)?(?=[)\"])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository that lie outside docs/, the files that pages link to, and the generated ones."""
    for name in _COPIED:
        files.append(File.generated(config, _on_site(name), content=(ROOT / name).read_text()))
    for name, content in reference.pages().items():
        files.append(File.generated(config, name, content=content))
    files.append(File.generated(config, "demo.md", content=demo.PAGE))
    for name, path in demo.make(Path(config.site_dir).with_name("site-demo")).items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    for name in sorted(_linked_files(files)):
        files.append(File.generated(config, _on_site(name), abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page."""
    del config, files
    source = page.file.src_uri
    directory = posixpath.dirname(source)

    def rewritten(link: re.Match[str]) -> str:
        target = _on_site(_in_repository(source, link[2]))
        return f"{link[1]}{posixpath.relpath(target, directory)}{link[3] or ''}"

    return markdown if source.startswith("reference/") else _LINK.sub(rewritten, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Give Material's search dialog the name that assistive technology reads."""
    del page, config
    return output.replace(_DIALOG, f'{_DIALOG} aria-label="Search"')


def _linked_files(files: Files) -> set[str]:
    """The files outside docs/, by their path in the repository, that pages link to and that are no pages."""
    linked = set()
    for file in files:
        if file.is_documentation_page() and not file.src_uri.startswith("reference/"):
            for link in _LINK.finditer(file.content_string):
                name = _in_repository(file.src_uri, link[2])
                if not name.startswith("docs/") and name not in (*_COPIED, "man"):
                    linked.add(name)
    return linked


def _in_repository(source: str, link: str) -> str:
    """The path in the repository to which ``link`` leads on the page ``source`` of the site."""
    path = next((name for name in _COPIED if _on_site(name) == source), f"docs/{source}")
    return os.path.normpath(posixpath.join(posixpath.dirname(path), link))


def _on_site(name: str) -> str:
    """The path on the site of a file of the repository."""
    if name == "README.md":
        return "index.md"
    if name == "man":
        return "reference/hypertrace.md"
    return name.removeprefix("docs/")
