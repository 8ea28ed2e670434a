"""All decisions, made from the file and the catalogue alone: pure functions over frozen data."""
