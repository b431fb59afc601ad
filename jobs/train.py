"""spark-submit jobs/train.py --config conf/local.yaml; see jobs/README.md."""

from artrec.stages import train
from artrec.stages.session import submit

if __name__ == "__main__":
    submit(train.run)
