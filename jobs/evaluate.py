"""spark-submit jobs/evaluate.py --config conf/local.yaml; see jobs/README.md."""

from artrec.stages import evaluate
from artrec.stages.session import submit

if __name__ == "__main__":
    submit(evaluate.run)
