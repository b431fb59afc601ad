"""A session of Spark Connect, which ``SPARK_REMOTE`` asks for."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from artrec.commands.show import plain
from artrec.errors import ConfigError, Stopped

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["connect"]


def connect(name: str, conf: dict[str, str], remote: str) -> SparkSession:
    """A session of Spark Connect, with a server elsewhere or, for ``local[N,4]``, of its own."""
    from pyspark.sql import SparkSession

    warnings.filterwarnings("ignore", "WARN WindowExpression")  # of a few rows: encoders' samples
    if remote.startswith("local"):
        conf = {**conf, "spark.connect.grpc.binding.address": "127.0.0.1"}
        del conf["spark.master"]  # which is in the address
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    else:
        _ask(remote)
        conf = {key: value for key, value in conf.items() if key.startswith("spark.sql.")}
    builder: Any = SparkSession.builder
    with warnings.catch_warnings():
        # the client offers all of them to a server of its own, too, which has them already
        warnings.filterwarnings("ignore", "Failed to set")
        try:
            session: SparkSession = builder.appName(name).config(map=conf).getOrCreate()
        except ImportError as error:
            raise ConfigError(
                "SPARK_REMOTE asks for Spark Connect, which lacks packages here "
                f"({plain(str(error))}): pip install 'artrec[connect]'"
            ) from None
    return session


def _ask(remote: str) -> None:
    """Stopped where nobody listens at that address: pyspark would ask for ten minutes."""
    try:
        place = urlsplit(remote.partition(";")[0])
        host, port = place.hostname or "", place.port or 15002
    except ValueError:
        raise ConfigError(
            "SPARK_REMOTE is no address of the form sc://host:port, with parameters behind /;"
        ) from None
    try:
        socket.create_connection((host, port), 30).close()
    except ConnectionRefusedError:
        raise Stopped(
            f"no Spark Connect server answers at {host}:{port}, which SPARK_REMOTE names; start "
            "it, and run the same command again"
        ) from None
    except OSError:
        return  # behind a proxy, perhaps: pyspark will see
