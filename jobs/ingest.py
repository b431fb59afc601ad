"""spark-submit jobs/ingest.py --config conf/local.yaml; see jobs/README.md."""

from artrec.stages import ingest
from artrec.stages.session import submit

if __name__ == "__main__":
    submit(ingest.run)
