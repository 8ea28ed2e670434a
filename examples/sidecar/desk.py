"""The application: POST a question, get the model's answer. It knows nothing of Kubernetes or GPUs."""

import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OLLAMA = os.environ.get("OLLAMA_URL", "http://localhost:11434")


class Desk(BaseHTTPRequestHandler):
    """One question at a time."""

    def do_GET(self) -> None:
        """Whether it is up."""
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        """Asks the model beside it."""
        question = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 10_000)).decode(errors="replace")
        body = {"model": "support", "stream": False, "messages": [{"role": "user", "content": question}]}
        with urllib.request.urlopen(f"{OLLAMA}/api/chat", json.dumps(body).encode(), timeout=300) as reply:
            answer = json.load(reply)["message"]["content"]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Desk).serve_forever()
