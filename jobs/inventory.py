"""spark-submit jobs/inventory.py --config conf/local.yaml; see jobs/README.md."""

from artrec.stages import inventory
from artrec.stages.session import submit

if __name__ == "__main__":
    submit(inventory.run)
