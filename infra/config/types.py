"""The file's words for quantities, durations, replicas, drivers and names, each with its own clear refusal.

A value that a person may write in several ways (`2`, `"0..2"`, `{min: 0, max: 2}`) becomes one form here, so that
nothing behind this module ever asks which way it was written.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from infra.names import canonical_model

SECRET_LOOKING = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:sk-|ghp_|gho_|ghs_|github_pat_|glpat-|hf_|xox[abps]-|AIza|ya29\.|eyJ|AKIA)[\w.+=-]*"
    r"|-----BEGIN[^\n]*)"
    r"|(?<![A-Za-z0-9+=])[A-Za-z0-9+=]{32,}"
    r"|(?<=://)[^\s/@]{1,256}@|[^\s/:@\"']{1,64}:[^\s/@]{1,256}@(?!sha256:)"
)
"""What is never repeated in a message: known token prefixes, long unbroken strings, and the user part of a URL."""
WITHHELD = "..."
LOOKED_AT = 1000
"""Characters of a value that are looked at before its head is shown."""

DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
ENVIRONMENT_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
SECRET_NAMES = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY)", re.IGNORECASE)

UNITS = {
    "": 1,
    "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
DEVICE = r"\d{1,2}|GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
MOST_DEVICES = 64
DRIVER = r"R\d{3}|\d{3}\.\d{1,4}(\.\d{1,4})?|gke|host|container"
LONGEST_VALUE = 32 * 2**10
"""Letters of an environment variable: far above any setting, far below what one object of Kubernetes holds."""
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LARGEST_SIZE = 2**60
LONGEST = 366 * 86400


def looks_secret(text: str) -> bool:
    """Whether any part of it could be a key, a token or a password."""
    return SECRET_LOOKING.search(text) is not None


def without_secrets(text: str) -> str:
    """`text` with every part that could be a secret taken out: what passes here may be printed."""
    return SECRET_LOOKING.sub(WITHHELD, text)


def shown(value: object) -> str:
    """`value` for a message: quoted, cut at 60 characters, and withheld where it may be a secret."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        # Python refuses to write integers of thousands of digits
        return "a number beyond all bounds" if abs(value) > 10**30 else str(value)
    if not isinstance(value, str):
        return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(value), "a value")
    head = value[:LOOKED_AT]
    if looks_secret(head) or "\n" in head:
        return "a value that is not repeated here"
    printable = "".join(letter if letter.isprintable() else "?" for letter in head[:100])
    return repr(printable if len(printable) <= 60 else printable[:57] + "...")


def refuse(message: str, remedy: str) -> PydanticCustomError:
    """A validator's refusal that carries its remedy to infra.config.parse."""
    return PydanticCustomError("fleet", "{message}", {"message": message, "remedy": remedy})


def _quantity(value: Any) -> int:
    remedy = "write a Kubernetes quantity such as 400Gi or 500Mi"
    if isinstance(value, (int, str)) and re.fullmatch(r"[1-9]\d{0,5}", str(value).strip(), re.ASCII):
        raise refuse(f"{shown(value)} is a size without a unit, and would be bytes", remedy)
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?[Bb]?", value.strip(), re.ASCII)
        if match and len(match[1]) <= 30 and 0 < (size := int(float(match[1]) * UNITS[match[2] or ""])) <= LARGEST_SIZE:
            return size
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_SIZE:
        return value
    raise refuse(f"{shown(value)} is not a size", remedy)


def quantity(size: int) -> str:
    """Bytes as Kubernetes writes them, in the largest unit that holds them exactly: `200Gi`, `50G`."""
    unit = max((unit for unit, factor in UNITS.items() if size % factor == 0), key=UNITS.__getitem__)
    return f"{size // UNITS[unit]}{'k' if unit == 'K' else unit}"


def _devices(value: Any) -> Any:
    remedy = "write how many there are, or which ones: [0, 1], or [GPU-UUID, ...] as `nvidia-smi -L` lists them"
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_DEVICES:
        return value
    if isinstance(value, (list, tuple)) and 0 < len(value) <= MOST_DEVICES:
        names = [str(one) for one in value if isinstance(one, (int, str)) and not isinstance(one, bool)]
        if len(names) == len(value) and all(re.fullmatch(DEVICE, name, re.ASCII) for name in names):
            if len(set(names)) == len(names):
                return tuple(names)
            raise refuse("a GPU stands twice in the list", remedy)
    raise refuse(f"{shown(value)} is not a number of GPUs", remedy)


def _duration(value: Any) -> int:
    remedy = "write seconds or a duration such as 90s, 10m, 2h"
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])", value.strip(), re.ASCII)):
        value = int(float(match[1]) * SECONDS[match[2]])
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        if value <= LONGEST:
            return value
        raise refuse("the duration is longer than a year", remedy)
    raise refuse(f"{shown(value)} is not a duration", remedy)


def _keep_alive(value: Any) -> int:
    if value in ("forever", "-1") or (value == -1 and not isinstance(value, bool)):
        return -1
    return _duration(value)


def _replicas(value: Any) -> Any:
    remedy = "write 2, 0..2 or {min: 0, max: 2}"
    if isinstance(value, bool):
        raise refuse(f"{shown(value)} is not a number of replicas", remedy)
    if isinstance(value, int):
        value = {"min": value, "max": value}
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d{1,6})\s*(?:\.\.\s*(\d{1,6}))?\s*", value, re.ASCII)
        if not match:
            raise refuse(f"{shown(value)} is not a number of replicas", remedy)
        value = {"min": int(match[1]), "max": int(match[2] or match[1])}
    if isinstance(value, Mapping):
        if value.get("max") == 0 and not isinstance(value["max"], bool):
            raise refuse("a pool that never has a replica serves nothing", "write 0..1 to let it sleep, or take it out")
        return value
    raise refuse(f"{shown(value)} is not a number of replicas", remedy)


def _driver(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"R{value}"
    if isinstance(value, str) and re.fullmatch(DRIVER, value, re.ASCII):
        return value
    raise refuse(
        f"{shown(value)} is not a driver",
        "write a branch such as R580, an exact version such as 580.126.09 (in quotes), gke, host or container",
    )


def _model_name(value: str) -> str:
    remedy = "write the name as `ollama pull` takes it, for instance llama3.1:8b or host/namespace/model:tag"
    if "@" in value:
        raise refuse(
            f"model {shown(value)} carries a digest",
            "write the digest as a key of its own: {pools: [...], digest: <64 hex digits>}",
        )
    # the servers make a path of it
    plain = re.fullmatch(r"(?!.*[/:]\.{1,2}([/:]|$))[A-Za-z0-9][\w.:/-]{0,349}", value, re.ASCII)
    if not plain or value.endswith((":", "/")) or "//" in value:
        raise refuse(f"{shown(value)} is not a model name", remedy)
    if canonical_model(value).endswith((":cloud", "-cloud")):
        raise refuse(
            f"model {shown(value)} runs in Ollama's cloud, not on your GPUs", "name a model that is pulled and run here"
        )
    return value


def _allowed(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise refuse(
            "the list of models is empty, which could mean all of them or none",
            "name the models that it may ask for; leave models out, and it may ask for all",
        )
    return value


def _digest(value: str) -> str:
    digest = value.removeprefix("sha256:").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise refuse(
            "the digest is not 64 hex digits",
            "copy the manifest's whole sha256: `digest` in GET /api/tags of a server that has the model",
        )
    return digest


def _url(value: str) -> str:
    remedy = "write scheme, host and port, for instance https://rig.example.ts.net"
    host = (value.partition("://")[2] or value).partition("/")[0]
    if "@" in host:
        raise refuse(
            "the URL carries credentials",
            "take what stands before the @ out; a site's token goes into the secret ollama-fleet:siteTokens",
        )
    try:
        parts = urlsplit(value)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise refuse("the URL cannot be read", remedy) from None
    # the map is TOML and the address stands in it: nothing that would have to be escaped there
    # and commands to paste name the host
    written = re.fullmatch(r"[A-Za-z]+://[A-Za-z0-9._:\[\]-]*/*([?#/][\x21-\x7e]*)?", value, re.ASCII)
    plain = written is not None and not set(value) & set("\"'\\<>`{}")
    if (
        len(value) > 2000
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or not port_is_fine
        or not plain
    ):
        raise refuse(f"{shown(value)} is not an http(s) URL", remedy)
    if parts.query or parts.fragment or parts.path.strip("/"):
        raise refuse("the URL has more than scheme, host and port", remedy)
    return value.rstrip("/")


def _cidr(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=True))
    except ValueError:
        raise refuse(f"{shown(value)} is not a range of addresses", "write a range such as 10.0.0.0/8") from None


def _input(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise refuse("an input is a text or a number", "write it in quotes")
    if isinstance(value, int) and abs(value) > 10**30:
        raise refuse(f"{shown(value)} is no input", "write it in quotes")
    return str(value)


def _namespace(value: str) -> str:
    if value == "default" or value.startswith(("kube-", "gke-", "gmp-", "config-management-")):
        raise refuse(
            f"{shown(value)} belongs to the cluster, and `destroy` would delete it with the fleet",
            "write a name of the fleet's own, such as ollama",
        )
    return value


def _environment(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not ENVIRONMENT_NAME.fullmatch(name):
            raise refuse(f"{shown(name)} is not the name of an environment variable", "use letters, digits and _")
        if SECRET_NAMES.search(name):
            raise refuse(
                f"{shown(name)} looks like a secret, and this object is not one",
                "keep secrets out of ollama-fleet:fleet; set them with `pulumi config set --secret`",
            )
        if len(text) > LONGEST_VALUE or not _can_be_passed_on(text):
            raise refuse(
                f"the value of {name} is none that a program can be given",
                f"write text of at most {LONGEST_VALUE:,} letters, without the character NUL",
            )
        if looks_secret(text):
            raise refuse(
                f"the value of {name} looks like a secret, and this object is not one",
                "keep secrets out of ollama-fleet:fleet; set them with `pulumi config set --secret`",
            )
    return value


def _can_be_passed_on(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _sentence_with_pattern(pattern: str, what: str, remedy: str) -> AfterValidator:
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise refuse(f"{shown(value)} is not {what}", remedy)
        return value

    return AfterValidator(check)


Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
Devices = Annotated[int | tuple[str, ...], BeforeValidator(_devices, json_schema_input_type=int | list[int | str])]
"""How many GPUs, or which: by the index or the UUID that nvidia-smi gives them."""
Flag = Annotated[bool, Field(strict=True)]
Quantity = Annotated[int, BeforeValidator(_quantity, json_schema_input_type=int | str)]
"""Bytes."""
Duration = Annotated[int, BeforeValidator(_duration, json_schema_input_type=int | str)]
"""Seconds."""
KeepAlive = Annotated[int, BeforeValidator(_keep_alive, json_schema_input_type=int | str)]
"""Seconds; -1 is for ever."""
Driver = Annotated[str, BeforeValidator(_driver, json_schema_input_type=int | str)]
ModelName = Annotated[str, AfterValidator(_model_name)]
AllowedModels = Annotated[tuple[ModelName, ...], AfterValidator(_allowed)]
Digest = Annotated[str, AfterValidator(_digest)]
Url = Annotated[str, AfterValidator(_url)]
InputValue = Annotated[str, BeforeValidator(_input, json_schema_input_type=str | int | float)]
Environment = Annotated[dict[str, str], AfterValidator(_environment)]
Cidr = Annotated[str, AfterValidator(_cidr)]
KvCache = Literal["f16", "q8_0", "q4_0"]

RegistryName = Annotated[
    str,
    Field(max_length=253),
    _sentence_with_pattern(
        r"^(https?://)?[A-Za-z0-9][A-Za-z0-9.:/_-]*$",
        "a registry",
        "write host, host/namespace or none; http:// before it for plain HTTP",
    ),
]
PoolName = Annotated[
    str,
    Field(max_length=32),
    _sentence_with_pattern(DNS_LABEL, "a pool name", "use lower-case letters, digits and -, beginning with a letter"),
]
SiteName = Annotated[
    str,
    Field(max_length=32),
    _sentence_with_pattern(DNS_LABEL, "a site name", "use lower-case letters, digits and -, beginning with a letter"),
]
NodeName = Annotated[
    str,
    Field(max_length=253),
    _sentence_with_pattern(
        r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
        "the name of a machine",
        "name the machine as the network there does: letters, digits, - and .",
    ),
]
"""It stands in commands to paste and in comments."""
Origin = Annotated[
    str,
    Field(max_length=300),
    _sentence_with_pattern(
        r"^(\*|https?://([a-z0-9]([-a-z0-9.]*[a-z0-9])?|\[[0-9a-f:]+\])(:\d{1,5})?"
        r"|(chrome|safari|moz|ms-browser)-extension://[A-Za-z0-9-]+)$",
        "the origin of a web page",
        "write scheme, host and port as browsers do, in lower case and without a path: https://chat.example.org",
    ),
]
"""Exactly what a browser sends; of another scheme, or of none, Ollama refuses to start."""
ContextName = Annotated[
    str,
    Field(max_length=300),
    _sentence_with_pattern(
        r"^[!-~]+( [!-~]+)*$", "the name of a context", "write it as `kubectl config get-contexts` lists it"
    ),
]
"""It stands in commands to paste and in comments."""
HostName = Annotated[
    str,
    Field(max_length=253),
    _sentence_with_pattern(
        r"^(?!\d+(\.\d+){3}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$",
        "the name of a host",
        "write the name that the certificate is for, such as llm.example.org: not an address, and no *",
    ),
]
SecretName = Annotated[
    str,
    Field(max_length=253),
    _sentence_with_pattern(
        r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        "the name of a Secret",
        "write its name in the fleet's namespace: lower-case letters, digits, - and .",
    ),
]
RuntimeClassName = Annotated[
    str,
    Field(max_length=253),
    _sentence_with_pattern(
        r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        "the name of a RuntimeClass",
        "write it as `kubectl get runtimeclasses` lists it",
    ),
]
Unproxied = Annotated[
    str,
    Field(max_length=253),
    _sentence_with_pattern(
        r"^[A-Za-z0-9.:\[\]_-]+(/\d{1,3})?$",
        "a host",
        "write a host, a domain and all below it such as .example.org, an address, or a range such as 10.0.0.0/8, "
        "each an entry of its own",
    ),
]
SystemName = Annotated[
    str,
    Field(max_length=32),
    _sentence_with_pattern(
        r"^[a-z]+[0-9]+(\.[0-9]+)*$", "the name of a system", "write name and version as one, such as ubuntu22.04"
    ),
]
Namespace = Annotated[
    str,
    Field(max_length=40),
    _sentence_with_pattern(DNS_LABEL, "a Kubernetes namespace", "use lower-case letters, digits and -"),
    AfterValidator(_namespace),
]
Zone = Annotated[
    str,
    _sentence_with_pattern(r"^[a-z]+-[a-z]+\d+-[a-z]$", "a Google Cloud zone", "write a zone such as us-central1-c"),
]
Location = Annotated[
    str,
    _sentence_with_pattern(
        r"^[a-z]+-[a-z]+\d+(-[a-z])?$",
        "a Google Cloud zone or region",
        "write a zone such as us-central1-c or a region such as us-central1",
    ),
]
MachineType = Annotated[
    str,
    _sentence_with_pattern(
        r"^[a-z][a-z0-9]*(-[a-z0-9]+)+$", "a machine type", "write a machine type such as n1-standard-4"
    ),
]
ImageReference = Annotated[
    str,
    Field(max_length=512),
    _sentence_with_pattern(
        r"^[a-z0-9][\w.:/-]*(@sha256:[0-9a-f]{64})?$",
        "a container image",
        "write repository:tag, for instance ollama/ollama:0.32.15",
    ),
]
LabelValue = Annotated[
    str,
    _sentence_with_pattern(r"^[a-z0-9_-]{0,63}$", "a label value", "use at most 63 of lower-case letters, digits, _ -"),
]
LabelKey = Annotated[
    str,
    _sentence_with_pattern(
        r"^[a-z][a-z0-9_-]{0,62}$", "a label", "use at most 63 of lower-case letters, digits, _ -, a letter first"
    ),
]
ReplicasInput = BeforeValidator(_replicas, json_schema_input_type=int | str | dict[str, int])
