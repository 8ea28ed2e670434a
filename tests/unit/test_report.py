"""The plan for people and machines: complete at every width, harmless with any text, stable as JSON.

Renew the golden text after an intended change: UPDATE_GOLDEN=1 pytest tests/unit/test_report.py, and read its diff.
"""

import importlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from infra import stack
from infra.commands import common
from infra.plan.build import decide
from infra.plan.model import FleetPlan, Verdict
from infra.problem import Severity, error, warning
from infra.report import figures, markdown, text
from infra.visible import visible

to_json = importlib.import_module("infra.report.json")

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden" / "plan-dev.txt"
ESCAPE = "\x1b"
HOSTILE = (
    "[bold red]markup[/bold red] [link=https://evil.example]x[/link] [/]",
    f"{ESCAPE}[31mred{ESCAPE}]0;title\x07 \r\b\u202ereversed\u200b\u2028",
    "| cell | `code` <img src=x onerror=alert(1)> **bold** _it_ ~~gone~~ \\",
    "line one\n# heading\n| --- |\n```",
    "@org/team and (@user) fixes #12, owner/repo#7, ![](https://evil.example/pixel)",
    "日本語のモデル 👩‍💻 é",
    "\ud800 lone surrogate",
)


def plan_of(fleet: dict[str, Any], project: str | None = "example-project") -> FleetPlan:
    return decide(fleet, stack="test", project=project)


@pytest.fixture(scope="module")
def dev() -> FleetPlan:
    return common.plan_of(stack.read(ROOT, "dev"))


def words(rendered: str) -> list[str]:
    return sorted(rendered.split())


def hostile(plan: FleetPlan, evil: str) -> FleetPlan:
    """`evil` wherever a plan carries text of the file."""
    pool = replace(plan.pools[0], name=evil, residents=(replace(plan.pools[0].residents[0], model=evil),))
    pool = replace(pool, runtime=replace(pool.runtime, image=evil))
    model = replace(plan.models[0], name=evil, route=(evil, "t4"), shares=evil)
    alias = replace(plan.aliases[0], name=evil, targets={evil: 1, "other": 2})
    return replace(
        plan,
        stack=evil,
        pools=(pool, *plan.pools[1:]),
        models=(model, *plan.models[1:]),
        aliases=(alias,),
        problems=(error(evil, evil, evil), warning(evil, evil)),
    )


def test_the_dev_stack_reads_as_the_golden_text(dev: FleetPlan) -> None:
    assert dev.cost is not None
    # the day on which a price was last looked up is no change of the report
    rendered = text.render(replace(dev, cost=replace(dev.cost, date=date(2026, 1, 1))), width=120)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(rendered, encoding="utf-8")
    assert rendered == GOLDEN.read_text(encoding="utf-8"), "intended? UPDATE_GOLDEN=1 pytest tests/unit/test_report.py"


@pytest.mark.parametrize("width", [80, 100, 120, 160, 200])
def test_every_width_says_the_same_words_and_keeps_within_it(dev: FleetPlan, width: int) -> None:
    rendered = text.render(dev, width=width)
    assert words(rendered) == words(text.render(dev, width=1000))
    assert max(map(len, rendered.splitlines())) <= width
    assert "…" not in rendered
    assert all(line == line.rstrip() for line in rendered.splitlines())


def test_a_word_longer_than_the_line_stays_whole_in_a_problem(dev: FleetPlan) -> None:
    long = "fleet.models." + "x" * 200
    rendered = text.render(replace(dev, problems=(error(long, "m" * 150, "r" * 150),)), width=80)
    for word in (long, "m" * 150, "r" * 150):
        assert word in rendered


def test_a_long_name_in_a_table_loses_no_letter(dev: FleetPlan) -> None:
    name = "hf.co/" + "abcdefghij" * 20
    plan = replace(dev, models=(replace(dev.models[0], name=name),), aliases=(), problems=())
    rendered = text.render(plan, width=80)
    table = rendered.split("MODEL", 1)[1].split("RUNTIME", 1)[0]
    first_column = "".join(line.split("  ")[0] for line in table.splitlines()[1:])
    assert name in first_column


def test_errors_stand_last_above_the_verdict_and_remedies_below_their_message(dev: FleetPlan) -> None:
    plan = replace(dev, problems=(error("fleet.a", "broken", "mend it"), warning("fleet.b", "odd", "look at it")))
    lines = [line.strip() for line in text.render(plan).splitlines() if line.strip()]
    expected = [
        "warning  fleet.b  odd",
        "-> look at it",
        "error    fleet.a  broken",
        "-> mend it",
        "1 error, 1 warning",
    ]
    assert lines[-5:] == expected


def test_without_colour_there_is_no_escape_and_with_it_only_the_escapes_differ(dev: FleetPlan) -> None:
    plain, coloured = text.render(dev), text.render(dev, color=True)
    assert ESCAPE not in plain
    assert ESCAPE in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing_in_a_terminal(dev: FleetPlan, evil: str) -> None:
    for width in (40, 80, 200):
        rendered = text.render(hostile(dev, evil), width=width)
        assert all(letter == "\n" or visible(letter) == letter for letter in rendered)
    assert "".join(visible(evil).split()) in "".join(rendered.split())
    rendered.encode("utf-8")


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_text_stays_text_in_markdown(dev: FleetPlan, evil: str) -> None:
    rendered = markdown.render(hostile(dev, evil))
    rendered.encode("utf-8")
    assert not re.search(r"<(?!/?code>|br>)", rendered)
    for line in rendered.splitlines():
        # only our own tables have pipes, and each row as many as its table's head
        assert not line.startswith("|") or line.count("|") in (5, 6, 7)
        assert not re.search(r"[~!\\$\[\]]", line)
        assert line.startswith("#") or "#" not in re.sub(r"&#\d+;", "", line)
    prose = re.sub(r"<code>.*?</code>", "", rendered)
    assert not re.search(r"(?<!\w)&#64;\w", prose), "a mention"
    assert not re.search(r"&#35;\d", prose), "a reference to an issue"


def test_an_image_digest_in_a_remedy_can_be_copied_from_markdown() -> None:
    assert markdown.escape("ollama@sha256:ab") == "ollama&#64;sha256:ab"


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_text_comes_back_from_json_as_it_was(dev: FleetPlan, evil: str) -> None:
    document = json.loads(to_json.render(hostile(dev, evil)))
    assert document["pools"][0]["name"] == document["models"][0]["name"] == document["stack"] == evil
    assert evil in document["aliases"][0]["targets"]


def test_markdown_begins_with_verdict_and_money_and_says_what_was_left_out(dev: FleetPlan) -> None:
    rendered = markdown.render(dev)
    assert re.match(
        r"## Plan of <code>dev</code>\n\n\*\*0 errors, \d+ warnings?\*\* · \*\*USD [\d,]+ to [\d,]+", rendered
    )
    for part in ("not checked", "not counted", "traffic and NAT data", "`ollama ps` SIZE", "not official"):
        assert part in rendered
    for name in [*(pool.name for pool in dev.pools), *(model.name for model in dev.models)]:
        assert f"<code>{name}</code>" in rendered


def test_a_pool_with_an_error_is_said_to_be_in_no_sum_and_a_planned_one_is_not() -> None:
    pools = {"t4": {"gpu": "t4"}, "l4": {"gpu": "l44"}}
    fleet = {"gke": {"location": "us-central1-a"}, "pools": pools, "models": {"llama3.2:3b": ["t4", "l4"]}}
    plan = plan_of({**fleet, "budget": {"monthlyUsd": 1}})
    assert {one.place for one in plan.problems if one.severity is Severity.ERROR} >= {"fleet.pools.l4.gpu"}
    for rendered in (text.render(plan, width=120), markdown.render(plan)):
        assert "l4: in no route and no sum above, see the errors" in rendered
        assert "t4: in no route" not in rendered


def test_json_is_stable_and_carries_every_pool_model_alias_and_problem(dev: FleetPlan) -> None:
    rendered = to_json.render(dev)
    document = json.loads(rendered)
    assert rendered == json.dumps(document, indent=2, sort_keys=True) + "\n"
    assert rendered == to_json.render(dev)
    assert document["version"] == 1
    assert [pool["name"] for pool in document["pools"]] == [pool.name for pool in dev.pools]
    assert [model["name"] for model in document["models"]] == [model.name for model in dev.models]
    assert [alias["name"] for alias in document["aliases"]] == [alias.name for alias in dev.aliases]
    assert [one["message"] for one in document["problems"]] == [one.message for one in dev.problems]
    assert document["verdict"] == {"errors": 0, "warnings": len(figures.of(dev, Severity.WARNING))}


def test_json_names_its_units_and_both_sizes_of_a_model(dev: FleetPlan) -> None:
    document = json.loads(to_json.render(dev))
    t4 = next(pool for pool in document["pools"] if pool["name"] == "t4")
    need = t4["residents"][0]["need"]
    assert need["deviceBytes"] == need["sizeBytes"] + need["overheadBytes"]
    assert t4["memory"]["totalBytes"] >= t4["memory"]["usedBytes"]
    assert t4["cost"]["usdPerMonth"]["maximum"] > t4["cost"]["usdPerHour"]["maximum"] > 0
    assert {"pullDeadlineSeconds", "cpuRequestMillicores", "memoryRequestBytes", "contextTokens"} <= set(t4)
    assert date.fromisoformat(document["cost"]["date"])
    assert {"usdPerHour", "usdPerMonth"} <= set(document["cost"]["total"])


def numbers(value: Any) -> set[str]:
    """The keys of a JSON document behind which numbers stand."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = {key for key, item in value.items() if type(item) in (int, float)} if isinstance(value, dict) else set()
    return own.union(*map(numbers, inner))


def test_every_number_of_the_json_has_its_unit_and_no_key_is_in_pythons_spelling(dev: FleetPlan) -> None:
    keys = numbers(json.loads(to_json.render(dev))["pools"]) | numbers(json.loads(to_json.render(dev))["router"])
    assert not [key for key in keys if "_" in key]
    measured = {key for key in keys if re.search("cpu|memory|disk|storage|deadline|limit|body", key, re.IGNORECASE)}
    assert {"companionCpuMillicores", "prepareMemoryBytes", "memoryLimitBytes"} <= measured
    assert all(key.endswith(("Bytes", "Millicores", "Gb", "Seconds", "Percent")) for key in measured), measured


def test_what_stands_beside_the_router_has_its_units_too() -> None:
    fleet = stack.read(ROOT, "dev").fleet
    assert isinstance(fleet, dict)
    document = json.loads(
        to_json.render(plan_of({**fleet, "monitoring": {"gpus": True}, "chat": True, "loadTest": True}))
    )
    for part in (document["monitoring"]["gpus"], document["chat"], document["loadTest"]):
        measured = {key for key in numbers(part) if re.search("cpu|memory|volume", key, re.IGNORECASE)}
        assert {"cpuRequestMillicores", "memoryRequestBytes", "memoryLimitBytes"} <= measured
        assert all(key.endswith(("Bytes", "Millicores", "Gb")) for key in measured), measured


def test_a_model_says_what_its_user_will_notice(dev: FleetPlan) -> None:
    pools = {pool.name: pool for pool in dev.pools}
    tight = replace(pools["m60"], memory=replace(pools["m60"].memory, verdict=Verdict.TIGHT))
    unknown = replace(dev.models[0], known=False)
    plan = replace(dev, pools=(pools["a100"], pools["k80"], tight, pools["t4"]), models=(unknown, *dev.models[1:]))
    rendered = text.render(plan, width=200)
    for remark in ("asleep: first answer after 4-7 min, $0.", "shares llama3.2:3b", "tight on m60; as the file says"):
        assert remark in rendered
    assert re.search(r"assistant +splits 90 % llama3.2:3b, 10 % gemma3:4b", rendered)
    assert re.search(r"59 %  tight +at home", rendered)


def test_prices_of_another_region_are_said_to_be_so(dev: FleetPlan) -> None:
    assert dev.cost is not None
    plan = replace(dev, cost=replace(dev.cost, region="europe-west9"))
    for rendered in (text.render(plan), markdown.render(plan)):
        assert "prices us-central1 (the catalogue has none of europe-west9)" in rendered


@pytest.mark.parametrize(("budget", "said"), [(99999, "kept:"), (500, "kept at the minimum only:"), (9, "not kept:")])
def test_a_budget_is_held_against_the_bill_in_words(dev: FleetPlan, budget: int, said: str) -> None:
    assert dev.cost is not None
    plan = replace(dev, cost=replace(dev.cost, budget=float(budget)))
    for rendered in (text.render(plan), markdown.render(plan)):
        assert said in rendered
        assert f"of {budget:,} USD a month" in rendered
        assert "USD a month" not in text.render(replace(dev, cost=replace(dev.cost, budget=None)))
    assert json.loads(to_json.render(plan))["cost"]["budgetUsdPerMonth"] == budget


def test_ollama_sizes_read_as_ollama_prints_them() -> None:
    sizes = {999: "999 B", 10**9: "1 GB", 6_244_798_720: "6.2 GB", 24_616_618_000: "24 GB", 338_081_920: "338 MB"}
    assert {size: figures.ollama_size(size) for size in sizes} == sizes


def test_a_fleet_without_cloud_has_no_bill() -> None:
    plan = plan_of({"pools": {"k80": {"gpu": "k80", "site": "rig"}}, "models": {"llama3.2:3b": ["k80"]},
                    "sites": {"rig": {"endpoints": ["http://rig.example:11434"]}}})  # fmt: skip
    rendered = text.render(plan)
    assert "K80, at rig" in rendered
    assert "at home" in rendered
    assert "total" not in rendered
    assert "prices" not in rendered.splitlines()[0]
    assert json.loads(to_json.render(plan))["cost"] is None
    assert "USD 0" not in markdown.render(plan)


BROKEN = {
    "nothing at all": {},
    "not a mapping": ["x"],
    "no machine": {"gke": {"location": "us-central1-c"}, "pools": {"k80": {"gpu": "k80"}}, "models": {"x": ["k80"]}},
    "unknown gpu": {"gke": {"location": "us-central1-c"}, "pools": {"p": {"gpu": "voodoo2"}}},
    "unknown key": {"gkee": {}},
    "no gke": {"pools": {"t4": {"gpu": "t4"}}, "models": {"llama3.1:8b": ["t4"], "qwen3:32b": ["t4"]}},
    "no place": {"pools": {"c": {"gpu": "none", "site": "nowhere"}}, "models": {"nomic-embed-text": ["c"]}},
    "two gpus": {"gke": {"location": "us-central1"}, "pools": {"big": {"gpu": "l4", "gpusPerReplica": 2}}},
    "withdrawn": {"gke": {"location": "us-central1-c"}, "pools": {"k": {"gpu": "m60", "allowWithdrawn": True}}},
    "own image": {"gke": {"location": "us-central1-c"}, "pools": {"t": {"gpu": "t4", "image": "x/y", "driver": "gke"}}},
    "cpu": {"gke": {"location": "us-central1-c"}, "pools": {"c": {"gpu": "none"}}, "models": {"llama3.2:3b": ["c"]}},
}  # fmt: skip


@pytest.mark.parametrize("fleet", BROKEN.values(), ids=BROKEN)
def test_a_broken_or_odd_file_is_reported_in_every_format(fleet: Any) -> None:
    plan = plan_of(fleet, project=None)
    rendered = text.render(plan, width=100)
    assert rendered.endswith(f"{figures.verdict(plan)}\n")
    assert "RNone" not in rendered
    assert "None" not in rendered
    assert figures.verdict(plan) in markdown.render(plan)
    assert json.loads(to_json.render(plan))["problems"] == [
        {"severity": one.severity, "place": one.place, "message": one.message, "remedy": one.remedy}
        for one in plan.problems
    ]
    for problem in plan.problems:
        assert problem.place in rendered


def test_a_plan_of_errors_only_claims_no_checks() -> None:
    rendered = text.render(plan_of({"gkee": {}}))
    assert "checked" not in rendered
    assert re.search(r"\n1 error, \d+ warnings?\n$", rendered)


def fleet_plan(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    clean = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "FORCE_COLOR", "NO_COLOR")}
    command = [sys.executable, "-m", "infra", "plan", "--stack", "dev", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True, check=False, timeout=60)


def test_a_pipe_gets_120_columns_without_colour_and_columns_is_honoured() -> None:
    piped, narrow = fleet_plan(), fleet_plan(COLUMNS="80")
    assert piped.returncode == narrow.returncode == 0
    assert ESCAPE.encode() not in piped.stdout
    assert max(map(len, piped.stdout.decode().splitlines())) in range(100, 121)
    assert max(map(len, narrow.stdout.decode().splitlines())) <= 80


def test_colour_can_be_forced_for_a_log_and_no_color_wins() -> None:
    assert ESCAPE.encode() in fleet_plan(FORCE_COLOR="1", TERM="xterm").stdout
    assert ESCAPE.encode() not in fleet_plan(FORCE_COLOR="1", TERM="xterm", NO_COLOR="1").stdout


def test_an_ascii_only_stream_is_no_reason_to_fail() -> None:
    finished = fleet_plan(PYTHONIOENCODING="ascii")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith(b"plan - dev")


def test_show_writes_what_render_returns(dev: FleetPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    for name in ("COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    text.show(dev)
    assert out.getvalue() == text.render(dev, width=120)
