"""The Python way in, for people who arrive with a function or a training loop in hand.

    import flopwise

    def train(config, context):
        return {"loss": (config["x"] - 3) ** 2}

    study = flopwise.Study(
        name="parabola", space={"x": flopwise.Float(-10, 10)}, objective=train, search="cmaes", evaluations=40
    )
    study.run()
    print(study.verdict, study.best)

No ``if __name__ == "__main__"`` is needed: attempts run in processes forked from a small server that
never imports the calling script. A loop of one's own asks and tells: :meth:`Study.asking`.
"""

from flopwise.api.asking import Asking
from flopwise.api.done import Done, load_run
from flopwise.api.study import Study

__all__ = ["Asking", "Done", "Study", "load_run"]
