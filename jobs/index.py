"""spark-submit jobs/index.py --config conf/local.yaml; see jobs/README.md."""

from artrec.stages import index
from artrec.stages.session import submit

if __name__ == "__main__":
    submit(index.run)
