"""One module per command of the `fleet` tool."""
