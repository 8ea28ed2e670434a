"""The list that prepare.sh follows, written from the plan."""

import re

import pytest

from infra.plan.model import Prepared
from prepare import definitions, scripts

DIGEST = "0123456789abcdef" * 4


def test_every_entry_is_a_line_of_four_fields_in_the_plans_order() -> None:
    data = definitions(
        [
            Prepared(name="llama3.1:8b", action="pull", source="llama3.1:8b", digest=DIGEST),
            Prepared(name="tiny", action="pull", source="http://registry.lan:5000/library/tiny:latest"),
            Prepared(name="gpt-4", action="copy", source="llama3.1:8b"),
        ]
    )
    assert data == {
        "models.tsv": f"pull\tllama3.1:8b\tllama3.1:8b\t{DIGEST}\n"
        "pull\ttiny\thttp://registry.lan:5000/library/tiny:latest\t-\n"
        "copy\tgpt-4\tllama3.1:8b\t-\n",
        "declared.tsv": "",
    }


def test_a_modelfile_becomes_a_file_that_its_line_names() -> None:
    text = "FROM tiny\nPARAMETER num_ctx 512\n"
    data = definitions(
        [
            Prepared(name="tiny", action="pull", source="tiny"),
            Prepared(name="tiny", action="create", source=text),
        ]
    )
    *_, created = data["models.tsv"].splitlines()
    action, name, file, digest = created.split("\t")
    assert (action, name, digest) == ("create", "tiny", "-")
    assert data[file] == text


@pytest.mark.parametrize(
    "name", ["support-bot", "team/bot:v1.2", "hf.co/org/Model-GGUF:Q4_K_M", "models.tsv", "x" * 300]
)
def test_every_key_is_one_that_a_config_map_accepts(name: str) -> None:
    data = definitions([Prepared(name=name, action="create", source="FROM tiny\n")])
    assert len(data) == 3
    for key in data:
        assert re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key)


def test_names_that_look_alike_as_keys_keep_their_own_modelfiles() -> None:
    names = ["a/b:c", "a-b:c", "a:b-c", "A/b:c"]
    data = definitions([Prepared(name=name, action="create", source=f"FROM tiny\n# {name}\n") for name in names])
    assert sorted(text.split("# ")[1].strip() for key, text in data.items() if not key.endswith(".tsv")) == sorted(
        names
    )


def test_two_modelfiles_of_one_name_are_refused() -> None:
    twice = [
        Prepared(name="bot", action="create", source="FROM a\n"),
        Prepared(name="bot", action="create", source="FROM b\n"),
    ]
    with pytest.raises(ValueError, match="bot has two Modelfiles"):
        definitions(twice)


def test_a_pool_without_models_has_an_empty_list() -> None:
    assert definitions([]) == {"models.tsv": "", "declared.tsv": ""}


def test_the_models_of_other_pools_stand_beside_the_list_with_the_steps_that_make_them() -> None:
    tiny = Prepared(name="tiny", action="pull", source="tiny", digest=DIGEST)
    bot = Prepared(name="bot", action="create", source="FROM tiny\n")
    own = Prepared(name="bot", action="create", source="FROM tiny\nPARAMETER num_ctx 512\n")
    assert definitions([own], {"bot": [tiny, bot]}) == {
        "models.tsv": "create\tbot\tbot.modelfile\t-\n",
        "declared.tsv": f"bot\tpull\ttiny\ttiny\t{DIGEST}\nbot\tcreate\tbot\tdeclared-bot.modelfile\t-\n",
        "bot.modelfile": own.source,
        "declared-bot.modelfile": bot.source,
    }


def test_the_scripts_are_posix_shell_with_unix_line_ends() -> None:
    assert scripts()["prepare.sh"].startswith("#!/bin/sh\n")
    assert not any("\r" in text for text in scripts().values())
