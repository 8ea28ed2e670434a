"""A volume of the cluster's own, for one pod at a time."""

import pulumi
from pulumi_kubernetes.core.v1 import (
    PersistentVolumeClaim,
    PersistentVolumeClaimSpecArgs,
    VolumeResourceRequirementsArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components import labels


def claim(name: str, metadata: ObjectMetaArgs, size: str, opts: pulumi.ResourceOptions) -> PersistentVolumeClaim:
    """The claim of a volume, such as `10G`."""
    # it is bound where the first pod lands: waiting for that here would wait for ever, while a pool sleeps for instance
    metadata.annotations = labels.NO_WAIT
    return PersistentVolumeClaim(
        name,
        metadata=metadata,
        spec=PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"], resources=VolumeResourceRequirementsArgs(requests={"storage": size})
        ),
        opts=opts,
    )
