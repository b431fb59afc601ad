"""spark-submit jobs/catalog.py --config conf/local.yaml; see jobs/README.md."""

from artrec.stages import catalog
from artrec.stages.session import submit

if __name__ == "__main__":
    submit(catalog.run)
