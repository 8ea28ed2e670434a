"""What every program must obey: functions whose names are the rules' sentences.

`tests.program.test_rules` holds every recording against them, `test_removal` proves that they miss no field.
"""

from tests.program.rules import drivers, google, keys, objects, pods, scaling, security, tree
from tests.program.rules.view import RULES, Rule, View, sentence

__all__ = [
    "RULES",
    "Rule",
    "View",
    "drivers",
    "google",
    "keys",
    "objects",
    "pods",
    "scaling",
    "security",
    "sentence",
    "tree",
]
