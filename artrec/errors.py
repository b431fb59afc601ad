"""One tree of exceptions: a class for each kind of blame, each with its exit code.

    ArtrecError                  1   unexpected
     ├ TrainingError             1   a training that came to nothing
     ├ UsageError                2   the command line
     ├ ConfigError               3   the settings
     │  └ StoreFormatError       3   a store this version cannot use
     ├ InputError                4   an archive or source that cannot be read
     │  ├ ArchiveError           4
     │  └ EmptySource            4   nothing is there
     ├ GateRefused               5   the release is not good enough
     ├ Stopped                   6   stopped half-way; the same command goes on
     │  ├ StoreFull              6
     │  └ StoreUnavailable       6
     ├ CredentialsError          7   access to the store
     └ Superseded                8   another run holds the place
        └ ReleaseConflict        8

``NotFound`` and ``ConditionFailed`` are answers of a Store, for its callers to handle; uncaught
they are unexpected. A message says what, where, and what to do; it is all that crosses from a
worker to the driver.
"""

from __future__ import annotations

__all__ = [
    "ArchiveError",
    "ArtrecError",
    "ConditionFailed",
    "ConfigError",
    "CredentialsError",
    "EmptySource",
    "GateRefused",
    "InputError",
    "NotFound",
    "ReleaseConflict",
    "Stopped",
    "StoreFormatError",
    "StoreFull",
    "StoreUnavailable",
    "Superseded",
    "TrainingError",
    "UsageError",
]


class ArtrecError(Exception):
    """Root of every error that artrec raises on purpose."""

    exit_code = 1


class TrainingError(ArtrecError):
    """A training diverged, or has too little to train on; other settings may help."""


class UsageError(ArtrecError):
    """The command was called with arguments that do not fit together."""

    exit_code = 2


class ConfigError(ArtrecError):
    """A settings key is unknown, has the wrong type, or contradicts another."""

    exit_code = 3


class StoreFormatError(ConfigError):
    """The store was written by a newer artrec, or is not an artrec store."""


class InputError(ArtrecError):
    """A source cannot be read as what it claims to be."""

    exit_code = 4


class ArchiveError(InputError):
    """An archive as a whole is unreadable; single bad members are rejects instead."""


class EmptySource(InputError):
    """Nothing lies where a source should; of one that had members, a gate judges it."""


class GateRefused(ArtrecError):
    """A check refused the release; CURRENT is as before and the draft is kept."""

    exit_code = 5


class Stopped(ArtrecError):
    """The run stopped half-way and can be resumed by the same command."""

    exit_code = 6


class StoreFull(Stopped):
    """No space is left where the store, or the scratch of a task, lives."""


class StoreUnavailable(Stopped):
    """The store did not answer within the total time for retries."""


class CredentialsError(ArtrecError):
    """The store denied access, or the credentials are missing or expired."""

    exit_code = 7


class Superseded(ArtrecError):
    """Another run published, or holds the store, since this one began."""

    exit_code = 8


class ReleaseConflict(Superseded):
    """A release or draft of that name holds other inputs."""


class NotFound(ArtrecError):
    """The store has no object under this path."""


class ConditionFailed(ArtrecError):
    """A conditional write found another state than the one it required."""
