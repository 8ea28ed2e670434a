"""The plan as cloud resources: one Pulumi component a file, each fed by its part of the plan and nothing else."""
