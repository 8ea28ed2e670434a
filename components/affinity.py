"""Which nodes a pod may stand on, where labels alone cannot say it."""

from collections.abc import Sequence

from pulumi_kubernetes.core.v1 import AffinityArgs, NodeAffinityArgs, NodeSelectorArgs, NodeSelectorTermArgs


def nodes(terms: Sequence[NodeSelectorTermArgs]) -> AffinityArgs:
    """Those that any of the terms chooses, when the pod is placed."""
    chosen = NodeSelectorArgs(node_selector_terms=list(terms))
    return AffinityArgs(node_affinity=NodeAffinityArgs(required_during_scheduling_ignored_during_execution=chosen))
