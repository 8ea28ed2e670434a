"""Asks every replica what it holds, in the background: nobody ever waits for an answer of these."""

import http.client
import json
import socket
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from router import listed
from router.routing import Endpoint, Pool, canonical
from router.sites import Site, Sites

PERIOD = 2.0
ANSWER_WITHIN = 5.0
"""Seconds. A server that loads a model still lists what it has."""
BELIEVED_FOR = 15.0
"""Seconds for which a replica that does not answer is taken to hold what it held."""
NO_ADDRESS = "has no address: it sleeps, or none of its pods is ready"
NOWHERE = "has no address: no name server knows it, so the site's url leads nowhere"
AT_ONCE = 32
DONE_WITHIN = 15.0
"""Seconds for all answers of a replica: one that sends a byte now and then would keep its thread for ever."""
LARGEST = 4 * 2**20
"""Bytes of one answer, some 10,000 models. The worst of them takes 25 times that in memory, and the pod has 512 MiB."""

Address = tuple[str, str, int]
"""Pool, IP address and port: one replica."""


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What one replica said last."""

    address: str
    models: Mapping[str, Mapping[str, Any]]
    """Its entries of /api/tags, by canonical name."""
    loaded: tuple[Mapping[str, Any], ...]
    """Its entries of /api/ps."""
    version: str
    """Empty where it said none."""
    asked_at: float


Seen = Mapping[str, tuple[Replica, ...]]
"""The replicas of each pool that answered lately. A pool without one may sleep, or be cut off."""


class StatusError(ValueError):
    """A replica refuses a question."""


class Poller:
    """Follows the pools that it was told of last. `seen` may be read from any thread."""

    def __init__(self, certificates: str, *, period: float = PERIOD) -> None:
        self._period = period
        self._certificates = certificates
        self._pools: Mapping[str, Pool] = {}
        self._sites: Sites = {}
        self._replicas: dict[Address, Replica] = {}
        self._busy: set[object] = set()
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._executor = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="poll")
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._failures: dict[tuple[str, str], tuple[str, float]] = {}
        self.seen: Seen = {}

    def follow(self, pools: Mapping[str, Pool], sites: Sites) -> None:
        """From now on these, met like that."""
        self._pools = pools
        self._sites = sites

    def run(self, stop: threading.Event) -> None:
        """Asks all replicas once a period until `stop` is set."""
        while not stop.is_set():
            self.round()
            stop.wait(self._period)
        self._executor.shutdown(wait=False, cancel_futures=True)

    @property
    def failures(self) -> dict[str, dict[str, str]]:
        """Why replicas do not answer: pool -> name or address -> cause."""
        horizon = time.monotonic() - BELIEVED_FOR
        found: defaultdict[str, dict[str, str]] = defaultdict(dict)
        with self._lock:
            for (pool, where), (cause, at) in self._failures.items():
                if at >= horizon:
                    found[pool][where] = cause
        return found

    def round(self) -> None:
        """Asks whoever is not being asked already, and forgets who left."""
        pools = self._pools
        wanted = [(name, pool, endpoint) for name, pool in pools.items() for endpoint in pool.endpoints]
        for name, pool, endpoint in wanted:
            self._once((name, endpoint), self._resolve, name, pool, endpoint)
        horizon = time.monotonic() - BELIEVED_FOR
        with self._lock:
            for address, replica in list(self._replicas.items()):
                if address[0] not in pools or replica.asked_at < horizon:
                    del self._replicas[address]
            for failed, (_, at) in list(self._failures.items()):
                if failed[0] not in pools or at < horizon:
                    del self._failures[failed]
        self._publish()

    def settle(self, within: float) -> None:
        """Waits until nobody is being asked any more, `within` seconds at most."""
        end = time.monotonic() + within
        while self._busy and time.monotonic() < end:
            time.sleep(0.01)

    def _once(self, key: object, work: Any, *arguments: Any) -> None:
        """Runs `work` unless the one before under this key still runs: a slow server holds up no other."""
        with self._lock:
            if key in self._busy:
                return
            self._busy.add(key)

        def run() -> None:
            try:
                work(*arguments)
            finally:
                with self._lock:
                    self._busy.discard(key)

        try:
            self._executor.submit(run)
        except RuntimeError:  # it is being shut down
            return

    def _resolve(self, name: str, pool: Pool, endpoint: Endpoint) -> None:
        try:
            found = _addresses(endpoint)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                self._failed(name, endpoint.host, "cannot be looked up: the name server does not answer")
                return
            # a site does not sleep
            self._failed(name, endpoint.host, NO_ADDRESS if pool.token is None else NOWHERE)
            found = []
        else:
            self._works(name, endpoint.host)
        if len(pool.endpoints) == 1:
            with self._lock:
                for address in [one for one in self._replicas if one[0] == name and one[1:] not in found]:
                    del self._replicas[address]
                there = {endpoint.host, *(f"{ip}:{port}" for ip, port in found)}
                for failed in [one for one in self._failures if one[0] == name and one[1] not in there]:
                    del self._failures[failed]
        for ip, port in found:
            self._once((name, ip, port), self._ask, (name, ip, port), pool, endpoint)

    def _ask(self, address: Address, pool: Pool, endpoint: Endpoint) -> None:
        name, ip, port = address
        where = f"{ip}:{port}"
        try:
            with socket.create_connection((ip, port), timeout=ANSWER_WITHIN) as plain:
                replica = self._questions(where, plain, pool, endpoint)
        except (
            OSError,
            http.client.HTTPException,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
        ) as error:
            # it is believed for a while, then forgotten
            self._failed(name, where, _cause(error))
            return
        self._works(name, where)
        with self._lock:
            self._replicas[address] = replica
        self._publish()

    def _failed(self, pool: str, where: str, cause: str) -> None:
        with self._lock:
            self._failures[pool, where] = (cause, time.monotonic())

    def _works(self, pool: str, where: str) -> None:
        with self._lock:
            self._failures.pop((pool, where), None)

    def _secured(self, plain: socket.socket, pool: Pool, endpoint: Endpoint, site: Site) -> socket.socket:
        if not pool.tls:
            return plain
        context = self._contexts.get(site.authority)
        if context is None:
            context = ssl.create_default_context(
                cafile=None if site.authority else self._certificates, cadata=site.authority or None
            )
            self._contexts[site.authority] = context
        return context.wrap_socket(plain, server_hostname=endpoint.host)

    def _questions(self, address: str, plain: socket.socket, pool: Pool, endpoint: Endpoint) -> Replica:
        # by a second handle, since TLS takes the first one over
        with plain.dup() as other, _after(DONE_WITHIN, partial(other.shutdown, socket.SHUT_RDWR)):
            connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=ANSWER_WITHIN)
            site = self._sites.get(pool.token or "", Site())
            connection.sock = self._secured(plain, pool, endpoint, site)
            try:
                tags, loaded, version = (
                    self._get(connection, path, site.headers) for path in ("/api/tags", "/api/ps", "/api/version")
                )
            finally:
                connection.close()
        return Replica(
            address=address,
            models={canonical(entry["model"]): entry for entry in listed.entries(tags)},
            loaded=tuple(listed.entries(loaded)),
            version=listed.version(version),
            asked_at=time.monotonic(),
        )

    def _get(self, connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]) -> Any:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        body = answer.read(LARGEST + 1)
        if answer.status != http.client.OK:
            raise StatusError(f"answers {answer.status} to {path}")
        if len(body) > LARGEST:
            raise StatusError(f"answers {path} with more than {LARGEST // 2**20} MiB")
        with self._reading:  # the largest of one replica at a time
            return json.loads(body)

    def _publish(self) -> None:
        by_pool: defaultdict[str, list[Replica]] = defaultdict(list)
        with self._lock:
            for (pool, _, _), replica in sorted(self._replicas.items()):
                by_pool[pool].append(replica)
            self.seen = {pool: tuple(replicas) for pool, replicas in by_pool.items()}


def _cause(error: Exception) -> str:
    """Why a replica gave no answer, in a few words. What it sent is never among them."""
    match error:
        case StatusError():
            return str(error)
        case TimeoutError():
            return f"does not answer within {ANSWER_WITHIN:.0f} s"
        case ssl.SSLCertVerificationError():
            return f"shows a certificate that is refused: {error.verify_message}"
        case ConnectionRefusedError():
            return "refuses the connection"
        case OSError():
            return f"cannot be reached: {error.strerror or type(error).__name__}"
        case _:
            return "answers, but not as Ollama does"


def _addresses(endpoint: Endpoint) -> list[tuple[str, int]]:
    """Every address of a name; those of IPv4 where there is one, as Envoy prefers them."""
    found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    for family in (socket.AF_INET, socket.AF_INET6):
        addresses = sorted({(str(address[0]), endpoint.port) for kind, *_, address in found if kind == family})
        if addresses:
            return addresses
    return []


@contextmanager
def _after(seconds: float, work: Callable[[], object]) -> Iterator[None]:
    """Does `work` unless the block ends before."""

    def run() -> None:
        with suppress(OSError):
            work()

    timer = threading.Timer(seconds, run)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
