"""spark-submit jobs/doctor.py --config conf/cluster.yaml; see jobs/README.md."""

import typer

from artrec.stages.doctor import doctor

if __name__ == "__main__":
    typer.run(doctor)
