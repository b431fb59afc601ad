"""spark-submit jobs/report.py --config conf/local.yaml; see jobs/README.md."""

from artrec.stages import report
from artrec.stages.session import submit

if __name__ == "__main__":
    submit(report.run)
