"""Outside programs that tests need: found on this machine, else installed, else built.

`python -m tools` brings all of them; `tools.find("pulumi")` says where one is. Standard library
only, so that it runs before any virtual environment exists.
"""

from tools.files import find_file
from tools.find import find
from tools.pins import Tool, pins

__all__ = ["Tool", "find", "find_file", "pins"]
