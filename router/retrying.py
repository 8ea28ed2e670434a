"""How Envoy tries a request again at a replica that it has not asked yet."""

from router.extension import Config, extension

RETRIES = 2
OTHER_HOSTS_TRIED = 40
"""How often a retry may draw until it draws a replica that it has not asked yet. One that is dead or refuses at once
has the fewest requests in flight, so that three of four draws from two take it: with 5, every sixth retry asked the
same one again, and 5 of 512 requests got its 503."""


def elsewhere(retry_on: str, retries: int = RETRIES) -> Config:
    """A retry policy that leaves out the replicas that a request has been at."""
    return {
        "retry_on": retry_on,
        "num_retries": retries,
        "retry_host_predicate": [
            extension(
                "envoy.retry_host_predicates.previous_hosts",
                "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        "host_selection_retry_max_attempts": OTHER_HOSTS_TRIED,
    }
