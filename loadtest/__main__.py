"""`python -m loadtest`: a load test of the fleet at --url, or of a local one that it starts and stops.

The key is $FLEET_API_KEY, never an option: a command line is seen by everybody on the machine.
"""

import sys

# Locust replaces what waits for a network, and has to come before whatever waits for one
try:
    import locust  # noqa: F401
except ModuleNotFoundError:
    sys.stderr.write("error  locust is not installed, by which it asks\n`make loadtest` installs it\n")
    sys.exit(2)

import argparse
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import requests

from loadtest.local import LocalFleet, NotStartedError, Target, believing
from loadtest.mix import DEFAULT, Mix, MixError, read
from loadtest.report import broken, markdown, write
from loadtest.run import run

PASSED, BROKEN, UNABLE = 0, 1, 2
SMOKE_SECONDS, SMOKE_USERS = 30, 10
LIST_SECONDS = 30.0
SHOW_SECONDS = 10.0
MODEL = re.compile(r"[A-Za-z0-9][\w.:/-]{0,349}", re.ASCII)


class UnableError(Exception):
    """There is nothing to test: cause, and remedy on the next line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 within all limits, 1 beyond one, 2 where the test could not be made."""
    options = _parser().parse_args(arguments)
    try:
        mix = read(Path(options.mix))
        folder = _folder(options.out)
        with _target(options) as target:
            models = _models(target, mix)
            stages = mix.scaled(
                options.users or (SMOKE_USERS if options.smoke else None),
                options.seconds or (SMOKE_SECONDS if options.smoke else None),
            )
            length = sum(stage.ramp + stage.hold for stage in stages)
            _say(f"{target.url}: {len(models)} models, up to {max(one.users for one in stages)} users, {length:.0f} s")
            done = run(target, mix, models, stages, folder)
    except (MixError, UnableError, NotStartedError) as error:
        _say("\n".join(f"error  {line}" if not number else line for number, line in enumerate(str(error).splitlines())))
        return UNABLE
    write(folder, done, mix.limits)
    sys.stdout.write(markdown(done, mix.limits))
    _say(f"files: {folder}/report.html summary.md requests.csv replicas.csv locust_*.csv")
    return BROKEN if broken(done, mix.limits) else PASSED


def _target(options: argparse.Namespace) -> AbstractContextManager[Target]:
    if options.url:
        url = options.url.rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise UnableError("--url: it has no scheme\nwrite it like http://127.0.0.1:8080")
        key = os.environ.get("FLEET_API_KEY", "")
        try:
            if options.believe:
                believing(options.believe)
        except OSError:
            raise UnableError(f"--believe: {options.believe} has no certificate\nname a file in PEM form") from None
        believed = {"believed": options.believe, "host": options.host}
        return nullcontext(Target(url=url, key=key, metrics=options.metrics, verify=not options.insecure, **believed))
    return LocalFleet(options.stack)


def _models(target: Target, mix: Mix) -> Mapping[str, bool]:
    """The models to ask for, and of each whether it chats; what the door cannot say of one is taken to chat."""
    with target.session() as session:
        listed = _listed(session, target.url)
        unknown = sorted(name for name in mix.models if not {name, f"{name}:latest"} & set(listed))
        if unknown:
            raise UnableError(f"models: the door lists no {', '.join(unknown)}\nit has {', '.join(listed)}")
        return {name: _chats(session, target.url, name) for name in mix.models or listed}


def _listed(session: requests.Session, url: str) -> list[str]:
    try:
        answer = session.get(f"{url}/v1/models", timeout=LIST_SECONDS)
        if answer.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
            raise UnableError(f"{url}: it wants a key\nFLEET_API_KEY=... in the environment")
        answer.raise_for_status()
        names = [str(one["id"]) for one in answer.json()["data"]]
    except requests.exceptions.SSLError:
        raise UnableError(f"{url}: its certificate is not trusted here\n--insecure takes whatever it shows") from None
    except (requests.exceptions.RequestException, ValueError, KeyError, TypeError, RecursionError) as error:
        cause = getattr(error, "response", None)
        words = f"it answers {cause.status_code}" if cause is not None else "nobody answers there as a fleet does"
        raise UnableError(f"{url}: {words}\nis it the fleet's door? `make local` starts one") from None
    if not all(MODEL.fullmatch(name) for name in names):
        # they would become cells of tables and formulas of spreadsheets
        raise UnableError(f"{url}: it lists a model by a name that is none\nis it the fleet's door?")
    if not names:
        raise UnableError(f"{url}: the door has no models\nadd one to the file")
    return names


def _chats(session: requests.Session, url: str, model: str) -> bool:
    try:
        shown = session.post(f"{url}/api/show", json={"model": model}, timeout=SHOW_SECONDS).json()
        return "embedding" not in shown.get("capabilities", ())
    except (requests.exceptions.RequestException, ValueError, AttributeError, TypeError):
        return True


def _folder(name: str) -> Path:
    folder = Path(name or time.strftime("loadtest-report/%Y%m%d-%H%M%S"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnableError(f"--out: {folder} cannot be made: {error.strerror}\nname a folder of yours") from None
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__)
    parser.add_argument("--url", default="", help="of the door; left out: a local fleet is started")
    parser.add_argument("--stack", default="", help="of the local fleet")
    parser.add_argument("--metrics", default="", help="of a router, for the replicas over time")
    parser.add_argument("--mix", default=str(DEFAULT), help="the file of models, prompts, stages and limits")
    parser.add_argument("--out", default="", help="folder of the report; default: loadtest-report/DATE-TIME")
    parser.add_argument("--believe", metavar="FILE", default="", help="certificates that are believed, and no others")
    parser.add_argument("--host", default="", help="with --believe: the name that the certificate must be for")
    parser.add_argument("--insecure", action="store_true", help="take whatever certificate the door shows")
    parser.add_argument("--smoke", action="store_true", help=f"{SMOKE_SECONDS} s, up to {SMOKE_USERS} users")
    parser.add_argument("--users", type=_whole, help="the most at once; the stages keep their proportions")
    parser.add_argument("--seconds", type=_whole, help="of the whole run; the stages keep their proportions")
    return parser


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it is 1 or more")
    return number


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
