"""Training loops. A loop takes data, a config and two hooks, and knows no server."""
