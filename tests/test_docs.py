"""What the pages in Markdown name is there: links, sections, files and modules."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MADE_UP = {"lungquiz"}  # the source that docs/adding-a-source.md adds

LINK = re.compile(r"\]\(([^)\s]*)\)")
NAMED = re.compile(r"[\w.*/-]*\w+\.py\b|(?<![\w/.-])(?:octomed_jax|configs|tests|docs|launch|benchmarks)(?:/[\w.*-]+)+")
MODULE = re.compile(r"\boctomed_jax(?:\.[a-z_]\w*)+")


def tracked() -> list[str]:
    """Return the files of the checkout; of an unpacked one, those that are there."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return listed.stdout.splitlines()
    return [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]


FILES = tracked()
PAGES = [name for name in FILES if name.endswith(".md") and not name.startswith(("tests/", "."))]


def sections(page: Path) -> set[str]:
    """Return the names by which a link leads to the sections of a page."""
    titles = re.findall(r"^#+ +(.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def module(parts: list[str]) -> Path | None:
    """Return the file of a module, if it is one."""
    place = ROOT.joinpath(*parts)
    return next((file for file in (place / "__init__.py", place.with_suffix(".py")) if file.exists()), None)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in LINK.findall((ROOT / page).read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        place, _, section = link.partition("#")
        target = ROOT / page if not place else (ROOT / page).parent / place
        assert target.exists(), f"{page} links to {link}, which is not there"
        assert not section or section in sections(target), f"{page} links to {link}, which has no such section"


@pytest.mark.parametrize("page", PAGES)
def test_files_and_modules_that_a_page_names_exist(page):
    """A name in capitals stands for any; a name alone may lie in any folder."""
    text = (ROOT / page).read_text()
    for name in NAMED.findall(text):
        if any(part.isupper() for part in re.split(r"[/.]", name)) or any(word in name for word in MADE_UP):
            continue
        there = any(ROOT.glob(name.removeprefix("../"))) or any(file.endswith(f"/{name}") for file in FILES)
        assert there, f"{page} names {name}, which is not there"
    for name in MODULE.findall(text):
        parts = name.split(".")
        while not (file := module(parts)):
            parts.pop()
        rest = name.split(".")[len(parts) :]
        assert all(re.search(rf"\b{word}\b", file.read_text()) for word in rest), f"{page} names {name}: not there"
