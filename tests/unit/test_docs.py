"""README and docs say only what runs: their stack files plan, their links lead somewhere, their plan is the plan."""

import os
import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bench import memory_error
from infra import __version__
from infra.__main__ import COMMANDS
from infra.commands.common import plan_of
from infra.problem import Severity
from infra.report import text
from infra.stack import KEY, Stack, read

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
PLAN = re.compile(r"(<!-- plan:dev -->\n```\n).*?(```\n<!-- /plan:dev -->)", re.DOTALL)
COLUMNS = 110


def stack_files() -> list[tuple[str, str]]:
    blocks = [
        (f"{page.relative_to(ROOT)} #{number}", block)
        for page in PAGES
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL))
        if KEY in block
    ]
    examples = [(path.name, path.read_text()) for path in sorted((ROOT / "examples").glob("*.yaml"))]
    return [*blocks, *examples]


@pytest.mark.parametrize(("where", "content"), stack_files(), ids=lambda value: value if len(value) < 60 else "")
def test_every_stack_file_in_readme_docs_and_examples_plans_without_errors(where: str, content: str) -> None:
    config = YAML(typ="safe", pure=True).load(content)["config"]
    plan = plan_of(Stack(name="docs", path=ROOT, fleet=config[KEY], settings=config))
    assert [problem for problem in plan.problems if problem.severity is Severity.ERROR] == [], where


def test_the_readme_shows_the_plan_of_the_dev_stack() -> None:
    """Renew it with UPDATE_GOLDEN=1."""
    readme = ROOT / "README.md"
    shown = text.render(plan_of(read(ROOT, "dev")), width=COLUMNS)
    shown = "\n".join(line.rstrip() for line in shown.splitlines()) + "\n"
    renewed = PLAN.sub(lambda match: match[1] + shown + match[2], readme.read_text())
    if os.environ.get("UPDATE_GOLDEN"):
        readme.write_text(renewed)
    assert PLAN.search(renewed)
    assert readme.read_text() == renewed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_make_target_that_readme_and_docs_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"\bmake ([a-z-]+)\b", page.read_text())}
    assert named <= targets


def test_every_fleet_command_that_pages_and_messages_name_exists() -> None:
    code = [path for folder in ("infra", "components", "router", "prepare") for path in (ROOT / folder).rglob("*.py")]
    named = {
        (command, str(path.relative_to(ROOT)))
        for path in [*PAGES, *code]
        for command in re.findall(r"`fleet ([a-z]+)", path.read_text())
    }
    assert ("plan", "README.md") in named
    assert not {(command, path) for command, path in named if command not in COMMANDS}


def test_the_version_is_the_same_wherever_it_is_said() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_page_about_memory_has_every_measurement_with_its_error() -> None:
    rows = re.findall(r"^\| (\S+) \| ([\d,]+) x (\d+) \| (on|off) \| (\w+) \| .* \| (\S+) % \|$",
                      (ROOT / "docs" / "memory.md").read_text(), re.MULTILINE)  # fmt: skip
    assert rows == [
        (
            row.title,
            f"{row.context:,}",
            str(row.parallel),
            "on" if row.flash_attention else "off",
            "SIZE" if row.of == "size" else row.of,
            f"{100 * row.error:+.0f}" if round(100 * row.error) else "0",
        )
        for row in memory_error.rows()
    ]
