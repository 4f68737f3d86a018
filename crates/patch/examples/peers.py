#!/usr/bin/env python3
"""Sizes of what the peers make of a pair of images, as `name bytes` lines.

Needs: pip install bsdiff4 detools hdiffpatch zstandard"""
import io
import lzma
import sys

import bsdiff4
import detools
import hdiffpatch
import zstandard

old, new = (open(path, "rb").read() for path in sys.argv[1:3])
print("bsdiff4", len(bsdiff4.diff(old, new)))
for compression in ("heatshrink", "lzma"):
    patch = io.BytesIO()
    detools.create_patch(io.BytesIO(old), io.BytesIO(new), patch, compression=compression)
    print("detools-" + compression, len(patch.getvalue()))
for name in ("lzma2", "zstd"):
    kind = getattr(hdiffpatch, "COMPRESSION_" + name.upper())
    print("hdiffpatch-" + name, len(hdiffpatch.diff(old, new, compression=kind)))
dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=22, enable_ldm=True)
compressor = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters)
print("zstd-patch-from", len(compressor.compress(new)))
print("xz-full", len(lzma.compress(new, preset=9 | lzma.PRESET_EXTREME)))
