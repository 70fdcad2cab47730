"""What every architecture has in common: inputs of an observation in, tokens out.

A new architecture is one file: a class that derives from ``Backbone``, names the parts of
``NetworkInputs`` that it reads in ``needs``, the laws that it keeps in ``claims``, and is made from
its frozen spec and four sizes. It knows neither a loss nor a distribution.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Set
from typing import Any, ClassVar

from torch import nn

from bayesesi.errors import InputError
from bayesesi.features.network_inputs import PARTS, NetworkInputs, Tokens

#: Laws that a backbone may claim, each tested for those that do (``tests/laws/test_backbone.py``).
CLAIMS = ("reference", "montage", "order")


class Backbone(nn.Module):
    """Turn B observations of one operator into tokens.

    A subclass is made from its spec and the sizes ``n_features`` and ``n_context`` of what it
    reads, ``n_source_out`` and ``n_out`` of the tokens, F and G.

    Attributes
    ----------
    needs : names of ``PARTS`` that it reads. claims : names of ``CLAIMS`` that it keeps:
        ``"reference"``, that a turn of the whitened space changes nothing (channels in another
        order, another reference, another whitener of the same noise); ``"montage"``, that one set
        of weights reads any number of electrodes; ``"order"``, that sources may come in any order,
        and some be absent.
    """

    needs: ClassVar[frozenset[str]]
    claims: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, known in (("needs", PARTS), ("claims", CLAIMS)):
            unknown = sorted(set(getattr(cls, name, ())) - set(known))
            if unknown:
                raise TypeError(
                    f"{cls.__name__}.{name} are of {', '.join(known)}, not {', '.join(unknown)}"
                )

    @abstractmethod
    def forward(self, x: NetworkInputs) -> Tokens:
        """Compute the tokens.

        Parameters
        ----------
        x : B observations; only the parts that ``needs`` names may be read.
        """

    def check_fits(self, offers: Set[str], estimator: str) -> None:
        """Check that an estimator offers what this network reads.

        Parameters
        ----------
        offers : names of ``PARTS``. estimator : its name, for the message.

        Raises
        ------
        InputError : a part that the estimator does not offer; the sentence names both.
        """
        missing = sorted(self.needs - offers)
        if missing:
            raise InputError(
                f"the network {type(self).__name__} reads {', '.join(missing)}, and the estimator "
                f"{estimator} gives {', '.join(sorted(offers))}; name another of the two"
            )
