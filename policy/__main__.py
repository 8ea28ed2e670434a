"""The policy pack: every rule of rules.py, mandatory.

`pulumi preview --policy-pack policy`, after `python -m venv policy/venv && policy/venv/bin/pip install -r
policy/requirements.txt`.
"""

from collections.abc import Callable

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)
from rules import RULES, Resource, Rule


def validation(rule: Rule) -> Callable[[ResourceValidationArgs, ReportViolation], None]:
    """The rule as pulumi-policy calls it."""

    def validate(args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
        # urn:pulumi:STACK::PROJECT::...
        stack = args.urn.split(":")[2]
        for problem in rule(Resource(args.resource_type, args.props, stack)):
            report_violation(problem)

    return validate


POLICIES = [
    ResourceValidationPolicy(
        name=name,
        description=(rule.__doc__ or name).strip(),
        enforcement_level=EnforcementLevel.MANDATORY,
        validate=validation(rule),
    )
    for name, rule in RULES.items()
]


if __name__ == "__main__":
    PolicyPack("ollama-fleet", policies=POLICIES)
