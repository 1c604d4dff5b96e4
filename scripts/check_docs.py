"""Hold the documents to the code: a sentence or a diff for everything that isn't so.

    python scripts/check_docs.py            # check; exit code 1 if something is wrong
    python scripts/check_docs.py --write    # write docs/cli.md anew first

Checked are: the reference of the command line, every `sfumato …` command that is shown, links
and paths, lengths, the changelog's newest heading, the modules that ARCHITECTURE.md names, the
words, and that every table of figures says where its figures come from: the line above it is

    <!-- figures: the data; the machine; the command -->
"""

from __future__ import annotations

import difflib
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import click

import sfumato
from sfumato.cli import cli

ROOT: Final = Path(__file__).resolve().parents[1]
REFERENCE: Final = "docs/cli.md"
COLUMNS: Final = 100  # of the terminal; click leaves two of them free

LONGEST: Final = {
    "README.md": 149,
    "ARCHITECTURE.md": 79,
    "docs/obfuscation.md": 119,
    "docs/verification.md": 119,
}
# Tables of versions, with nothing that was measured.
WITHOUT_FIGURES: Final = frozenset({REFERENCE, "docs/dependencies.md"})
# The only ways in which we say this word: that our result isn't it.
NOT_CLAIMED: Final = ('never "anonymous"', "not anonymous", 'not "anonymous"')

HEAD: Final = """# The command line

<!-- Written by `python scripts/check_docs.py --write`; don't edit. -->

This is what `--help` prints. Exit codes: `0` done and passed, `1` finished, but a check failed,
`2` wrong use or configuration, `3` finished with refused images, `130` interrupted.
"""

_FENCE = re.compile(r"^(```+)(\w*)\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^ {4}(?:\$ )?(sfumato .*)$", re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_TARGET = re.compile(r'\]\(([^)\s]+)(?:\s+"[^"]*")?\)|<img[^>]*\ssrc="([^"]+)"')
_HEADING = re.compile(r"^#+ +(.*?)\s*$", re.MULTILINE)
_PATH = re.compile(r"(?<![\w/.])(?:benchmarks|docs|licenses|scripts|tests)/[\w/-]+\.\w+")
_TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
_FIGURES = re.compile(r"<!-- figures: [^;]*\w[^;]*; [^;]*\w[^;]*; [^;]*\w[^;]* -->")
_SHELL = frozenset({"", "sh", "bash", "console", "shell"})


@dataclass(frozen=True, slots=True)
class Page:
    """A document: its path below the root, and its text."""

    path: str
    text: str

    def say(self, at: int, words: str) -> str:
        """Return a problem with the line that it is on."""
        return f"{self.path}:{self.text.count(chr(10), 0, at) + 1}: {words}"

    def prose(self) -> str:
        """Return the text with blanks in place of fenced code: offsets stay."""
        return _FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), self.text)


# The reference of the command line


@cache
def reference() -> str:
    """Return what docs/cli.md should hold: the help of every verb, as a wide terminal shows it."""
    parts = [HEAD]
    for name, text in _helps(cli, _context(cli, "sfumato", None)):
        parts.append(f"## {name}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    settings = {"terminal_width": COLUMNS - 2, **command.context_settings}
    return click.Context(command, info_name=name, parent=parent, **settings)


def _helps(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from _helps(child, _context(child, name, context))


def stale_reference(root: Path) -> Iterator[str]:
    """Yield the difference between docs/cli.md and what `--help` prints."""
    path = root / REFERENCE
    found = path.read_text(encoding="utf-8") if path.is_file() else ""
    if found != reference():
        lines = difflib.unified_diff(
            found.splitlines(), reference().splitlines(), REFERENCE, "--help now", lineterm="", n=1
        )
        yield f"{REFERENCE}: run `python scripts/check_docs.py --write`\n" + "\n".join(lines)


# Commands


def wrong_commands(page: Page) -> Iterator[str]:
    """Yield each `sfumato …` that the program would refuse.

    In a block of code the whole line must parse; in running text only the verb and the names of
    the options must be there.
    """
    for at, line in _shown_commands(page):
        for words in _simple_commands(line):
            if problem := refusal(words, whole=True):
                yield page.say(at, f"`sfumato {shlex.join(words)}`: {problem}")
    prose = page.prose()
    for span in _SPAN.finditer(prose):
        code = " ".join(span[1].split())
        if code.startswith("sfumato ") and (problem := refusal(code.split()[1:], whole=False)):
            yield page.say(span.start(), f"`{code}`: {problem}")


def _shown_commands(page: Page) -> Iterator[tuple[int, str]]:
    for fence in _FENCE.finditer(page.text):
        if fence[2] in _SHELL:
            for line in fence[3].replace("\\\n", " ").splitlines():
                yield fence.start(), line.removeprefix("$ ")
    for match in _INDENTED.finditer(page.prose()):
        yield match.start(), match[1]


def _simple_commands(line: str) -> Iterator[list[str]]:
    """Yield the words behind each `sfumato` of a shell line, up to the next operator."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] | None = None
    first = True
    for word in lexer:
        if set(word) <= set("|&;<>"):
            if words is not None:
                yield words
            words, first = None, True
        elif words is not None:
            words.append(word)
        elif first and re.fullmatch(r"(?:\S*/)?sfumato", word):
            words = []
        else:
            first = first and "=" in word
    if words is not None:
        yield words


def refusal(words: Sequence[str], *, whole: bool) -> str:
    """Return why the program would refuse these words, "" if it wouldn't; nothing is run."""
    rest = list(words)
    leaf: click.Command = cli
    context = _context(leaf, "sfumato", None)
    while isinstance(leaf, click.Group) and rest and not rest[0].startswith("-"):
        child = leaf.get_command(context, rest[0])
        if child is None:
            return f"`{context.command_path}` has no verb {rest[0]!r}"
        context, leaf = _context(child, rest.pop(0), context), child
    known = {name for p in leaf.get_params(context) for name in (*p.opts, *p.secondary_opts)}
    for word in rest:
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        if word.startswith("-") and name not in known:
            return f"`{context.command_path}` has no option {name}"
    if not whole or isinstance(leaf, click.Group) or {"-h", "--help"} & set(rest):
        return ""
    if "--config" in rest:  # it would be read
        del rest[rest.index("--config") : rest.index("--config") + 2]
    try:
        leaf.make_context(context.info_name, rest, parent=context.parent)
    except click.ClickException as error:
        return error.format_message()
    return ""


# Links, words, figures


def dead_links(root: Path, page: Page) -> Iterator[str]:
    """Yield each relative link, image or path in code that leads nowhere."""
    folder = (root / page.path).parent
    prose = page.prose()
    for match in _TARGET.finditer(prose):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = folder / path if path else root / page.path
        if not file.exists():
            yield page.say(match.start(), f"{target} doesn't exist")
        elif anchor and anchor not in _anchors(file.read_text(encoding="utf-8")):
            yield page.say(match.start(), f"{target}: there is no such heading")
    for match in _PATH.finditer(page.text):
        if not (root / match[0]).exists():
            yield page.say(match.start(), f"{match[0]} doesn't exist")


def _anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document."""
    headings = (match[1].lower() for match in _HEADING.finditer(Page("", text).prose()))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def claims(page: Page) -> Iterator[str]:
    """Yield each word that promises more than is shown, and each place left to be filled in."""
    text = page.text.replace("\n", " ")
    for phrase in NOT_CLAIMED:
        text = re.sub(re.escape(phrase), " " * len(phrase), text, flags=re.IGNORECASE)
    for match in re.finditer(r"\w*anonym\w*", text, re.IGNORECASE):
        yield page.say(match.start(), f"{match[0]!r} isn't what is shown: write obfuscated")
    for match in re.finditer(r"\bTBD\S*", page.text):
        yield page.say(match.start(), f"{match[0]} is still to be filled in")


def unsourced_figures(page: Page) -> Iterator[str]:
    """Yield each table with a number in it (code aside) that doesn't say where they come from."""
    prose = page.prose()
    for table in _TABLE.finditer(prose):
        numbers = re.search(r"\d", _SPAN.sub("", table[0]))
        above = prose[: table.start()].rstrip().rpartition("\n")[2]
        if numbers and not _FIGURES.fullmatch(above):
            words = "the line above must be <!-- figures: the data; the machine; the command -->"
            yield page.say(table.start(), f"a table of figures without their source: {words}")


def too_long(page: Page) -> Iterator[str]:
    """Yield a document that has grown beyond what is read."""
    lines = page.text.count("\n")
    if lines > LONGEST.get(page.path, lines):
        yield f"{page.path}: {lines} lines, at most {LONGEST[page.path]} are wanted"


# Single documents


def wrong_version(changelog: str) -> Iterator[str]:
    """Yield a changelog whose newest heading is neither this version nor Unreleased."""
    newest = re.search(r"^## \[?([^\]\s]+)", changelog, re.MULTILINE)
    if newest is None or newest[1] not in ("Unreleased", sfumato.__version__):
        found = newest[1] if newest else "nothing"
        yield f"CHANGELOG.md: begins with {found}, but this is {sfumato.__version__}"


def wrong_modules(root: Path, page: Page) -> Iterator[str]:
    """Yield modules that ARCHITECTURE.md leaves out, and files it names that aren't there."""
    package = root / "src" / "sfumato"
    spans = {span[1] for span in _SPAN.finditer(page.text)}
    for entry in sorted(package.iterdir()):
        name = f"{entry.name}/" if (entry / "__init__.py").exists() else entry.name
        if name.endswith(("/", ".py")) and name != "__init__.py" and name not in spans:
            yield f"{page.path}: says nothing of `{name}`"
    there = {file.name for folder in (package, root / "scripts") for file in folder.rglob("*.py")}
    for name in sorted(span for span in spans if re.fullmatch(r"\w+\.py", span)):
        if name not in there:
            yield f"{page.path}: there is no {name}"


def pages(root: Path) -> list[Page]:
    """Return the documents: those at the top, and those of docs and benchmarks."""
    files = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("benchmarks/**/*.md")]
    found = ((file.relative_to(root).as_posix(), file) for file in sorted(files))
    return [Page(path, file.read_text(encoding="utf-8")) for path, file in found]


def problems(root: Path) -> Iterator[str]:
    """Yield everything that is wrong with the documents below a root."""
    yield from stale_reference(root)
    found = {page.path: page for page in pages(root)}
    for missing in sorted({"README.md", "ARCHITECTURE.md", "CHANGELOG.md"} - found.keys()):
        yield f"{missing} is missing"
    for path, page in found.items():
        yield from dead_links(root, page)
        yield from claims(page)
        yield from too_long(page)
        if path != REFERENCE:
            yield from wrong_commands(page)
        if path.startswith(("README", "docs/")) and path not in WITHOUT_FIGURES:
            yield from unsourced_figures(page)
    if "CHANGELOG.md" in found:
        yield from wrong_version(found["CHANGELOG.md"].text)
    if "ARCHITECTURE.md" in found:
        yield from wrong_modules(root, found["ARCHITECTURE.md"])


def main(arguments: Sequence[str]) -> int:
    """Check the documents of this checkout; with `--write`, write the reference first."""
    if set(arguments) - {"--write"}:
        print("usage: python scripts/check_docs.py [--write]", file=sys.stderr)
        return 2
    if "--write" in arguments:
        (ROOT / REFERENCE).write_text(reference(), encoding="utf-8")
    found = list(dict.fromkeys(problems(ROOT)))
    for problem in found:
        print(problem)
    print(f"documents: {len(found)} problems" if found else "documents: all as the code says")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
