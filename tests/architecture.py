"""Draws the picture in docs/architecture.md from the imports: ``make architecture``.

A box is a layer of the import contracts in pyproject.toml, an arrow an import. An import that other
arrows lead to as well is left out.
"""

import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import grimp

PROJECT_DIR = Path(__file__).resolve().parent.parent
PAGE = PROJECT_DIR / "docs" / "architecture.md"
OPENED = (
    "agent_conversations",
    "agent_conversations.api",
    "agent_conversations.store",
    "sessions_store",
)
"""Packages that are drawn as a frame with their layers in it; every other one is a box."""
_START, _END = "```mermaid\n", "```\n"
_LINE_CHARACTERS = 24

Box = tuple[str, ...]
"""A package, or the modules of one layer, which do not import each other."""


class Picture:
    """The import graph as a flowchart in Mermaid's language."""

    def __init__(self) -> None:
        configuration = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text())
        imports = configuration["tool"]["importlinter"]
        self._graph = grimp.build_graph(
            *imports["root_packages"], exclude_type_checking_imports=True, cache_dir=None
        )
        self._layers: dict[str, Sequence[str]] = {
            contract.get("containers", [""])[0]: contract["layers"]
            for contract in imports["contracts"]
            if contract["type"] == "layers"
        }
        self._box_of: dict[str, Box] = {}

    def __str__(self) -> str:
        lines = ["flowchart TB", *self._draw_layers("", "  "), *self._draw_arrows("  ")]
        return "".join(f"{line}\n" for line in lines)

    def _draw_layers(self, container: str, indent: str) -> Iterator[str]:
        for layer in self._layers[container]:
            names = [f"{container}.{name.strip()}".lstrip(".") for name in layer.split("|")]
            packages = [name for name in names if self._graph.find_children(name)]
            modules = tuple(name for name in names if name not in packages)
            for package in packages:
                if package in OPENED:
                    yield f"{indent}subgraph {package}.frame [{package}]"
                    yield from self._draw_layers(package, indent + "  ")
                    yield f"{indent}end"
                else:
                    yield self._draw_box((package,), indent)
            if modules:
                yield self._draw_box(modules, indent)

    def _draw_box(self, box: Box, indent: str) -> str:
        inside = [name for module in box for name in self._graph.find_descendants(module)]
        self._box_of |= dict.fromkeys([*box, *inside], box)
        modules = [name for name in inside if not self._graph.find_children(name)]
        label = "<br>".join([f"<b>{line}</b>" for line in _lines(box)] + _lines(modules))
        return f'{indent}{box[0]}["{label}"]'

    def _draw_arrows(self, indent: str) -> Iterator[str]:
        boxes = list(dict.fromkeys(self._box_of.values()))
        imported = {
            box: {
                self._box_of[target]
                for module, owner in self._box_of.items()
                if owner is box
                for target in self._graph.find_modules_directly_imported_by(module)
                if target in self._box_of
            }
            - {box}
            for box in boxes
        }
        reached: dict[Box, set[Box]] = {}
        for box in reversed(boxes):  # layers are drawn from the top, and imports only go down
            reached[box] = imported[box].union(*(reached[target] for target in imported[box]))
        for box in boxes:
            for target in boxes:
                indirect = any(target in reached[other] for other in imported[box])
                if target in imported[box] and not indirect:
                    yield f"{indent}{box[0]} --> {target[0]}"


def _lines(modules: Sequence[str]) -> list[str]:
    """Return the last parts of the modules' names, except private ones, in lines."""
    names = sorted(module.rpartition(".")[2] for module in modules)
    return textwrap.wrap(", ".join(name for name in names if name[0] != "_"), _LINE_CHARACTERS)


def with_picture(page: str) -> str:
    """Return the page with the picture of today's imports in the place of its own."""
    before, _, rest = page.partition(_START)
    _, _, after = rest.partition(_END)
    return f"{before}{_START}{Picture()}{_END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_picture(PAGE.read_text()))
