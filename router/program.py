"""The files of this package, as a ConfigMap carries them into a stock Python image."""

from pathlib import Path


def program() -> dict[str, str]:
    """File name -> text of every module and of the page."""
    files = (file for file in sorted(Path(__file__).parent.iterdir()) if file.suffix in (".py", ".html"))
    return {file.name: file.read_text(encoding="utf-8") for file in files}
