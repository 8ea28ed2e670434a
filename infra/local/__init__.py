"""The plan as processes of this machine: Envoy, and a simulated Ollama per pool or one that runs here."""
