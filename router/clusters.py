"""Envoy's clusters: one for each pool, and one for each order of pools that a route names."""

from collections.abc import Iterator

from router import spilling, waking
from router.extension import LOOPBACK, Config, extension, socket, typed
from router.routing import HELD, LACKING, NOW, THROUGH, Endpoint, Order, Pool, Sleeper, Table
from router.sites import Site, Sites

SYSTEM_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian, Ubuntu and the official Envoy image keep the authorities that the system trusts."""

UNKNOWN_MODEL = "unknown-model"
"""A cluster without hosts, for models that the map does not name: the answer is a 404, while a pool that Envoy does not
know yet (an edit that is half-way in) is a 503, which a client may try again."""

BESIDE = "beside"
"""The process beside Envoy, on loopback."""
BESIDE_AT_ONCE = 32

CONNECT_TIMEOUT = "1s"
"""A pod that is gone without a trace answers nothing at all; a second is 100 times a round trip in one cluster."""

PROBE_INTERVAL = "1s"
"""With no probes, the death of one of three servers lost a third of the requests until somebody noticed."""
PROBE_TIMEOUT = "1s"
HOME_TIMEOUT = "3s"
HOME_INTERVAL = "2s"
"""Of a site: a home line answers in tenths of a second, a busy one in a second, and TLS wants three such answers."""
PROBES_UNTIL_DOWN = 2
"""One slow answer from a server that is loading a model is no death."""
HOME_PING = {"interval": "5s", "timeout": "10s"}
"""On each connection, where the other end speaks HTTP/2: a line that dies says nothing, and who waits on it would wait
for minutes, and for an error."""
HOME_KEEPALIVE = {"keepalive_time": 10, "keepalive_interval": 5, "keepalive_probes": 3}
"""The kernel's, in seconds: for those that do not, it finds a machine that has gone while an answer is awaited."""
HOME_UNHEARD = {"level": 6, "name": 18, "int_value": 25_000, "state": "STATE_PREBIND"}
"""Linux's TCP_USER_TIMEOUT, in milliseconds: the kernel asks nobody whether he is alive while he has not confirmed what
was sent. A request that goes out on a line that is dead already would be sent again for a quarter of an hour."""

FAILED_CONNECTIONS_UNTIL_OUT = 2
OUT_FOR = "5s"
OUT_AT_MOST = "30s"

ROOM = 100_000
"""Never the limit: Ollama queues by itself, a request over a breaker is neither queued nor tried elsewhere, and fewer
pending than running requests reject bursts on a pool that has room."""
RETRY_ROOM = 1_000
"""Envoy's default of 3 retries at a time lost 17 requests when a pool behind an aggregate fell away."""

ALL_TO_THE_WELL = 100_000
"""Per cent: a pool of a thousand servers still is whole with one of them."""

OVERWRITE = "OVERWRITE_IF_EXISTS_OR_ADD"
IDLE_CONNECTION = "60s"
CONNECTION_BUFFER = 64 * 1024
"""Bytes. The chain that reads a body raises it for that body alone."""


def clusters(
    table: Table, *, spill_port: int, certificates: str = SYSTEM_CERTIFICATES, sites: Sites | None = None
) -> list[Config]:
    """Every pool by name, then every order of two or more pools; `certificates` are trusted for https pools, unless
    the site of the pool has an authority of its own."""

    def pool(cluster: str, name: str) -> Config:
        planned = table.pools[name]
        found = _pool(cluster, name, planned, certificates, (sites or {}).get(planned.token or "", Site()))
        if name in table.sleepers:
            # it has all the load as long as one of its servers is well: whoever were sent past it would wait for it
            found["load_assignment"]["policy"] = {"overprovisioning_factor": ALL_TO_THE_WELL}
        return found

    def token(name: str) -> bool:
        return bool((sites or {}).get(table.pools[name].token or "", Site()).token)

    return [
        *(pool(name, name) for name in sorted(table.pools)),
        *(
            cluster
            for name in sorted(table.rooms)
            for cluster in _spilling(name, pool(name + spilling.ROOM, name), table.rooms[name], spill_port)
        ),
        *(
            cluster
            for name, sleeper in sorted(table.sleepers.items())
            for cluster in _sleeping(name, pool(name + waking.WOKEN, name), sleeper, spill_port)
        ),
        *(
            _order(
                table.cluster(order),
                table.members(order),
                with_token=any(token(name) for name in order),
                where=_where([table.pools[name] for name in order]),
                to_the_end=table.waits_to_the_end(order),
            )
            for order in table.all_orders
            if _is_chain(order, table)
        ),
        _cluster(UNKNOWN_MODEL, type="STATIC"),
        _cluster(LACKING, type="STATIC"),
    ]


def beside(port: int) -> Config:
    """The cluster of the process beside Envoy. It is there from the start and whatever the map."""
    cluster = _static(BESIDE, {"endpoint": {"address": socket(LOOPBACK, port)}})
    # a thread each; more requests than that wait for one
    cluster["circuit_breakers"] = {"thresholds": [{**_room(), "max_connections": BESIDE_AT_ONCE}]}
    return {key: value for key, value in cluster.items() if key != "@type"}


def _is_chain(order: Order, table: Table) -> bool:
    return len(table.members(order)) > 1


def _pool(cluster_name: str, name: str, pool: Pool, certificates: str, site: Site) -> Config:
    cluster = _cluster(
        cluster_name,
        type="STRICT_DNS",
        # Looked up every 5 s, Envoy's default, whatever its time to live. IPv4 first: at home, a name with an IPv6
        # address that leads nowhere is common.
        dns_lookup_family="V4_PREFERRED",
        lb_policy="LEAST_REQUEST",
        common_lb_config=_choice(),
        # Without it a pod that leaves the DNS keeps its place until a probe fails: a scale-down cut 11 streams.
        ignore_health_on_host_removal=True,
        metadata=_metadata(_where([pool])),
        load_assignment={
            "cluster_name": cluster_name,
            "endpoints": [{"lb_endpoints": [_endpoint(name, endpoint, site) for endpoint in pool.endpoints]}],
        },
        health_checks=_health_checks(site, home=pool.token is not None),
        outlier_detection=_outliers(),
        per_connection_buffer_limit_bytes=CONNECTION_BUFFER,
        typed_extension_protocol_options=_protocol(
            with_token=bool(site.token), home=pool.token is not None and pool.tls
        ),
    )
    if pool.token is not None:
        cluster["connect_timeout"] = HOME_TIMEOUT
        cluster["upstream_connection_options"] = {"tcp_keepalive": HOME_KEEPALIVE}
        cluster["upstream_bind_config"] = {"socket_options": [HOME_UNHEARD]}
    if pool.tls:
        cluster["transport_socket"] = _tls(
            {"inline_string": site.authority} if site.authority else {"filename": certificates}
        )
    return cluster


def _where(pools: list[Pool]) -> str:
    """For errors: which sites a model has all its servers at, or nothing."""
    names = sorted({pool.token or "" for pool in pools})
    return f" at site {' and '.join(names)}" if all(names) else ""


def _metadata(where: str, *, to_the_end: bool = False) -> Config:
    return {"filter_metadata": {"fleet": {"where": where, **({"to_the_end": "yes"} if to_the_end else {})}}}


def _choice() -> Config:
    return {
        # Never "all are dead, so try any": the next pool of the order is the better guess.
        "healthy_panic_threshold": {"value": 0},
        # At once: by default the workers hear up to a second later what a probe found, while a new replica stands idle
        # and a dead one is asked.
        "update_merge_window": "0s",
    }


def _protocol(*, with_token: bool, home: bool = False) -> Config:
    """HTTP/1.1; at home over TLS also HTTP/2, where it is offered. The token is that of the chosen host, attempt by
    attempt: an order has a chain of filters of its own, not that of the pool, and what one site is sent must not reach
    the next."""
    token = {"key": "authorization", "value": "%UPSTREAM_METADATA(fleet:authorization)%"}
    mutations = [{"remove": "authorization"}, {"append": {"header": token, "append_action": OVERWRITE}}]
    filters = [
        extension(
            "envoy.filters.http.header_mutation",
            "extensions.filters.http.header_mutation.v3.HeaderMutation",
            mutations={"request_mutations": mutations},
        ),
        extension("envoy.filters.http.upstream_codec", "extensions.filters.http.upstream_codec.v3.UpstreamCodec"),
    ]
    spoken: Config = (
        {"auto_config": {"http_protocol_options": {}, "http2_protocol_options": {"connection_keepalive": HOME_PING}}}
        if home
        else {"explicit_http_config": {"http_protocol_options": {}}}
    )
    return {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
            "extensions.upstreams.http.v3.HttpProtocolOptions",
            **spoken,
            common_http_protocol_options={"idle_timeout": IDLE_CONNECTION},
            **({"http_filters": filters} if with_token else {}),
        )
    }


def _health_checks(site: Site | None = None, *, home: bool = False) -> list[Config]:
    sent = [
        {"header": {"key": name, "value": value.replace("%", "%%")}, "append_action": OVERWRITE}
        for name, value in (site.headers if site else {}).items()
    ]
    headers = {"request_headers_to_add": sent} if sent else {}
    return [
        {
            "timeout": HOME_TIMEOUT if home else PROBE_TIMEOUT,
            "interval": HOME_INTERVAL if home else PROBE_INTERVAL,
            "no_traffic_interval": HOME_INTERVAL if home else PROBE_INTERVAL,
            "unhealthy_threshold": PROBES_UNTIL_DOWN,
            "healthy_threshold": 1,
            "http_health_check": {"path": "/api/version", **headers},
        }
    ]


def _spilling(name: str, behind: Config, room: int, port: int) -> Iterator[Config]:
    """The pool behind a breaker that is as wide as its room, and the way there over the listener on loopback."""
    behind["circuit_breakers"] = {"thresholds": [{**_room(), "max_requests": room}]}
    yield behind
    # a full pool is well: what is asked for its health is the pool behind no breaker
    host = _loopback(name + spilling.ROOM, name, port, healthy_as=name)
    yield _static(name + THROUGH, host, common_lb_config=_choice(), health_checks=_health_checks())


def _sleeping(name: str, woken: Config, sleeper: Sleeper, port: int) -> Iterator[Config]:
    """The way on which requests wait for a pool, and what it leads to over the listener on loopback."""
    held = _static(name + HELD, _loopback(name + waking.TRIED, name, port))
    held["circuit_breakers"] = {"thresholds": [{**_room(), "max_requests": sleeper.held_at_most}]}
    yield held
    tried = _order(name + waking.TRIED, (name + waking.WOKEN, name + waking.ASLEEP), with_token=False)
    # each of those who wait is at one try or another
    tried["circuit_breakers"] = {"thresholds": [{**_room(), "max_retries": ROOM}]}
    yield tried
    yield woken
    yield _static(name + waking.ASLEEP, _loopback(waking.endpoint_name(name, sleeper), name, port))
    if sleeper.fallback:
        yield _static(name + NOW, _loopback(name + NOW, name, port))


def _loopback(host: str, pool: str, port: int, *, healthy_as: str | None = None) -> Config:
    """The listener on loopback, which tells by the name of the host what is asked of the pool."""
    checked = {} if healthy_as is None else {"health_check_config": {"hostname": healthy_as}}
    return {
        "endpoint": {"address": socket(LOOPBACK, port), "hostname": host, **checked},
        "metadata": {"filter_metadata": {"fleet": {"pool": pool}}},
    }


def _endpoint(pool: str, endpoint: Endpoint, site: Site) -> Config:
    return {
        "endpoint": {
            "address": socket(endpoint.host, endpoint.port),
            "hostname": endpoint.host,
            # A reverse proxy in front of a site finds its server by this name; the default is the cluster's.
            "health_check_config": {"hostname": endpoint.host},
        },
        # The cluster of a request is that of its order; which pool of it answered is known only here.
        "metadata": {"filter_metadata": {"fleet": {"pool": pool, **site.headers}}},
    }


def _outliers() -> Config:
    """A host is out at two failed connections in a row, and only at these: a 500 is one model's, not the host's."""
    never = {
        f"enforcing_{kind}": 0
        for kind in ("consecutive_5xx", "consecutive_gateway_failure", "success_rate", "local_origin_success_rate")
    }
    return {
        **never,
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": FAILED_CONNECTIONS_UNTIL_OUT,
        "enforcing_consecutive_local_origin_failure": 100,
        "interval": "1s",
        "base_ejection_time": OUT_FOR,
        "max_ejection_time": OUT_AT_MOST,
        "max_ejection_percent": 100,
    }


def _tls(authority: Config) -> Config:
    """TLS that asks for the host by name and believes only a certificate for that name."""
    return extension(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        auto_host_sni=True,
        auto_sni_san_validation=True,
        common_tls_context={"validation_context": {"trusted_ca": authority}},
    )


def _order(
    name: str, members: tuple[str, ...], *, with_token: bool, where: str = "", to_the_end: bool = False
) -> Config:
    """The next member takes what the one before has no healthy host for."""
    return _cluster(
        name,
        metadata=_metadata(where, to_the_end=to_the_end),
        **({"typed_extension_protocol_options": _protocol(with_token=True)} if with_token else {}),
        lb_policy="CLUSTER_PROVIDED",
        cluster_type=extension(
            "envoy.clusters.aggregate", "extensions.clusters.aggregate.v3.ClusterConfig", clusters=list(members)
        ),
    )


def _static(name: str, endpoint: Config, **fields: object) -> Config:
    """A cluster of one host that is always there."""
    hosts = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return _cluster(name, type="STATIC", load_assignment=hosts, **fields)


def _cluster(name: str, **fields: object) -> Config:
    return typed(
        "config.cluster.v3.Cluster",
        name=name,
        connect_timeout=CONNECT_TIMEOUT,
        circuit_breakers={"thresholds": [_room()]},
        **fields,
    )


def _room() -> Config:
    most = {"max_connections": ROOM, "max_pending_requests": ROOM, "max_requests": ROOM, "max_retries": RETRY_ROOM}
    return {**most, "track_remaining": True}
