"""Where the tests' S3 server is, and who may use it; known before it starts."""

from __future__ import annotations

import socket

__all__ = ["KEY", "SECRET", "environment", "free_port"]

KEY, SECRET = "test-key-of-artrec", "test-secret-of-artrec"


def environment(endpoint: str, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
    """What a user exports."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
    }


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
