"""The README's examples work: each block behind ``<!-- run -->`` is run on a finished store.

They find the store's root as ``$ROOT`` or ``root``, and the id of one of its images as ``$IMAGE``
or ``image``. ``<!-- run night -->`` marks a block that wants all that a night leaves, and a file
from outside as ``$PICTURE``; ``<!-- run spark -->`` one that wants ``pictures``, a DataFrame with
picture bytes, and makes ``vectors`` of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from tests.commands.small_store import PAINTINGS, publish_paintings
from tests.pictures import picture

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tests.nights import Night

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
IMAGE = PAINTINGS[0].image_id

_BLOCK = re.compile(
    r"^<!-- run(?P<how>[a-z ]*?) -->\n+```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
_MARK = re.compile(r"^<!-- run.*-->$", re.M)


@dataclass(frozen=True)
class Block:
    """One marked example."""

    line: int
    how: str
    language: str
    text: str


def marked(text: str) -> list[Block]:
    """Every marked example, in order; an assertion names a mark without a block behind it."""
    blocks = [
        Block(
            text.count("\n", 0, found.start()) + 1,
            found["how"].strip(),
            found["language"],
            found["text"],
        )
        for found in _BLOCK.finditer(text)
    ]
    marks = [text.count("\n", 0, found.start()) + 1 for found in _MARK.finditer(text)]
    assert [block.line for block in blocks] == marks, "a mark without a block right behind it"
    return blocks


def blocks_of_readme() -> list[Block]:
    return marked(README.read_text(encoding="utf-8")) if README.exists() else []


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("readme") / "store"
    publish_paintings(root, "2026-01-02")
    return root


def run(command: list[str], root: Path, place: Path, **more: str) -> str:
    environment = os.environ | {
        "ROOT": str(root),
        "IMAGE": IMAGE,
        **more,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=place
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.skipif(not README.exists(), reason="there is no README.md")
def test_the_readme_has_examples_that_are_run() -> None:
    assert blocks_of_readme() != []
    assert {block.language for block in blocks_of_readme()} <= {"bash", "python", "sql"}


@pytest.mark.parametrize(
    "block",
    [block for block in blocks_of_readme() if not block.how],
    ids=lambda b: f"{b.language}-{b.line}",
)
def test_an_example_of_the_readme_works(block: Block, root: Path, tmp_path: Path) -> None:
    if block.language == "bash":
        assert run(["bash", "-euo", "pipefail", "-c", block.text], root, tmp_path)
    elif block.language == "python":
        before = f"root, image = {str(root)!r}, {IMAGE!r}\n"
        assert run([sys.executable, "-c", before + block.text], root, tmp_path)
    else:
        connection = duckdb.connect()
        connection.execute((root / "releases" / "2026-01-02.sql").read_text())
        found = connection.sql(block.text)
        assert found is not None
        assert found.fetchall()


@pytest.mark.parametrize(
    "block",
    [block for block in blocks_of_readme() if block.how == "night"],
    ids=lambda b: f"{b.language}-{b.line}",
)
def test_an_example_that_wants_a_whole_night_works(
    block: Block, release: Night, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(picture(99))
    text = block.text
    assert run(["bash", "-euc", text], release.root, tmp_path, PICTURE=str(outside))


def test_an_example_that_wants_spark_works(spark: SparkSession) -> None:
    blocks = [block for block in blocks_of_readme() if block.how == "spark"]
    assert blocks
    rows = [(bytes(32), bytearray(picture(1))), (bytes(32), bytearray(b"no picture"))]
    names: dict[str, Any] = {
        "pictures": spark.createDataFrame(rows, "content_sha256 binary, data binary")
    }
    for block in blocks:
        exec(block.text, names)
        found = [row.embedding for row in names["vectors"].collect()]
        assert len(found[0]) == 154
        assert found[1] is None


def test_marked_blocks_are_found_with_their_language() -> None:
    text = (
        "# A\n```bash\nrm -rf not-run\n```\n<!-- run -->\n```bash\necho 1\necho 2\n```\ntext\n"
        "<!-- run -->\n\n```sql\nSELECT 1\n```\n<!-- run spark -->\n```python\nx = 1\n```\n"
    )
    assert marked(text) == [
        Block(5, "", "bash", "echo 1\necho 2\n"),
        Block(11, "", "sql", "SELECT 1\n"),
        Block(16, "spark", "python", "x = 1\n"),
    ]


def test_a_mark_without_a_block_is_no_example() -> None:
    with pytest.raises(AssertionError, match="a mark without a block"):
        marked("<!-- run -->\ntext\n```bash\necho 1\n```\n")
