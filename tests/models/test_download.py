"""Weights from a URL: whole, at the pinned sha256, taken up where a download stood; and what is said when not."""

import hashlib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.plan.model import Prepared
from tests.models.pod import Ended, Pod
from tests.models.registry import Registry
from tests.models.test_sources import certificate, proxy, trusted

__all__ = ["certificate"]

NOT_REACHABLE, NAME_RESOLUTION, TLS, DENIED, UNKNOWN, DISK_FULL, WRONG_DIGEST, DEADLINE = 10, 11, 12, 13, 14, 15, 17, 19


@pytest.fixture
def web(certificate: Path, weights: bytes) -> Iterator[Registry]:
    """Serves the weights at /data/sha256:..., and behind a redirect."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
    with Registry(tls=context).running() as running:
        running.publish("library/tiny:latest", weights)
        running.blobs_at = f"https://127.0.0.1:{running.port}"
        yield running


@pytest.fixture
def digest(weights: bytes) -> str:
    return hashlib.sha256(weights).hexdigest()


@pytest.fixture
def get(pod: Pod, web: Registry, certificate: Path, tmp_path: Path, digest: str) -> Callable[..., Ended]:
    """An init container for a model whose weights are at a path of `web`."""
    folder = trusted(certificate, tmp_path)

    def run(path: str, *, host: str = "", pinned: str = digest, **more: str) -> Ended:
        address = f"https://{host or f'127.0.0.1:{web.port}'}{path}"
        pod.mount(Prepared(name="mine", action="create", source=f"FROM {address}\nSYSTEM Hi\n", digest=pinned))
        return pod.init(**{"SSL_CERT_DIR": folder, **more})

    return run


def test_a_model_is_made_of_weights_at_a_url_and_a_second_start_asks_for_nothing(
    pod: Pod, web: Registry, get: Callable[..., Ended], digest: str, weights: bytes
) -> None:
    path = f"/v2/library/tiny/blobs/sha256:{digest}"  # it redirects
    first = get(path)
    assert first.code == 0, first.output
    assert web.bytes_sent == len(weights)
    web.forget_requests()
    second = get(path)
    assert (second.code, web.requests) == (0, []), second.output
    # kept once, as the blob that the model has
    assert not (pod.store / "ollama-fleet" / "downloads").exists()
    assert [one.stat().st_size for one in (pod.store / "blobs").iterdir()].count(len(weights)) == 1
    with pod.serving() as server:
        assert server.ask("/api/show", {"model": "mine"})["system"] == "Hi"
        assert server.chat("mine")["done"]


def test_an_interrupted_download_goes_on_where_it_stood(
    web: Registry, get: Callable[..., Ended], digest: str, weights: bytes
) -> None:
    web.stalled.add(f"sha256:{digest}")
    first = get(f"/data/sha256:{digest}", PULL_DEADLINE="4")
    assert first.code == DEADLINE, first.output
    assert f"{len(weights) // 2} bytes have come" in first.message
    web.stalled.clear()
    web.forget_requests()
    second = get(f"/data/sha256:{digest}")
    assert second.code == 0, second.output
    assert web.bytes_sent == len(weights) - len(weights) // 2


def test_a_server_that_knows_no_ranges_begins_anew(
    web: Registry, get: Callable[..., Ended], digest: str, weights: bytes
) -> None:
    web.stalled.add(f"sha256:{digest}")
    assert get(f"/data/sha256:{digest}", PULL_DEADLINE="4").code == DEADLINE
    web.stalled.clear()
    web.forget_requests()
    web.whole_only = True
    second = get(f"/data/sha256:{digest}")
    assert second.code == 0, second.output
    assert web.bytes_sent == len(weights)


def test_other_weights_than_the_pinned_ones_are_not_kept(pod: Pod, get: Callable[..., Ended], digest: str) -> None:
    run = get(f"/data/sha256:{digest}", pinned="0" * 64)
    assert run.code == WRONG_DIGEST, run.output
    assert f"it has {digest}, the file pins 0000" in run.message
    assert list((pod.store / "ollama-fleet" / "downloads").iterdir()) == []
    assert get(f"/data/sha256:{digest}").code == 0


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        ("/missing", UNKNOWN, "there is nothing at https://127.0.0.1:"),
        ("/forbidden", DENIED, "HTTP 403"),
        ("/broken", NOT_REACHABLE, "HTTP 503"),
        ("/loop", NOT_REACHABLE, "redirected without end"),
        ("/lies", WRONG_DIGEST, "digest differs for"),
        ("/plain", 29, "it leads to http://127.0.0.1/x, which is not https"),
    ],
)
def test_what_the_server_answers_is_named(
    web: Registry, get: Callable[..., Ended], path: str, code: int, says: str
) -> None:
    web.answers = {
        "/forbidden": (403, {}),
        "/broken": (503, {}),
        "/loop": (302, {"Location": "/loop"}),
        "/lies": (200, {"Content-Length": "unset[$(kill $$)]"}),
        "/plain": (302, {"Location": "http://127.0.0.1/x?token=1"}),
    }
    run = get(path)
    assert run.code == code, run.output
    assert says in run.message
    assert run.output.count("again in") == (code in (NOT_REACHABLE, 29))


def test_what_is_in_the_way_is_named(web: Registry, get: Callable[..., Ended], digest: str) -> None:
    path = f"/data/sha256:{digest}"
    unknown = get(path, SSL_CERT_DIR="/nowhere")
    assert unknown.code == TLS, unknown.output
    assert "TLS to the registry failed for https://127.0.0.1:" in unknown.message
    foreign = get(path, host=f"localhost:{web.port}")
    assert foreign.code == TLS, foreign.output
    absent = get(path, host="127.0.0.1:1")
    assert absent.code == NOT_REACHABLE, absent.output
    # an empty label: refused by the resolver itself, so no query leaves the machine
    nobody = get(path, host="registry..invalid")
    assert nobody.code == NAME_RESOLUTION, nobody.output


def test_a_download_comes_through_a_proxy_or_past_it(web: Registry, get: Callable[..., Ended], digest: str) -> None:
    with proxy(web.port, refuses=True) as (url, _):
        refused = get(f"/data/sha256:{digest}", host="registry.test", HTTPS_PROXY=url)
    assert refused.code == TLS, refused.output
    assert refused.message.startswith("the proxy does not let https://registry.test/data/")
    with proxy(web.port) as (url, asked):
        through = get(f"/data/sha256:{digest}", host="registry.test", HTTPS_PROXY=url)
    assert (through.code, asked) == (0, ["registry.test:443"]), through.output


def test_a_host_that_the_proxy_is_not_for_is_asked_itself(get: Callable[..., Ended], digest: str) -> None:
    past = get(f"/data/sha256:{digest}", HTTPS_PROXY="http://127.0.0.1:1", NO_PROXY="example.org,127.0.0.1")
    assert past.code == 0, past.output


def test_weights_that_cannot_fit_are_refused_before_the_disk_is_full(
    pod: Pod, get: Callable[..., Ended], digest: str, small_disk: tuple[str, ...]
) -> None:
    pod.within = small_disk
    run = get(f"/data/sha256:{digest}")
    assert run.code == DISK_FULL, run.output
    assert run.message.startswith("disk full at")
