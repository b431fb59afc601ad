"""spark-submit jobs/publish.py --config conf/local.yaml; see jobs/README.md."""

from artrec.stages import publish
from artrec.stages.session import submit

if __name__ == "__main__":
    submit(publish.run)
