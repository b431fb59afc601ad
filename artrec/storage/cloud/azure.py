"""Azure Blob Storage through Azure's own client.

The account and its credentials are found as the Azure command line finds them:
AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY,
AZURE_STORAGE_SAS_TOKEN or else what azure-identity finds.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, cast

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobBlock, ContainerClient

from artrec.errors import (
    ArtrecError,
    ConditionFailed,
    ConfigError,
    CredentialsError,
    NotFound,
    StoreUnavailable,
    UsageError,
)
from artrec.storage.cloud.driver import TOKEN, Facts, Sending, redacted

__all__ = ["AzureDriver"]

_SIZES: dict[str, Any] = {
    "max_single_put_size": 256 << 20,
    "max_single_get_size": 64 << 20,
    "max_chunk_get_size": 64 << 20,
    "retry_total": 0,
    "connection_timeout": 10,
    "read_timeout": 60,
}
_TAKEN = {"BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet"}


class AzureDriver:
    """See ``Driver``."""

    failures: tuple[type[Exception], ...] = (AzureError,)

    def __init__(self, container: str) -> None:
        try:
            self._container = _client(container)
        except ValueError as error:
            raise ConfigError(
                f"az://{container}: {redacted(str(error))} (AZURE_STORAGE_CONNECTION_STRING, "
                "AZURE_STORAGE_ACCOUNT)"
            ) from None

    def list(self, prefix: str) -> Iterator[Facts]:
        for found in self._container.list_blobs(name_starts_with=prefix, results_per_page=1000):
            yield _facts(found)

    def head(self, key: str) -> Facts:
        return _facts(self._blob(key).get_blob_properties())

    def read(self, key: str, offset: int, length: int | None, etag: str | None) -> bytes:
        part = {} if offset == 0 and length is None else {"offset": offset, "length": length}
        try:
            data = self._blob(key).download_blob(**part, **_matching(etag)).readall()
        except HttpResponseError as error:
            if error.status_code != 416:
                raise
            if etag is not None and self.head(key).etag != etag:
                raise ConditionFailed(f"{key} changed: it is not {etag} any more") from None
            return b""
        return cast(bytes, data)

    def put(self, key: str, data: bytes, if_etag: str | None, token: str) -> Facts:
        _check_name(key)
        condition = {"overwrite": if_etag is not None} | _matching(if_etag)
        try:
            answer = self._blob(key).upload_blob(data, metadata={TOKEN: token}, **condition)
        except ResourceExistsError:
            if if_etag is not None or self._stands(key):
                raise
            # blocks that a killed writer left under the name count as an object, for a put alone
            sending = _Sending(self._blob(key), token)
            sending.send(data)
            sending.finish()
            return self.head(key)
        return Facts(key, len(data), _bare(answer["etag"]), answer["last_modified"], token)

    def begin(self, key: str, token: str) -> Sending:
        _check_name(key)
        return _Sending(self._blob(key), token)

    def delete(self, key: str) -> None:
        self._blob(key).delete_blob()

    def explained(self, error: Exception, where: str) -> ArtrecError:
        status = getattr(error, "status_code", None) or 0
        code = str(getattr(error, "error_code", None) or "")
        code = code.rpartition(".")[2]
        said = redacted(str(error)).partition("\n")[0]
        if code == "ContainerNotFound":
            return ConfigError(f"{where}: there is no such container; look at its spelling")
        if status == 404 or code == "InvalidBlockList":
            return NotFound(f"{where}: no such object")
        if code in _TAKEN or status == 412:
            return ConditionFailed(f"{where} exists already, or is another object than expected")
        if isinstance(error, ClientAuthenticationError) or status in (401, 403):
            return CredentialsError(
                f"{where}: access denied, or no usable credentials ({code or said}); look at "
                "AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or give the identity the role "
                "Storage Blob Data Contributor"
            )
        if status in (408, 429) or status >= 500 or not status:
            return StoreUnavailable(
                f"{where}: {code or type(error).__name__}: {said}; run the same command again"
            )
        if code in ("InvalidUri", "InvalidResourceName", "OutOfRangeInput"):
            return UsageError(f"{where}: this store cannot have such a name ({code})")
        return ArtrecError(f"{where}: refused: {code}: {said}")

    def _stands(self, key: str) -> bool:
        try:
            self.head(key)
        except ResourceNotFoundError:
            return False
        return True

    def _blob(self, key: str) -> Any:
        return self._container.get_blob_client(key)


class _Sending:
    """Blocks, and a list of them that makes the object."""

    repeatable = True

    def __init__(self, blob: Any, token: str) -> None:
        self._blob, self._token = blob, token
        self._blocks: list[str] = []

    def send(self, part: bytes) -> None:
        if not part:
            return
        block = b64encode(f"{self._token}{len(self._blocks):06d}".encode()).decode()
        self._blob.stage_block(block, part, length=len(part), validate_content=True)
        self._blocks.append(block)

    def finish(self) -> None:
        self._blob.commit_block_list(
            [BlobBlock(block) for block in self._blocks],
            metadata={TOKEN: self._token},
            match_condition=MatchConditions.IfMissing,
        )

    def abort(self) -> None:
        """Blocks that were never committed are forgotten after a week."""


def _check_name(key: str) -> None:
    if "\\" in key:
        raise UsageError(f"{key}: Azure takes a backslash in a name for a slash")


def _client(container: str) -> Any:
    read = os.environ.get
    if told := read("AZURE_STORAGE_CONNECTION_STRING"):
        return ContainerClient.from_connection_string(told, container, **_SIZES)
    account = read("AZURE_STORAGE_ACCOUNT") or ""
    address = read("AZURE_STORAGE_SERVICE_ENDPOINT")
    if not account and not address:
        raise ValueError("no storage account is named")
    found = read("AZURE_STORAGE_KEY") or read("AZURE_STORAGE_SAS_TOKEN")
    return ContainerClient(
        address or f"https://{account}.blob.core.windows.net",
        container,
        credential=found or DefaultAzureCredential(),
        **_SIZES,
    )


def _matching(etag: str | None) -> dict[str, Any]:
    if etag is None:
        return {}
    return {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified}


def _bare(etag: str) -> str:
    return etag.strip('"')


def _facts(found: Any) -> Facts:
    token = (found.metadata or {}).get(TOKEN, "")
    return Facts(found.name, int(found.size), _bare(found.etag), found.last_modified, token)
