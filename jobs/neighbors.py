"""spark-submit jobs/neighbors.py --config conf/local.yaml; see jobs/README.md."""

from artrec.stages import neighbors
from artrec.stages.session import submit

if __name__ == "__main__":
    submit(neighbors.run)
