"""Activities that neural masses show, with the parameters at which they do."""

from __future__ import annotations

from bayesesi.dynamics.jansen_rit import JansenRit
from bayesesi.dynamics.mass import Mass
from bayesesi.dynamics.wendling import Wendling

#: Model -> activity -> its parameters. Wendling's are types 1 to 6 of the 2002 paper with (B, G) as
#: later implementations give them; Jansen and Rit's spikes are the slow limit cycle beyond the fold
#: at p = 113.6 /s (Grimbert & Faugeras 2006, Neural Comput 18:3052,
#: doi:10.1162/neco.2006.18.12.3052).
ACTIVITIES: dict[str, dict[str, Mass]] = {
    "jansen-rit": {"alpha": JansenRit(), "spikes": JansenRit(p=120.0, p_sd=10.0)},
    "wendling": {
        "background": Wendling(B=50.0, G=15.0),
        "sporadic-spikes": Wendling(B=40.0, G=15.0),
        "spikes": Wendling(B=25.0, G=15.0),
        "rhythm": Wendling(B=10.0, G=15.0),
        "low-voltage-fast": Wendling(B=5.0, G=25.0),
        "ictal": Wendling(B=15.0, G=0.0),
    },
}
