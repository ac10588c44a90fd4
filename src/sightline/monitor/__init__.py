"""What a package does while it works: metrics for Prometheus, and whether its world has moved."""
