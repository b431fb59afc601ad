"""spark-submit jobs/query.py SOURCE --out DIR --root ROOT; see jobs/README.md."""

import typer

from artrec.stages.query import query

if __name__ == "__main__":
    typer.run(query)
