#!/usr/bin/env python3
"""What the peers make of a pair of images, as lines of name, bytes and milliseconds. `cargo xtask bench delta` calls it.

Needs the packages of requirements.txt beside it."""
import io
import lzma
import sys
import time

import bsdiff4
import detools
import hdiffpatch
import zstandard

old = b"" if sys.argv[1] == "-" else open(sys.argv[1], "rb").read()
new = open(sys.argv[2], "rb").read()


def sequential(compression):
    patch = io.BytesIO()
    detools.create_patch(io.BytesIO(old), io.BytesIO(new), patch, compression=compression)
    return patch.getvalue()


def zstd_patch_from():
    dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=24, enable_ldm=True)
    return zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters).compress(new)


peers = {
    "bsdiff4": lambda: bsdiff4.diff(old, new),
    "detools-heatshrink": lambda: sequential("heatshrink"),
    "detools-lzma": lambda: sequential("lzma"),
    "hdiffpatch-lzma2": lambda: hdiffpatch.diff(old, new, compression=hdiffpatch.COMPRESSION_LZMA2),
    "hdiffpatch-zstd": lambda: hdiffpatch.diff(old, new, compression=hdiffpatch.COMPRESSION_ZSTD),
    "zstd-patch-from": zstd_patch_from,
    "xz-full": lambda: lzma.compress(new, preset=9 | lzma.PRESET_EXTREME),
}
for name, make in peers.items():
    if not old and name != "xz-full":
        continue
    start = time.monotonic()
    size = len(make())
    print(name, size, round((time.monotonic() - start) * 1000), flush=True)
