"""`ollama` for a test without one: a store like its own, and the simulator as its server."""

import asyncio
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

STORE = Path(os.environ["OLLAMA_MODELS"])
MANIFESTS = STORE / "manifests" / "registry.ollama.ai" / "library"


def manifest(name: str) -> Path:
    model, _, tag = name.partition(":")
    return MANIFESTS / model / (tag or "latest")


def listed() -> list[str]:
    return sorted(f"{file.parent.name}:{file.name}" for file in MANIFESTS.glob("*/*"))


def pull(name: str) -> None:
    weights = f"the weights of {name}".encode()
    digest = hashlib.sha256(weights).hexdigest()
    (STORE / "blobs").mkdir(parents=True, exist_ok=True)
    (STORE / "blobs" / f"sha256-{digest}").write_bytes(weights)
    layer = {
        "mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": len(weights)
    }  # fmt: skip
    manifest(name).parent.mkdir(parents=True, exist_ok=True)
    manifest(name).write_text(json.dumps({"layers": [layer]}, separators=(",", ":")))


def serve() -> None:
    from simulator import Model, Server, serving
    from simulator.serving import listen

    host, _, port = os.environ["OLLAMA_HOST"].rpartition(":")
    sys.stderr.write('level=INFO msg="inference compute" id=GPU-0 library=CUDA compute=3.7\n')
    sys.stderr.flush()
    server = Server(os.environ.get("FLEET_SERVICE", "init"), [Model(name=name) for name in listed()])

    async def run() -> None:
        async with serving(server, listen(int(port), host)):
            await asyncio.Event().wait()

    asyncio.run(run())


def answers() -> bool:
    import socket

    host, _, port = os.environ["OLLAMA_HOST"].rpartition(":")
    with socket.socket() as one:
        return one.connect_ex((host, int(port))) == 0


def main(command: str, *names: str) -> int:
    if command == "serve":
        serve()
    if not answers():
        sys.stderr.write("Error: could not connect to ollama server, run 'ollama serve' to start it\n")
        return 1
    if command == "list":
        sys.stdout.write("NAME    ID" + "\n")
        for name in listed():
            sys.stdout.write(f"{name}    0123456789ab" + "\n")
    elif command == "ps":
        sys.stdout.write("NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL" + "\n")
    elif command == "pull":
        pull(names[0])
    elif command == "cp":
        manifest(names[1]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(manifest(names[0]), manifest(names[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
