"""In-process doubles of Pulumi providers, for the real engine to talk to.

`GoogleDouble` and `KubernetesDouble` answer as the real plugins do where it matters to a fleet:
which edits replace, which outputs appear, what the service refuses. `RandomDouble` makes passwords,
and `ProviderDouble(NAME)` stands in for any other package. All keep what exists and log what was done; see `Ledger`.
"""

from tests.engine.doubles.google import GoogleDouble
from tests.engine.doubles.kubernetes import KubernetesDouble
from tests.engine.doubles.ledger import Existing, Kept, Ledger, Operation
from tests.engine.doubles.provider import ProviderDouble
from tests.engine.doubles.random import RandomDouble
from tests.engine.doubles.server import Serving
from tests.engine.doubles.values import plain

__all__ = [
    "Existing",
    "GoogleDouble",
    "Kept",
    "KubernetesDouble",
    "Ledger",
    "Operation",
    "ProviderDouble",
    "RandomDouble",
    "Serving",
    "plain",
]
