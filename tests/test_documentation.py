"""What the documentation must name: settings, routes, error codes, commands, make targets."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.urls import get_resolver

from agent_conversations.api.exceptions import RESPONSES
from tests import architecture, reference
from tests.agent_conversations.api.routes import PREFIX, ROUTES

PROJECT_DIR = Path(__file__).resolve().parent.parent
DOCS = PROJECT_DIR / "docs"
CONTRIBUTING = (PROJECT_DIR / "CONTRIBUTING.md").read_text()
API = (DOCS / "api.md").read_text()
ERRORS = (DOCS / "errors.md").read_text()
LICENCES = (DOCS / "licences.md").read_text()
REQUIREMENTS = (PROJECT_DIR / "requirements" / "base.txt").read_text()
NAVIGATION = (PROJECT_DIR / "mkdocs.yml").read_text()
PAGES = [*PROJECT_DIR.glob("*.md"), *DOCS.rglob("*.md")]
LINK = re.compile(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def rows_of(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the tables in a section, without the lines above their first row."""
    section = re.split(rf"^#+ {heading}$", page, flags=re.MULTILINE)[1]
    lines = re.split(r"^#+ ", section, flags=re.MULTILINE)[0].splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if "|" in line
    ]
    return [row for row in rows if row[0].startswith("`")]


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def paths_beside_the_api() -> Iterator[str]:
    for pattern in get_resolver().url_patterns:
        path = f"/{pattern.pattern}".replace("/^/", "/")
        path = path.replace("<conversation_id>", "{conversationId}")
        if not path.startswith(PREFIX):
            yield path


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (PROJECT_DIR / "Makefile").read_text(), re.MULTILINE))


def test_every_route_is_in_the_table_of_routes() -> None:
    documented = {tuple(row[0].strip("`").split()) for row in rows_of(API, "Routes")}

    assert documented == {
        (
            method,
            path.removeprefix(PREFIX)
            .replace("c-1", "{conversationId}")
            .replace("m-1", "{messageId}")
            .replace("p-1", "{pushId}"),
        )
        for method, path in ROUTES
    }


def test_every_path_beside_the_api_is_documented() -> None:
    paths = set(paths_beside_the_api())

    assert {"/", "/health", "/openapi.yaml"} <= paths
    assert [path for path in paths if f"`{path}`" not in API] == []


def test_every_error_code_is_documented_with_its_status() -> None:
    documented = {
        (int(row[0].strip("`")), code)
        for row in rows_of(ERRORS, "Errors")
        for code in code_in(row[1])
    }

    assert documented == {(error.status, error.code) for error in RESPONSES.values()}


def test_reference_pages_are_fresh() -> None:
    pages = list(reference.pages())

    assert ["`PORT`" in page or "`serve`" in page for _, page in pages] == [True, True]
    assert [path for path, page in pages if path.read_text() != page] == [], "run make reference"


def test_licences_are_of_the_packages_that_are_pinned() -> None:
    pinned = set(re.findall(r"^([\w.-]+)==([^ ;]+)", REQUIREMENTS, re.MULTILINE))
    rows = re.findall(r"^\| ([\w.-]+) \| (\d\S*) \| (.+) \|$", LICENCES, re.MULTILINE)

    named = {(name.lower().replace("_", "-"), version) for name, version, _ in rows}
    assert len(named) > 30
    assert named <= pinned, "run make release"


def test_every_page_is_in_the_navigation() -> None:
    named = set(re.findall(r"([\w/-]+\.md)$", NAVIGATION, re.MULTILINE))

    assert named == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}


def test_every_make_target_is_in_contributing() -> None:
    targets = make_targets()

    assert {"help", "run", "test"} <= targets
    assert [name for name in targets if f"  make {name} " not in CONTRIBUTING] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT_DIR).as_posix())
def test_every_link_to_a_file_leads_to_it(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if anchor:
            headings = HEADING.findall(target.read_text())
            slugs = [
                re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings
            ]
            assert anchor in slugs, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT_DIR).as_posix())
def test_every_table_begins_after_a_blank_line(page: Path) -> None:
    """A code host draws it without one, too; the site shows its lines as text."""
    assert re.findall(r"^[^|\n].*\n\|.*$", page.read_text(), re.MULTILINE) == []


@pytest.mark.parametrize(
    "page", [CONTRIBUTING, architecture.PAGE.read_text()], ids=["CONTRIBUTING", "architecture"]
)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"`([\w./-]+/[\w./-]+\.\w+)`(?! \(new\))", page))
    folders = [PROJECT_DIR, PROJECT_DIR / "agent_conversations"]

    assert named
    assert [path for path in named if not any((one / path).exists() for one in folders)] == []


def test_picture_of_the_architecture_is_fresh() -> None:
    page = architecture.PAGE.read_text()

    assert page == architecture.with_picture(page), "run make architecture"
