"""`fleet schema`: the JSON Schema of the file, for editors."""

import argparse
import json

from infra.commands import common
from infra.config import FleetConfig

HELP = "the JSON Schema of ollama-fleet:fleet, for editors and other tools"


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """None: there is one schema."""


def run(_arguments: argparse.Namespace) -> int:
    """Always 0."""
    schema = FleetConfig.model_json_schema(by_alias=True) | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    # read by infra.stack before the typed file begins
    schema["properties"]["extends"] = {"type": "string", "description": "A file of fleet keys that this one goes over."}
    common.write(json.dumps(schema, indent=2, sort_keys=True) + "\n")
    return 0
