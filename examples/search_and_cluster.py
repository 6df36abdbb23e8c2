"""Indexes a folder of pictures, finds those most like one of them, groups them, and lists copies.

    python search_and_cluster.py photos/                    # SqueezeNet, downloaded once (5 MB)
    python search_and_cluster.py photos/ digits-vae 3       # another model, and the number of groups

Nothing in the folder is changed. Groups need scikit-learn (`pip install scikit-learn`).
"""

import sys
from pathlib import Path

import sfumato as sf

folder = Path(sys.argv[1])
model, count = (sys.argv[2], int(sys.argv[3])) if len(sys.argv) == 4 else ("squeezenet", "auto")

index = sf.embed(folder, model)
index.save(f"{folder.name}.index")  # the next call computes new pictures only: sf.embed(folder, model, earlier="...")

matches = sf.search(index, folder / index.paths[0], k=5)
for path, similarity in zip(matches.paths, matches.similarities, strict=True):
    print(f"{similarity:.2f} {path}")

groups = sf.cluster(index, count)
sf.sort_into(groups, "groups")  # a folder of links for each group
print("sizes of the groups:", groups.sizes)

print("copies of other pictures:", sf.duplicates(folder).drop)
