"""The book of docs/: what mdBook reads, and a look at what it made.

Usage: python3 scripts/book.py stage FOLDER   makes FOLDER anew: book.toml, and src with docs/ and what its pages link to outside it
       python3 scripts/book.py check FOLDER   fails if a page of FOLDER, or a link, an anchor or a picture in one, leads nowhere

A forge shows ../deploy/postgres/schema.sql beside the page that links it. The book has no such folder, so what is linked comes along
below `repository`: Markdown of the top folder as chapters, other files as text that a browser shows, folders as lists of their files.
"""

import html
import os
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# Chapters of their own, behind those of docs/SUMMARY.md.
TOP = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
SHOWN_AS_THEY_ARE = {".png", ".svg", ".html", ".json", ".txt"}
LEFT_OUT = {"node_modules", "target", "__pycache__"}
LINK = re.compile(r"(\]\(|<img src=\")([^)\s\"]+)")


def stage(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    source = folder / "src"
    shutil.copytree(DOCS, source)
    settings = (ROOT / "book.toml").read_text()
    for here, there in [('src = "docs"', 'src = "src"'), ('"docs/', '"src/'), ('"target/book/html"', '"html"')]:
        if here not in settings:
            raise SystemExit(f"error: book.toml doesn't say {here}")
        settings = settings.replace(here, there)
    (folder / "book.toml").write_text(settings)
    with (source / "SUMMARY.md").open("a") as summary:
        summary.write("\n# The repository\n\n")
        for name in TOP:
            title = next(line for line in (ROOT / name).read_text().splitlines() if line.startswith("# "))[2:]
            summary.write(f"- [{'README' if name == 'README.md' else title}](repository/{chapter(name)})\n")
    pages = [path for path in DOCS.rglob("*.md") if path.name != "SUMMARY.md"] + [ROOT / name for name in TOP]
    for page in pages:
        at = place(page, source)
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(outside_code(page.read_text(), lambda text: with_links(text, page, source)))


def chapter(name: str) -> str:
    # `README.md` becomes `index.html`, which is a folder's list.
    return "THE_README.md" if name == "README.md" else name


def place(path: Path, source: Path) -> Path:
    """Where a file or folder of the repository stands in the book's source."""
    if path.is_relative_to(DOCS):
        return source / ("adr/README.md" if path == DOCS / "adr" else path.relative_to(DOCS))
    relative = path.relative_to(ROOT)
    if str(relative) in TOP:
        return source / "repository" / chapter(str(relative))
    if path.is_dir():
        return source / "repository" / relative / "index.html"
    # mdBook takes `.md` within a name for a chapter's ending, too.
    name = relative.name if relative.suffix in SHOWN_AS_THEY_ARE else relative.name.removesuffix(".md") + ".txt"
    return source / "repository" / relative.parent / name


def outside_code(text: str, change) -> str:
    """The text with `change` made to what stands outside blocks of code."""
    parts = re.split(r"(?ms)(^ *```.*?^ *```$)", text)
    return "".join(part if part.lstrip().startswith("```") else change(part) for part in parts)


def with_links(text: str, page: Path, source: Path) -> str:
    def changed(found: re.Match) -> str:
        target = found[2]
        if urlsplit(target).scheme or target.startswith("#"):
            return found[0]
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve()
        if not linked.is_relative_to(ROOT) or not linked.exists():
            raise SystemExit(f"error: {page.relative_to(ROOT)} links {target}, which is not there")
        bring(linked, source)
        relative = os.path.relpath(place(linked, source), place(page, source).parent)
        # A folder's own chapter becomes its `index.html`.
        relative = re.sub(r"(^|/)README\.md$", r"\1index.md", relative)
        return found[1] + relative + ("#" + anchor if anchor else "")

    return LINK.sub(changed, text)


def bring(linked: Path, source: Path) -> None:
    """Copies what is linked, unless it is there already."""
    at = place(linked, source)
    if linked.is_relative_to(DOCS) or at.suffix == ".md" or at.exists():
        return
    at.parent.mkdir(parents=True, exist_ok=True)
    if linked.is_file():
        shutil.copy(linked, at)
        return
    rows = []
    for path in sorted(linked.rglob("*")):
        if path.is_file() and not LEFT_OUT.intersection(path.parts):
            bring(path, source)
            href = os.path.relpath(place(path, source), at.parent)
            rows.append(f'<li><a href="{html.escape(href)}">{html.escape(str(path.relative_to(linked)))}</a></li>')
    name = html.escape(str(linked.relative_to(ROOT)))
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><h1>{name}</h1>'
    at.write_text(head + "<ul>" + "\n".join(rows) + "</ul></html>\n")


class Page(HTMLParser):
    """What a page has and what it leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.ids.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        loads = given.get("href") if tag == "link" else given.get("src")
        if loads:
            self.loaded.append(loads)


def check(folder: Path) -> None:
    pages = {path.resolve(): Page(path.read_text()) for path in folder.rglob("*.html")}
    problems = []
    reached: dict[Path, set[Path]] = {path: set() for path in pages}
    for path, page in pages.items():
        # What a server shows in the place of a page that isn't there is found from any folder.
        if path.name == "404.html":
            continue
        where = path.relative_to(folder.resolve())
        for target in page.loaded + page.links:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in page.loaded and parts.scheme != "data":
                    problems.append(f"{where} loads {target} from elsewhere")
                continue
            linked = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not linked.is_file():
                problems.append(f"{where}: {target} leads nowhere")
            elif linked in pages:
                reached[path].add(linked)
                if parts.fragment and unquote(parts.fragment) not in pages[linked].ids:
                    problems.append(f"{where}: {target} has no such anchor")
    problems.extend(f"nothing leads to {page}" for page in sorted(unreached(folder.resolve(), reached)))
    if problems:
        raise SystemExit("error: the book is not whole:\n  " + "\n  ".join(problems))
    print(f"{len(pages)} pages, {sum(len(page.links) for page in pages.values())} links")


def unreached(folder: Path, reached: dict[Path, set[Path]]) -> set[str]:
    """Pages to which nothing leads from the first one."""
    seen, following = set(), [folder / "index.html"]
    while following:
        page = following.pop()
        if page not in seen:
            seen.add(page)
            following.extend(reached[page])
    apart = {"404.html", "print.html", "toc.html"}
    return {str(path.relative_to(folder)) for path in reached if path not in seen} - apart


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stage", folder]:
            stage(Path(folder))
        case ["check", folder]:
            check(Path(folder))
        case _:
            raise SystemExit(__doc__)
