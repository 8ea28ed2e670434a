"""Maps of every shape, as text, for properties."""

import json

from hypothesis import settings
from hypothesis import strategies as st

from router.routing import canonical

PROPERTY = settings(deadline=None, max_examples=30)
"""No time limit an example: the machine may be busy with other tests."""

POOLS = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
NAMES = st.from_regex(
    r"((registry\.ollama\.ai/)?library/|hf\.co/[a-z]{1,4}/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,12}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,7})?",
    fullmatch=True,
)
PORTS = st.integers(1, 65535)
HOSTS = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,3}", fullmatch=True)


@st.composite
def _pool(draw: st.DrawFn) -> str:
    host, port = draw(HOSTS), draw(PORTS)
    scheme = draw(st.sampled_from(["http", "https"]))
    token = draw(st.sampled_from(["", ', token = "rig"']))
    hosts = draw(st.lists(HOSTS, min_size=1, max_size=3, unique=True))
    urls = ", ".join(f'"{scheme}://{other}:{port}"' for other in hosts)
    return draw(
        st.sampled_from(
            [f'"{host}:{port}"', f'{{url = "{scheme}://{host}"{token}}}', f"{{urls = [{urls}]{token}}}"],
        )
    )


@st.composite
def map_lines(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """The lines of [routes] and of [pools] of a map that may be served."""
    pools = draw(st.lists(POOLS, min_size=1, max_size=5, unique=True))
    names = draw(st.lists(NAMES, min_size=1, max_size=8, unique_by=canonical))
    models = {
        name: draw(st.lists(st.sampled_from(pools), min_size=1, max_size=4, unique=True))
        for name in names[: draw(st.integers(1, len(names)))]
    }
    routes = [f"{json.dumps(name)} = {json.dumps(order)}" for name, order in models.items()]
    for name in names[len(models) :]:
        apart: list[str] = []
        taken: set[str] = set()
        for model, order in models.items():
            if taken.isdisjoint(order):
                apart.append(model)
                taken.update(order)
        target = draw(st.sampled_from(sorted(models)))
        weights = ", ".join(f"{json.dumps(model)} = {draw(st.integers(1, 1000))}" for model in apart)
        alias = draw(st.sampled_from([json.dumps(target), f"{{{weights}}}"]))
        routes.append(f"{json.dumps(name)} = {alias}")
    return routes, [f"{json.dumps(pool)} = {draw(_pool())}" for pool in pools]


def text_of(routes: list[str], pools: list[str]) -> str:
    """The map with these lines."""
    return "\n".join(["[routes]", *routes, "", "[pools]", *pools, ""])


MAPS = map_lines().map(lambda lines: text_of(*lines))
