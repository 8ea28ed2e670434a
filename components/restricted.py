"""What the `restricted` level of Pod Security asks of a pod and of its containers."""

from pulumi_kubernetes.core.v1 import CapabilitiesArgs, PodSecurityContextArgs, SeccompProfileArgs, SecurityContextArgs

USER = 10001
"""Any number but 0: the images name no user, and NVIDIA's device files are open to all."""


def pod_security(user: int = USER, *, owns_volumes: bool = True) -> PodSecurityContextArgs:
    """For a pod that runs as one user and group, whose volumes are its own where it keeps any."""
    return PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=user,
        fs_group=user if owns_volumes else None,
        seccomp_profile=SeccompProfileArgs(type="RuntimeDefault"),
    )


def locked_down() -> SecurityContextArgs:
    """For a container: it gains nothing, and cannot change its own image."""
    return SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=CapabilitiesArgs(drop=["ALL"]),
    )
