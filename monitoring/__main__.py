"""`python -m monitoring FOLDER`: writes the dashboards as JSON, to import into a Grafana that reads no ConfigMaps."""

import sys
from pathlib import Path

from monitoring.dashboards import dashboards


def main(arguments: list[str]) -> int:
    """0 when written, 2 for a wrong command line or a folder that cannot be written."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    folder = Path(arguments[0])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in dashboards().items():
            (folder / name).write_text(text, encoding="utf-8")
            sys.stdout.write(f"{folder / name}\n")
    except OSError as error:
        sys.stderr.write(f"error  {folder}: it cannot be written: {error.strerror}\n       name a folder of yours\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
