"""Whether a machine, a project and Google's answers meet what the plan needs. Pure but for the `Cloud` it is given."""
