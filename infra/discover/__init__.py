"""What stands at a place already: machines, GPUs, drivers, servers. It only reads."""
