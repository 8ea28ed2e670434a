"""Modelfiles at planning time: inputs filled in, weights found at the end of the FROMs, made in an order that works."""

import pytest

from tests.unit.conftest import Plan, Problems


def fleet(**models: object) -> dict:
    return {
        "gke": {"location": "us-central1-c"},
        "pools": {"t4": {"gpu": "t4"}},
        "models": {
            name: {"pools": ["t4"], **value} if isinstance(value, dict) else value for name, value in models.items()
        },
    }


def errors(problems: tuple) -> list[str]:
    return [f"{one.place} {one.message}" for one in problems if one.severity == "error"]


def test_inputs_are_filled_in_and_the_text_ends_in_a_line_break(plan_of: Plan, good: dict) -> None:
    (made,) = [one for one in plan_of(good).pool("k80").prepared if one.action == "create"]
    assert made.source == "FROM llama3.2:3b\nPARAMETER temperature 0.2\n"


def test_the_base_may_come_from_an_input(plan_of: Plan) -> None:
    plan = plan_of(fleet(bot={"modelfile": "FROM {inputs.base}", "inputs": {"base": "llama3.2:3b"}}))
    assert not errors(plan.problems)
    assert plan.pool("t4").residents[0].disk == 2_000_000_000


def test_options_hidden_in_an_input_are_seen(problems_of: Problems) -> None:
    text = "FROM llama3.2:3b\nPARAMETER {inputs.what} 9"
    found = errors(problems_of(fleet(bot={"modelfile": text, "inputs": {"what": "num_ctx"}})))
    assert len(found) == 1
    assert "sets num_ctx" in found[0]


def test_what_is_made_from_another_is_made_after_it(plan_of: Plan) -> None:
    plan = plan_of(fleet(a={"modelfile": "FROM b"}, b={"modelfile": "FROM c"}, c={"modelfile": "FROM llama3.2:1b"}))
    assert not errors(plan.problems)
    assert [one.name for one in plan.pool("t4").prepared] == ["llama3.2:1b", "c", "b", "a"]
    assert sum(one.shares is None for one in plan.pool("t4").residents) == 1


def test_a_declared_base_is_pulled_before_what_is_made_from_it(plan_of: Plan) -> None:
    plan = plan_of(fleet(**{"a-bot": {"modelfile": "FROM llama3.2:1b"}, "llama3.2:1b": {}}))
    assert [(one.name, one.action) for one in plan.pool("t4").prepared] == [
        ("llama3.2:1b", "pull"),
        ("a-bot", "create"),
    ]


def test_a_base_with_figures_of_its_own_lends_them(plan_of: Plan) -> None:
    plan = plan_of(fleet(**{"me/mine": {"vram": "2Gi", "disk": "1Gi"}, "bot": {"modelfile": "FROM me/mine"}}))
    assert not errors(plan.problems)
    assert {one.model: one.shares for one in plan.pool("t4").residents} == {"me/mine": None, "bot": "me/mine"}


@pytest.mark.parametrize(
    "broken", ["PARAMETER x 1", "FROM /x.gguf", "FROM llama3.2:3b\nPARAMETER num_ctx 1", "FROM bot"]
)
def test_a_broken_modelfile_is_one_error_and_none_for_what_stands_on_it(problems_of: Problems, broken: str) -> None:
    found = errors(problems_of(fleet(bot={"modelfile": broken}, child={"modelfile": "FROM bot"})))
    assert len(found) == 1, found


def test_a_comment_and_lower_case_are_understood(problems_of: Problems) -> None:
    assert not errors(problems_of(fleet(bot={"modelfile": "# FROM nothing\nfrom llama3.2:3b\n"})))


def test_a_disk_figure_that_is_not_used_is_told_of(plan_of: Plan) -> None:
    plan = plan_of(fleet(bot={"modelfile": "FROM llama3.2:3b", "disk": "9Gi"}))
    assert plan.pool("t4").residents[0].disk == 2_000_000_000
    (one,) = [problem for problem in plan.problems if problem.place == "fleet.models.bot.disk"]
    assert "shares the weights of llama3.2:3b" in one.message


def test_two_models_of_one_file_have_its_weights_once_whatever_they_are_called(plan_of: Plan) -> None:
    address = {"modelfile": "FROM https://example.org/w.gguf", "digest": "1" * 64, "vram": "2Gi", "disk": "1Gi"}
    plan = plan_of(fleet(**{"llama3.3:70b": address, "other": address, "bot": {"modelfile": "FROM other"}}))
    assert not errors(plan.problems)
    assert sum(one.shares is None for one in plan.pool("t4").residents) == 1
