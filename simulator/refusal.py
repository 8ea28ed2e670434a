"""Why a request is not answered."""

BUSY = "server busy, please try again.  maximum pending requests exceeded"


class Refused(Exception):  # noqa: N818 - an answer like any other
    """An error that Ollama answers. `early`: found before the request was in Ollama's own terms."""

    def __init__(self, status: int, message: str, *, early: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.early = early


def not_found(name: object) -> Refused:
    """The 404 of chat, generate and show."""
    return Refused(404, f"model '{name}' not found")


def not_pulled(name: object) -> Refused:
    """The 404 of both embedding routes."""
    return Refused(404, f'model "{name}" not found, try pulling it first')
