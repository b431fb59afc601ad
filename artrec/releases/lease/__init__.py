"""The lease: one writer for one root at a time.

``LEASE.json`` names its holder, who renews it three times in a period. Whoever else wants to write
watches it for one period of its own monotonic clock: where it changes, its holder is at work; where
it does not, it is taken over. Every step is a conditional write, so no two hold it at once, and it
is given back by such a write too: nobody deletes what may be another's by then. The swap of CURRENT
stays the safety net below.
"""

from artrec.releases.lease.bidding import Bid, holding, take
from artrec.releases.lease.held import Lease
from artrec.releases.lease.state import LEASE, LeaseState

__all__ = ["Bid", "LEASE", "Lease", "LeaseState", "holding", "take"]
