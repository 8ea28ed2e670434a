"""The process beside Envoy.

`python -m router init` writes the files that Envoy starts with, `python -m router run` keeps them on the mounted map,
and `python -m router drain` is the hook before both stop: it ends when the last request has.
"""

import argparse
import http.client
import json
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

from router import log, page
from router.admin import Admin
from router.bootstrap import CLUSTERS, ROUTES
from router.certificate import Pair
from router.clusters import SYSTEM_CERTIFICATES
from router.control import Control
from router.deciding import decide
from router.draining import drain
from router.envoy import Setup, follow, start
from router.maps import Maps
from router.metrics import POOLS, in_flight, metrics
from router.poll import PERIOD, Poller
from router.publisher import KEPT_FOR, Publisher, write
from router.routes import LISTS, STATUS
from router.rules import RuleFiles
from router.sites import SiteFiles
from router.status import Overview
from router.wakes import Wakes
from router.web import Reply, Web

ANSWER_SECONDS = 5.0


def main() -> int:
    """Does what the command line says. The exit status is not 0 where there is nothing to serve by."""
    options = _parser().parse_args()
    if options.command == "drain":
        return _drain(options)
    setup = Setup(
        port=options.port,
        admin_port=options.admin_port,
        beside_port=options.beside_port,
        spill_port=options.spill_port,
        directory=options.directory,
        address=options.address,
        certificates=options.certificates,
        tls=options.tls,
        memory=options.memory,
    )
    maps = Maps(Path(options.map), Path(options.override))
    rules = RuleFiles(Path(options.map), Path(options.keys) if options.keys else None)
    sites = SiteFiles(Path(options.map), Path(options.tokens) if options.tokens else None)
    return {"init": _init, "run": _run}[options.command](setup, maps, rules, sites, options)


def _init(setup: Setup, maps: Maps, rules: RuleFiles, sites: SiteFiles, options: argparse.Namespace) -> int:
    del options
    pair = Pair(setup.tls)
    for mounted in (maps, rules, sites, pair):
        mounted.look()
    fleet = maps.mounted.fleet
    if maps.mounted.faults:
        log.say("error", "the mounted map is refused", faults=maps.mounted.faults)
    if faults := tuple(filter(None, (*rules.faults, *sites.faults, pair.fault))):
        log.say("error", "mounted rules, keys, tokens or certificates are refused", faults=faults)
    if fleet is None or rules.rules is None or pair.fault:
        return 1
    clusters, routes = follow(decide(fleet, maps.mounted.facts, {}), setup, rules.rules.on(fleet), sites.sites)
    folder = Path(setup.directory)
    for name, text in {**start(setup), CLUSTERS: clusters.text, ROUTES: routes.text}.items():
        write(folder / name, text)
    return 0


def _drain(options: argparse.Namespace) -> int:
    """The running process does it, which from then on is not ready."""
    within = options.leave + options.drain_limit + ANSWER_SECONDS
    connection = http.client.HTTPConnection("127.0.0.1", options.beside_port, timeout=within)
    try:
        connection.request("POST", "/drain")
        return 0 if connection.getresponse().status == http.client.OK else 1
    except OSError as error:
        log.say("error", f"the process beside Envoy does not answer: {error}")
        return 1
    finally:
        connection.close()


def _run(setup: Setup, maps: Maps, rules: RuleFiles, sites: SiteFiles, options: argparse.Namespace) -> int:
    admin = Admin(port=setup.admin_port)
    poller = Poller(setup.certificates, period=options.period)
    publisher = Publisher(Path(setup.directory), admin, kept_for=options.kept_for)
    wakes = Wakes(admin)
    control = Control(setup, maps, rules, sites, poller, publisher, wakes)
    overview = Overview(control, admin)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def drained() -> Reply:
        control.drain()
        cut_off = drain(admin, leave=options.leave, limit=options.drain_limit)
        return Reply(text=json.dumps({"cutOff": cut_off}))

    inside = Web(
        "127.0.0.1",
        setup.beside_port,
        {
            ("GET", page.PATH): page.reply,
            ("POST", "/drain"): drained,
        },
        {
            **{("GET", path): partial(_list, control, path) for path in LISTS},
            ("GET", STATUS): lambda key: Reply(text=json.dumps(overview.of(key)), headers=page.UNSEEN),
        },
    )
    cluster = Web(
        setup.address,
        options.metrics_port,
        {
            ("GET", "/readyz"): lambda: _plain(good=control.status.ready),
            ("GET", "/livez"): lambda: _plain(good=control.alive),
            ("GET", "/metrics"): lambda: metrics(control.status, control.pools, poller.seen, wakes.wanted, admin),
            ("GET", POOLS): lambda: in_flight(control.pools, wakes.wanted, admin),
        },
    )
    polling = threading.Thread(target=poller.run, args=(stop,), daemon=True)
    polling.start()
    control.run(stop)
    for web in (inside, cluster):
        web.close()
    return 0


def _plain(*, good: bool) -> Reply:
    return Reply(status=200 if good else 503, kind="text/plain", text="ok\n" if good else "not ready\n")


def _list(control: Control, path: str, key: str) -> Reply:
    return Reply(text=control.lists.text(path, control.allowed(key)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m router")
    parser.add_argument("command", choices=["init", "run", "drain"])
    parser.add_argument("--map", required=True, help="folder of routes.toml")
    parser.add_argument("--override", required=True, help="folder of the hand edits' routes.toml; may be empty")
    parser.add_argument("--keys", default="", help="folder of the keys' SHA-256, a file for each name")
    parser.add_argument("--tokens", default="", help="folder of the tokens of sites, a file for each")
    parser.add_argument("--tls", default="", help="folder of the door's tls.crt and tls.key; none: plain HTTP")
    parser.add_argument("--directory", required=True, help="folder of Envoy's files, in memory")
    parser.add_argument("--address", default="0.0.0.0")  # noqa: S104
    parser.add_argument("--port", type=int, required=True, help="of the door")
    parser.add_argument("--admin-port", type=int, required=True, help="of Envoy's administration, on loopback")
    parser.add_argument("--beside-port", type=int, required=True, help="of this process, for Envoy, on loopback")
    parser.add_argument("--spill-port", type=int, required=True, help="before pools that hand requests on, on loopback")
    parser.add_argument("--metrics-port", type=int, required=True, help="of probes and metrics")
    parser.add_argument("--memory", type=int, required=True, help="bytes that Envoy may take")
    parser.add_argument("--leave", type=float, default=15.0, help="seconds in which clients learn that it drains")
    parser.add_argument("--drain-limit", type=float, default=120.0, help="seconds for requests to end after that")
    parser.add_argument(
        "--certificates", default=SYSTEM_CERTIFICATES, help="authorities trusted for pools behind https"
    )
    parser.add_argument(
        "--kept-for", type=float, default=KEPT_FOR, help="seconds that a cluster outlives its last route"
    )
    parser.add_argument("--period", type=float, default=PERIOD, help="seconds between two questions to a replica")
    return parser


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # Python would wait for each question to a replica that hangs
    os._exit(status)
