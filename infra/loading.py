"""Loading the SDKs of the clouds, which is most of what a run of the program takes."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Around the import of the program and its first run, which imports the SDKs: without the garbage collector, which
    never looks at what was loaded there any more.

    Their classes are objects by the hundred thousand that stay: looking through them again and again while they are
    made, and once more when the process ends, is half of what the program takes.
    """
    if "components.program" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
