"""What a change of the file does: to models, machines, money and each resource. Pure: two plans and two recordings in,
one FleetChange out."""
