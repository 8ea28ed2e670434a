"""A faithful fake Ollama: its routes, wire formats, queues and errors, and no model. A test instrument.

It speaks as Ollama 0.17.4 or 0.32.15 does, read in the source of both and compared with a running one in
tests/models/test_simulator.py. Every answer says that it is simulated: in the header `x-simulated-by`, and in its text
where it has one. It knows nothing of the rest of this project.
"""

from simulator.app import CONTROL, application
from simulator.behaviour import Behaviour, BehaviourError
from simulator.library import Model
from simulator.server import Asked, Server
from simulator.serving import serving

__all__ = ["CONTROL", "Asked", "Behaviour", "BehaviourError", "Model", "Server", "application", "serving"]
