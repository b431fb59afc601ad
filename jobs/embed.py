"""spark-submit jobs/embed.py --config conf/local.yaml; see jobs/README.md."""

from artrec.stages import embed
from artrec.stages.session import submit

if __name__ == "__main__":
    submit(embed.run)
