"""spark-submit jobs/nightly.py --config conf/local.yaml; see jobs/README.md."""

from artrec.stages import nightly
from artrec.stages.session import submit

if __name__ == "__main__":
    submit(nightly.run)
