"""Stack files: chosen, read as YAML 1.2, and merged with what they extend."""

import os
import warnings
from pathlib import Path

import pytest

from infra import stack as stacks
from infra.problem import Problem


def write(folder: Path, text: str, name: str = "Pulumi.dev.yaml") -> None:
    (folder / name).write_text(text, encoding="utf-8")


def fleet(folder: Path, text: str) -> object:
    indented = "".join(f"    {line}\n" for line in text.splitlines())
    write(folder, f"config:\n  gcp:project: p\n  ollama-fleet:fleet:\n{indented}")
    return stacks.read(folder, "dev").fleet


def refused(folder: Path, wish: str | None = None) -> Problem:
    with pytest.raises(stacks.UnreadableError) as refusal:
        stacks.choose(folder, wish)
    return refusal.value.problem


def test_the_only_stack_is_chosen(tmp_path: Path) -> None:
    write(tmp_path, "", "Pulumi.home.yaml")
    write(tmp_path, "", "Pulumi.yaml")
    assert stacks.choose(tmp_path, None) == "home"


def test_several_stacks_are_listed(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path, "", f"Pulumi.{name}.yaml")
    assert stacks.choose(tmp_path, "b") == "b"
    assert refused(tmp_path).remedy == "choose one: --stack a | b; with make STACK=a"


def test_a_stack_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    write(tmp_path, "", "Pulumi.a.yaml")
    assert refused(tmp_path, "prod").remedy == "stacks here: a"
    assert "../" not in refused(tmp_path, "../../etc/passwd").remedy


def test_a_folder_without_stacks_says_so(tmp_path: Path) -> None:
    assert "no Pulumi.<stack>.yaml" in refused(tmp_path).message


def test_no_on_and_yes_are_words_and_true_is_not(tmp_path: Path) -> None:
    assert fleet(tmp_path, "proxy: {no: [a], on: yes, off: true}") == {"proxy": {"no": ["a"], "on": "yes", "off": True}}


def test_numbers_and_days_as_keys_are_text(tmp_path: Path) -> None:
    assert fleet(tmp_path, "models: {1: a, 2026-11-21: b, 1.5: c}") == {
        "models": {"1": "a", "2026-11-21": "b", "1.5": "c"}
    }


def test_the_project_is_read_beside_the_fleet(tmp_path: Path) -> None:
    fleet(tmp_path, "pools: {}")
    assert stacks.read(tmp_path, "dev").project == "p"


def test_extends_merges_mappings_and_replaces_lists(tmp_path: Path) -> None:
    write(tmp_path, "pools: {t4: {gpu: t4, replicas: 1}, l4: {gpu: l4}}\nmodels: {a: [t4, l4]}\n", "base.yaml")
    merged = fleet(tmp_path, "extends: base.yaml\npools: {t4: {replicas: 2}}\nmodels: {a: [t4]}")
    assert merged == {"pools": {"t4": {"gpu": "t4", "replicas": 2}, "l4": {"gpu": "l4"}}, "models": {"a": ["t4"]}}


def test_extends_follows_a_chain_with_paths_relative_to_each_file(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    write(tmp_path / "shared", "extends: deep.yaml\nbudget: {monthlyUsd: 2}\n", "base.yaml")
    write(tmp_path / "shared", "budget: {monthlyUsd: 1}\nkeda: existing\n", "deep.yaml")
    assert fleet(tmp_path, "extends: shared/base.yaml") == {"budget": {"monthlyUsd": 2}, "keda": "existing"}


def test_null_takes_a_key_of_the_extended_file_out(tmp_path: Path) -> None:
    write(tmp_path, "gke: {location: us-central1-c}\n", "base.yaml")
    assert fleet(tmp_path, "extends: base.yaml\ngke: null") == {"gke": None}


def test_a_project_number_is_handed_on_for_the_plan_to_refuse(tmp_path: Path) -> None:
    write(tmp_path, "config: {gcp:project: 123, ollama-fleet:fleet: {}}")
    assert stacks.read(tmp_path, "dev").project == "123"


DOUBLED = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 12)]
MERGED = [f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}" for level in range(1, 12)]
CHAINED = [
    f"a{level}: &a{level} {{<<: [{', '.join(f'*a{one}' for one in range(level))}], x{level}: 1}}"
    for level in range(1, 28)
]


@pytest.mark.parametrize(
    "lines",
    [
        ["a0: &a0 [x]", *DOUBLED, "pools: *a11"],
        ["a0: &a0 [x]", *DOUBLED, "pools: {? *a11 : x}"],
        ["a0: &a0 {x: 1}", *MERGED, "pools: *a11"],
        ["a0: &a0 {x: 1}", *CHAINED, "pools: {<<: *a27}"],
        ["pools: &a {a: *a}"],
        ["pools: &a {<<: *a}"],
        ["pools: " + "[" * 70 + "]" * 70],
    ],
    ids=[
        "aliases",
        "aliases as a key",
        "merge keys",
        "a chain of merge keys",
        "inside itself",
        "merges itself",
        "deep",
    ],
)
def test_a_small_file_that_stands_for_a_huge_one_is_refused_at_once(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(stacks.UnreadableError, match="too large or too deep"):
        fleet(tmp_path, "\n".join(lines))


def test_anchors_and_merge_keys_of_a_usual_file_are_followed(tmp_path: Path) -> None:
    read = fleet(tmp_path, "pools: {a: &a {gpu: t4, replicas: 1}, b: {<<: *a, replicas: 2}}")
    assert read == {"pools": {"a": {"gpu": "t4", "replicas": 1}, "b": {"gpu": "t4", "replicas": 2}}}


def test_a_key_that_stands_twice_is_refused_with_and_without_quotes(tmp_path: Path) -> None:
    for keys in ("1: a, '1': b", "true: a, 'true': b", "null: a, 'null': b", "a: a, a: b"):
        with pytest.raises(stacks.UnreadableError, match=r"duplicate|twice"):
            fleet(tmp_path, f"models: {{{keys}}}")


def test_an_anchor_that_is_used_again_is_no_news(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # ruamel's own warning would print lines of the file
        assert fleet(tmp_path, "a: &a x\nb: &a y\nc: *a") == {"a": "x", "b": "y", "c": "y"}


def test_a_tab_is_named(tmp_path: Path) -> None:
    with pytest.raises(stacks.UnreadableError, match="a tab"):
        fleet(tmp_path, "pools:\n\tt4: {gpu: t4}")


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_files_of_other_systems_are_read(tmp_path: Path, line_end: str) -> None:
    text = "\ufeffconfig:\n  ollama-fleet:fleet:\n    pools: {t4: {gpu: t4}}\n".replace("\n", line_end)
    (tmp_path / "Pulumi.dev.yaml").write_bytes(text.encode())
    assert stacks.read(tmp_path, "dev").fleet == {"pools": {"t4": {"gpu": "t4"}}}


def test_a_file_without_end_is_never_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"#" * (stacks.MOST_BYTES + 1))
    for name, message in (("pipe", "plain file"), ("zero", "plain file"), ("large", "MiB"), (".", "directory")):
        with pytest.raises(stacks.UnreadableError, match=message):
            fleet(tmp_path, f"extends: {name}")


def test_a_name_of_a_file_reaches_no_terminal_as_it_stands(tmp_path: Path) -> None:
    write(tmp_path, "", "Pulumi.\x1b[31m.yaml")
    assert "\x1b" not in refused(tmp_path, "x").remedy
    with pytest.raises(stacks.UnreadableError) as refusal:
        fleet(tmp_path, 'extends: "\\e[31mred.yaml"')
    assert "\x1b" not in refusal.value.problem.place


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ("base.yaml", "no such file"),
        ("5", "not a path"),
        ('""', "not a path"),
        ("a.yaml", "extends itself"),
        ("list.yaml", "not a mapping"),
        ("Pulumi.prod.yaml", "a whole stack file"),
    ],
)
def test_a_bad_extends_is_told(tmp_path: Path, extends: str, message: str) -> None:
    write(tmp_path, "extends: b.yaml\n", "a.yaml")
    write(tmp_path, "extends: a.yaml\n", "b.yaml")
    write(tmp_path, "[1]\n", "list.yaml")
    write(tmp_path, "config: {}\n", "Pulumi.prod.yaml")
    with pytest.raises(stacks.UnreadableError) as refusal:
        fleet(tmp_path, f"extends: {extends}")
    assert message in refusal.value.problem.message
    assert refusal.value.problem.remedy


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("ollama-fleet:fleet: {}\n", "stands beside config", "indent it"),
        ("config:\nollama-fleet:fleet:\n  pools: {}\n", "stands beside config", "indent it"),
        ("", "has no config", "write config:"),
        ("config:\n  ollama-fleet:flet: {}\n", "has no ollama-fleet:fleet", "in place of 'ollama-fleet:flet'"),
        ("config:\n  gcp:project: p\n", "has no ollama-fleet:fleet", "below config"),
        ("config:\n  extends: a.yaml\n  ollama-fleet:fleet: {}\n", "extends stands outside", "inside"),
        ("extends: a.yaml\nconfig:\n  ollama-fleet:fleet: {}\n", "extends stands outside", "inside"),
    ],
)
def test_a_misplaced_key_is_told(tmp_path: Path, text: str, message: str, remedy: str) -> None:
    write(tmp_path, text)
    with pytest.raises(stacks.UnreadableError) as refusal:
        stacks.read(tmp_path, "dev")
    assert message in refusal.value.problem.message
    assert remedy in refusal.value.problem.remedy


@pytest.mark.parametrize(
    ("text", "line", "message", "remedy"),
    [
        ("a:\n\tb: hunter2", 2, "a tab", "spaces"),
        ("a:\n  b: 1\n hunter2: 2\n", 3, "indentation", "same column"),
        ("a: [hunter2]\n  c: 1\n", 2, "indentation", "same column"),
        ("a:\n  b: 1\n  b: hunter2\n", 3, "twice", "keep one"),
        ("a: b: hunter2\n", 1, "second `: `", "quotes"),
        ("a: [hunter2\nb: 1\n", 2, "bracket", "close"),
        ("a: {b: hunter2\nd: e\n", 2, "bracket", "close"),
        ("a: 'hunter2\n", 2, "quote is not closed", "close"),
        ("a: @hunter2\n", 1, "no word begins", "quotes"),
        ("a: *hunter2\n", 1, "anchor", "quotes"),
        ("a: !hunter2 1\n", 1, "tag", "quotes"),
    ],
)
def test_what_is_not_yaml_is_told_in_plain_words_and_never_quoted(
    tmp_path: Path, text: str, line: int, message: str, remedy: str
) -> None:
    write(tmp_path, text)
    with pytest.raises(stacks.UnreadableError) as refusal:
        stacks.read(tmp_path, "dev")
    problem = refusal.value.problem
    assert problem.place.startswith(f"Pulumi.dev.yaml:{line}:")
    assert message in problem.message
    assert remedy in problem.remedy
    assert "hunter2" not in problem.message + problem.remedy


def test_the_authority_of_a_site_is_read_from_the_file_that_it_names(tmp_path: Path) -> None:
    """Beside the file that names it, which may be one that the stack extends."""
    (tmp_path / "shared").mkdir()
    write(tmp_path / "shared", "own\n", "lab.pem")
    write(tmp_path, "rig\n", "rig.pem")
    write(tmp_path / "shared", "sites: {lab: {ca: lab.pem}}", "fleet.yaml")
    found = fleet(tmp_path, "extends: shared/fleet.yaml\nsites: {rig: {ca: rig.pem}}")
    assert found == {"sites": {"lab": {"ca": "own\n"}, "rig": {"ca": "rig\n"}}}


def test_an_authority_that_is_pem_text_already_names_no_file(tmp_path: Path) -> None:
    assert fleet(tmp_path, 'sites: {rig: {ca: "BEGIN\\nEND"}}') == {"sites": {"rig": {"ca": "BEGIN\nEND"}}}


def test_the_file_of_an_authority_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(stacks.UnreadableError) as refusal:
        fleet(tmp_path, "sites: {rig: {ca: none.pem}}")
    assert "none.pem: there is no such file" in f"{refusal.value.problem.place}: {refusal.value.problem.message}"
    assert "leave ca out until it is" in refusal.value.problem.remedy
