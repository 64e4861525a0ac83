"""Ask and tell: the whole study around a training loop of the user's own."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Mapping
from contextvars import copy_context
from types import TracebackType
from typing import Any

from flopwise.api.done import Done, HasDone, load_run
from flopwise.errors import InputError
from flopwise.executors.ask_tell import AskTellExecutor
from flopwise.executors.asked import Asked


class Asking(HasDone):
    """A study that proposes, records, judges and confirms, while a loop of yours does the work.

    Made by :meth:`flopwise.Study.asking`; best used as a context manager. The study runs in a thread
    beside the loop and touches nothing of the process: no signal, no thread pool, no random stream.

        with study.asking() as asking:
            while trial := asking.ask():
                asking.tell(trial, loss=train(trial.config, seed=trial.seed))

    Leaving the ``with`` early (``break``, an exception, Ctrl-C) interrupts the run, and so does the end of
    the program. Running the script again goes on: a trial that was asked for and not told is asked for once more.

    Args:
        session: Runs the study to its end.
        executor: Where it gives its attempts away.
        stop: Asks it to stop.
    """

    def __init__(self, session: Callable[[], Done], executor: AskTellExecutor, stop: Callable[[], None]) -> None:
        self._session = session
        self._executor = executor
        self._stop = stop
        self._thread: threading.Thread | None = None
        self._done: Done | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Asking:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def done(self) -> Done:
        """How it ended; until then where it stands.

        Raises:
            InputError: Before it has begun.
        """
        if self._done is not None:
            return self._done
        folder = self._executor.folder
        if folder is None:
            raise InputError("this study has not begun yet", fix="ask() for a trial first")
        return load_run(folder)

    def ask(self, *, wait: bool = True) -> Asked | None:
        """The next trial, or None when the study is over: judged, paused by a policy, or out of budget.

        At most ``slots`` trials can be out at a time; fewer where the next one depends on their results.

        Args:
            wait: Where nothing may start until another trial is told, wait for the thread that has it (and raise
                if that is nobody else). With False return None instead: nothing now. With no trial out, None means
                that the study is over in either case.

        Raises:
            InputError: If waiting could never end.
            FlopwiseError: When the run cannot go on.
        """
        self._start()
        trial = self._executor.ask(wait=wait)
        if trial is None and self._executor.over:
            self._join()
        return trial

    def tell(
        self,
        trial: Asked,
        metrics: Mapping[str, Any] | Any = None,
        /,
        *,
        failed: str | BaseException | None = None,
        **values: Any,
    ) -> None:
        """What came of a trial; returns when the journal has it.

        ``tell(trial, 0.5)``, ``tell(trial, loss=0.5, accuracy=0.9)`` and ``tell(trial, {"loss": 0.5})`` are results.
        A metric that is not finite is the outcome ``nan``. ``tell(trial, failed="diverged")`` is a failure; an
        exception in place of the text says by its type whether memory ran out, which is tried again.

        A trial that the study has ended itself (``trial.should_stop()``) may be told all the same.

        Args:
            trial: From :meth:`ask`.
            metrics: The metric, or a mapping with it.
            failed: Why there is no result.
            **values: The metrics by name.

        Raises:
            InputError: If the trial is none, or told already, or the metric is missing or not a number; a trial
                that is out stays so.
        """
        given = [metrics is not None, failed is not None, bool(values)]
        if sum(given) != 1:
            raise InputError(
                "tell() takes one result" if any(given) else "tell() was given no result",
                expected='tell(trial, 0.5), tell(trial, loss=0.5), tell(trial, {"loss": 0.5}) '
                'or tell(trial, failed="why")',
            )
        if failed is None:
            self._executor.tell(trial, values if values else metrics)
        elif isinstance(failed, str | BaseException):
            self._executor.fail(trial, failed)
        else:
            raise InputError("failed is the cause", expected="a text or an exception", got=repr(failed))

    def close(self) -> None:
        """End the study where it stands; does nothing when it is over.

        Raises:
            FlopwiseError: What ended it, unless :meth:`ask` has raised that already.
        """
        if self._thread is None:
            return
        if self._thread.is_alive():
            self._executor.leave(self._stop)
        self._join()

    def _start(self) -> None:
        """Begin in a thread that sees what this one sees (a notebook shows output under the right cell)."""
        if self._thread is None:
            self._thread = threading.Thread(target=copy_context().run, args=(self._work,), name="flopwise", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _work(self) -> None:
        try:
            self._done = self._session()
        except BaseException as error:
            self._error = error
        finally:
            self._executor.close()

    def _join(self) -> None:
        assert self._thread is not None
        self._thread.join()
        atexit.unregister(self.close)
        error, self._error = self._error, None
        if error is not None:
            raise error
