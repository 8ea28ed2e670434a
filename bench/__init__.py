"""Measurements of the tool, of the door and of the memory formula, each a script: `.venv/bin/python -m bench.NAME`."""
