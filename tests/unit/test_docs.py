"""README and docs say only what runs: their stack files plan, their links lead somewhere, their plan is the plan."""

import argparse
import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bench import memory_error
from docs import generate
from infra import __version__
from infra.__main__ import COMMANDS, parser
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


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        leads_to = page.parent / path if path else page
        assert leads_to.exists(), target
        assert not anchor or anchor in anchors(leads_to), target


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#]+)", index.read_text())}
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - linked == {index}


def test_every_make_target_and_variable_that_readme_and_docs_name_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    known = {*re.findall(r"\$\(([A-Z_]+)\)", makefile), "OLLAMA_URL"}
    for page in PAGES:
        for target, rest in re.findall(r"\bmake ([a-z-]+)\b((?: [A-Z_]+=\S+)*)", page.read_text()):
            assert target in targets, (page.name, target)
            for variable in re.findall(r"([A-Z_]+)=", rest):
                assert variable in known, (page.name, variable)


def shell_lines() -> list[str]:
    """Every line of a page's shell blocks that calls `fleet`, without its comment."""
    return [
        line.partition(" #")[0].strip()
        for page in PAGES
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
        if re.match(r"\s*fleet [a-z]", line)
    ]


@pytest.mark.parametrize("line", shell_lines())
def test_every_fleet_command_of_a_shell_block_is_one_that_the_tool_takes(line: str) -> None:
    parser().parse_args(shlex.split(line)[1:])


def test_every_option_of_a_command_that_pages_and_messages_name_exists() -> None:
    (commands,) = [one for one in parser()._actions if isinstance(one, argparse._SubParsersAction)]
    known = {name: set(command._option_string_actions) for name, command in commands.choices.items()}
    named = [
        (page.name, command, option)
        for page in PAGES
        for command, rest in re.findall(r"`(?:[^`\n]* )?fleet ([a-z]+)([^`]*)`", page.read_text())
        for option in re.findall(r"--[a-z-]+", rest)
    ]
    assert len(named) > 3
    assert [one for one in named if one[2] not in known[one[1]]] == []


def test_the_reference_is_what_file_and_tool_say_and_explains_every_key_and_option() -> None:
    """Renew it with UPDATE_GOLDEN=1, or docs/generate.py."""
    if os.environ.get("UPDATE_GOLDEN"):
        generate.PAGE.write_text(generate.render(), encoding="utf-8")
    page = generate.PAGE.read_text(encoding="utf-8")
    assert page == generate.render()
    rows = [line for line in page.splitlines() if re.match(r"\| [^|]", line) and not line.startswith("| Key ")]
    assert [row for row in rows if row.split(" | ")[-1].strip(" |") == ""] == []


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
