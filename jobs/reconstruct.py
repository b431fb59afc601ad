"""spark-submit jobs/reconstruct.py --out DIR --root ROOT; see jobs/README.md."""

import typer

from artrec.stages.reconstruct import reconstruct

if __name__ == "__main__":
    typer.run(reconstruct)
