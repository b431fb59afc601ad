"""spark-submit jobs/compare.py --out DIR --root ROOT; see jobs/README.md."""

import typer

from artrec.stages.compare import compare

if __name__ == "__main__":
    typer.run(compare)
