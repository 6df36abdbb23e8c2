"""Other people's pickles, read as data: a stack machine of our own that knows a table of names, and runs nothing of the file's.

file ─ source ─ machine ─ values, tensors ─┬ networks ─ Snapshot
          └── torchfile: zip and legacy     └ table ─ tensors by name
              streams of torch.save
"""

from sfumato.store.pickles.networks import Network, Snapshot, kind, read
from sfumato.store.pickles.table import table

__all__ = ["Network", "Snapshot", "kind", "read", "table"]
