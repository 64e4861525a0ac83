"""Pause a search that goes by a cheap stop when that no longer ranks configs as the full one does."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from flopwise.policies.policy import Action, Decision, History
from flopwise.stats.rank import kendall, spearman
from flopwise.trial import Phase


class ProxyAgreement:
    """Pause when Spearman's correlation over all configs with both scores falls below ``proxy.pause_below``.

    The configs that the plan compared count as well as those the search had rechecked. Rechecked ones are among the
    best by the cheap score, and differ less than configs at random, so their correlation alone would be lower.

    Example:
        >>> ProxyAgreement(ProxyAgreement.Options()).judge(History(())) is None
        True
    """

    class Options(BaseModel):
        """``policies.proxy_agreement``.

        Args:
            rechecks: Full evaluations that must have come in since the user accepted the last pause.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        rechecks: int = Field(default=4, ge=1)

    def __init__(self, options: Options) -> None:
        self._options = options

    def judge(self, history: History) -> Decision | None:
        """See :class:`flopwise.policies.policy.Policy`."""
        proxy = history.proxy
        if proxy is None or len(history.recent(self._options.rechecks, (Phase.RECHECK,))) < self._options.rechecks:
            return None
        rho = spearman(proxy.pairs) if len(proxy.pairs) > 1 else None
        if rho is None or rho >= proxy.pause_below:
            return None
        evidence = {
            "spearman": rho,
            "kendall": kendall(proxy.pairs),
            "pause_below": proxy.pause_below,
            "configs": len(proxy.pairs),
        }
        cause = (
            f"the proxy ranks {len(proxy.pairs)} configs as the full stop does with a Spearman correlation of only "
            f"{rho:.2f} ({proxy.pause_below:g} asked for)"
        )
        return Decision(Action.PAUSE, cause, evidence)
