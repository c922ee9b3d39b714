"""Writes weight files small enough to keep, and expected.json with the masks of their matrices.

    python3 make_fixtures.py [FOLDER]        (its own folder unless told; needs torch, numpy, safetensors)

Good files hold matrices with about half the entries zero; a mask is 1 where a value is != 0. Files named
`bad_` must be refused. Never load `bad_foreign*.pt` by an unpickler that runs what it is told to: it would
create a file. `legacy_` is what torch wrote before 1.6. Legacy files differ in a few bytes from run to run,
as they name storages by their address.
"""
import argparse
import collections
import io
import json
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)
# Non-zero values of which one byte or another is 0: a mask has to look at all bytes.
TELLING = {torch.int16: 256, torch.int32: 65536, torch.int64: 2**40, torch.uint8: 128, torch.int8: -128}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
folder = parser.parse_args().folder
rng = np.random.default_rng(11)
torch.manual_seed(11)
expected = {}


def name_of(dtype):
    return str(dtype).removeprefix("torch.")


def values(shape, dtype):
    """Random values, about half of them 0; floats have a -0.0 and a subnormal, integers a telling value."""
    mask = torch.from_numpy(rng.random(shape) < 0.5)
    flat = mask.view(-1)
    flat[1], flat[2] = False, True
    if dtype == torch.bool:
        return mask
    tensor = torch.from_numpy(rng.integers(1, 100, shape)).to(dtype) * mask.to(dtype)
    if dtype in FLOATS:
        sign = torch.from_numpy(rng.choice([-0.125, 0.125], shape)).to(dtype)
        tensor = torch.where(mask, tensor * sign, torch.zeros((), dtype=dtype))
        tensor.view(-1)[1] = -0.0
        tensor.view(-1)[2] = torch.finfo(dtype).smallest_normal / 2
        assert torch.signbit(tensor.view(-1)[1])
    else:
        tensor.view(-1)[2] = TELLING[dtype]
    assert torch.equal(tensor != 0, mask)
    return tensor


def matrices(data, prefix=""):
    """The 2-D tensors of `data` by their keys, those of nested dicts joined by dots."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from matrices(value, f"{prefix}.{key}" if prefix else key)
    elif isinstance(data, torch.Tensor) and data.dim() == 2:
        yield prefix, data


def expect(name, data):
    """Notes what a good file holds."""
    expected[name] = {}
    for key, tensor in matrices(data):
        mask = ["".join("01"[entry] for entry in row) for row in (tensor != 0).tolist()]
        expected[name][key] = {"shape": list(tensor.shape), "mask": mask}


def good(name, data, legacy=False):
    """Writes `data` in zip form, with `legacy` in legacy form too; torch has to read the same."""
    for file, is_zip in ((f"{name}.pt", True), (f"legacy_{name}.pt", False))[: 1 + legacy]:
        torch.save(data, folder / file, _use_new_zipfile_serialization=is_zip)
        expect(file, data)
        was = expected[file]
        expect(file, torch.load(folder / file, weights_only=True))
        assert was == expected[file]


def bad(name, data, **options):
    torch.save(data, folder / f"bad_{name}.pt", **options)


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def claimed(size, stride):
    """What pickles as a tensor of `size` and `stride` over a storage of 35 values, whatever these need."""
    tensor = values((5, 7), torch.float32)
    storage = torch.storage.TypedStorage(wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True)
    return Call(torch._utils._rebuild_tensor_v2, storage, 0, size, stride, False, collections.OrderedDict())


# Bare matrices of every dtype.
for dtype in (*FLOATS, *INTEGERS, torch.bool):
    good(name_of(dtype), values((5, 7), dtype), legacy=dtype in (torch.float32, torch.bfloat16, torch.bool))
good("parameter", torch.nn.Parameter(values((5, 7), torch.float32)), legacy=True)

# A state dict, whose matrices are longer than a word of 64 bits one way or the other.
state = collections.OrderedDict()
state["model.layers.3.self_attn.q_proj.weight"] = values((70, 6), torch.float16)
state["model.layers.3.mlp.up_proj.weight"] = values((6, 67), torch.float32)
state["model.norm.weight"] = values((7,), torch.float32)
state["step"] = 1200
state["extra"] = {"model.layers.4.mlp.down_proj.weight": values((7, 5), torch.bfloat16)}
good("state_dict", state, legacy=True)

# Views: their storage is written whole, so strides and offset tell what belongs to them.
base = values((9, 13), torch.float32)
good("transposed", values((5, 7), torch.float32).t(), legacy=True)
good("strided", base[::2, 1::3], legacy=True)
good("offset", base[3:, 2:])
good("shared", {"first": base[:5], "second": base[2:, 4:]}, legacy=True)
good("expanded", values((7,), torch.float32).expand(5, 7))

# Tensors that are no matrix of numbers with a zero or not.
bad("1d", values((7,), torch.float32))
bad("3d", values((2, 5, 7), torch.float32))
bad("0d", torch.tensor(1.5))
bad("complex64", torch.complex(values((5, 7), torch.float32), values((5, 7), torch.float32)))
with_nan = values((5, 7), torch.float32)
with_nan[3, 4] = float("nan")
bad("nan_at_3_4", with_nan)
bad("empty_0x5", torch.zeros(0, 5))
bad("empty_5x0", torch.zeros(5, 0))
bad("sparse_coo", values((5, 7), torch.float32).to_sparse())
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    if hasattr(torch, "quantize_per_tensor"):
        bad("quantized", torch.quantize_per_tensor(values((5, 7), torch.float32), 0.1, 3, torch.qint8))
    else:
        print("bad_quantized.pt is not written: this torch cannot")
bad("no_matrix", {"model.norm.weight": values((7,), torch.float32), "step": 3})

# Pickles that call what is not a tensor's.
foreign = Call(os.system, "touch /tmp/knnscope_pwned")
bad("foreign", foreign)
bad("foreign_legacy", foreign, _use_new_zipfile_serialization=False)
bad("module", torch.nn.Linear(7, 5))

# Damaged files, and claims that no storage bears out.
whole = (folder / "float32.pt").read_bytes()
(folder / "bad_truncated.pt").write_bytes(whole[: len(whole) * 60 // 100])
with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(folder / "bad_short_storage.pt", "w") as target:
    for record in source.infolist():
        content = source.read(record)
        if record.filename.endswith("/data/0"):
            content = content[: len(content) // 2]
        target.writestr(zipfile.ZipInfo(record.filename), content)  # stored, with a fixed date
bad("huge_stride_0", claimed((2**31, 2**31), (0, 0)))
bad("huge", claimed((1_000_000, 1_000_000), (1_000_000, 1)))

# Other formats.
tensors = {
    "model.layers.3.self_attn.q_proj.weight": values((5, 7), torch.float16),
    "model.layers.3.mlp.up_proj.weight": values((7, 5), torch.bfloat16),
    "model.norm.weight": values((7,), torch.float32),
}
(folder / "weights.safetensors").write_bytes(safetensors.torch.save(tensors, metadata={"format": "pt"}))
expect("weights.safetensors", tensors)
for dtype in (torch.float32, torch.float16, torch.int8, torch.bool):
    tensor = values((5, 7), dtype)
    np.save(folder / f"{name_of(dtype)}.npy", tensor.numpy())
    expect(f"{name_of(dtype)}.npy", tensor)
tensor = values((5, 7), torch.float32)
np.save(folder / "float32_fortran.npy", np.asfortranarray(tensor.numpy()))
expect("float32_fortran.npy", tensor)

(folder / "expected.json").write_text(json.dumps({"files": expected}, indent=1) + "\n", encoding="utf-8")
