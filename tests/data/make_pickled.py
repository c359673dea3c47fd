"""Writes pickled.bin (torch.save of a small state dict: types, a parameter, a view, a shared storage) and pickled.json, what is in it.

    python make_pickled.py
"""

import json
from collections import OrderedDict
from pathlib import Path

import torch

HERE = Path(__file__).parent
torch.manual_seed(0)
base = torch.randn(6, 4)
state = OrderedDict(
    whole=base, rows=base[2:4], half=torch.randn(3, 5).half(), brain=torch.randn(2, 3).bfloat16(),
    parameter=torch.nn.Parameter(torch.randn(4)), scalar=torch.tensor(1.5), double=torch.randn(2).double())
state._metadata = OrderedDict({"": {"version": 1}})
torch.save(state, HERE / "pickled.bin")
values = {k: {"shape": list(v.shape), "values": v.detach().float().flatten().tolist()} for k, v in state.items()}
(HERE / "pickled.json").write_text(json.dumps(values) + "\n")
