"""A load test of a fleet's door: who asks for what, in which shape, and what came of it."""
