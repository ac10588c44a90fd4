"""Packages behind a port: HTTP, Open Inference Protocol, WebSocket; nothing here imports torch."""
